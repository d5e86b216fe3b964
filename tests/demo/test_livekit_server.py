"""The demo's own LiveKit server: its run, search and build."""

import asyncio
import contextlib
import os
import stat
import threading
import time
from pathlib import Path

import httpx
import jwt
import pytest
from livekit import rtc

from appliance.demo.livekit_server import LocalServer, find_or_build
from appliance.errors import DemoError
from tests.loopback import http_client

LOOPBACK = "0100007F"
"""127.0.0.1 in the format of the kernel's tables."""


def token(server, identity):
    claims = {
        "iss": server.api_key,
        "sub": identity,
        "exp": int(time.time()) + 60,
        "video": {"roomJoin": True, "room": "kitchen"},
    }
    return jwt.encode(claims, server.api_secret, "HS256")


async def answers(server):
    with contextlib.suppress(httpx.TransportError):
        async with http_client() as client:
            address = server.url.replace("ws://", "http://")
            return (await client.get(address)).is_success
    return False


async def join(server):
    room = rtc.Room()
    await room.connect(server.url, token(server, "box"))
    await room.disconnect()
    return room.name


def listening_addresses(pid):
    """Return the local addresses of unconnected sockets, in hexadecimal."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        # The server opens and closes others meanwhile.
        with contextlib.suppress(FileNotFoundError):
            own.add(str(descriptor.readlink()))
    tables = [
        Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6", "udp", "udp6")
    ]
    rows = [row.split() for table in tables for row in table.read_text().splitlines()]
    return {
        row[1].split(":")[0]
        for row in rows
        if f"socket:[{row[9]}]" in own and row[2].endswith(":0000")
    }


async def test_a_client_joins_over_loopback(binary):
    async with LocalServer(binary) as server:
        assert await join(server) == "kitchen"


async def test_a_token_signed_with_another_secret_is_refused(binary):
    async with LocalServer(binary) as server:
        server.api_secret = "another secret that is long enough for the algorithm"
        with pytest.raises(rtc.ConnectError):
            await join(server)


async def test_after_an_outage_the_same_address_and_token_work_again(binary):
    async with LocalServer(binary) as server:
        url = server.url
        await server.kill()
        assert not await answers(server)
        await server.start()
        assert server.url == url
        assert await join(server) == "kitchen"


async def test_two_servers_run_at_the_same_time(binary):
    async with LocalServer(binary) as one, LocalServer(binary) as other:
        assert one.url != other.url
        await one.kill()
        assert await answers(other)


async def test_nothing_is_left_of_a_server(binary):
    async with LocalServer(binary) as server:
        log = server.log
        assert log.exists()
    assert not log.parent.exists()
    assert not await answers(server)
    await server.kill()


async def test_only_loopback_reaches_the_server(binary):
    async with LocalServer(binary) as server:
        assert listening_addresses(server.pid) == {LOOPBACK}


async def test_the_secret_is_on_no_command_line(binary):
    async with LocalServer(binary) as server:
        line = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"livekit-server" in line
        assert server.api_secret.encode() not in line


async def test_the_error_of_a_server_that_exits_at_once_quotes_its_log(tmp_path):
    broken = tmp_path / "livekit-server"
    broken.write_text("#!/bin/sh\necho no such thing\nexit 3\n")
    broken.chmod(0o700)
    with pytest.raises(DemoError, match="no such thing"):
        async with LocalServer(broken):
            pass


async def test_a_cancelled_start_leaves_no_process(tmp_path):
    silent = tmp_path / "livekit-server"
    # The file gets its name when it is complete.
    new, pid_file = tmp_path / "new", tmp_path / "pid"
    script = f"#!/bin/sh\necho $$ > {new}\nmv {new} {pid_file}\nexec sleep 60\n"
    silent.write_text(script)
    silent.chmod(0o700)
    start = asyncio.create_task(LocalServer(silent).__aenter__())
    while not pid_file.exists():
        await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    pid = int(pid_file.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


PINNED = f"livekit-server-v1.13.5-{os.uname().machine}"
GOOD_GO = """#!/bin/sh
case "$*" in
*-m) exit ;;
esac
while [ "$1" != -o ]; do shift; done
echo built > "$2"
"""
OLD_GO = "#!/bin/sh\nexit 1\n"
FAILING_GO = """#!/bin/sh
case "$*" in *-m) exit ;; esac
echo 'checksum mismatch' >&2
exit 1
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Set an empty cache, an empty PATH and no package index."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return tmp_path / "ptt-appliance"


@pytest.fixture
def on_path(tmp_path):
    def put(name, script):
        program = tmp_path / "bin" / name
        program.write_text(script)
        program.chmod(stat.S_IRWXU)
        return program

    # The fake compilers are shell scripts.
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    return put


def put_in_cache(cache):
    cache.mkdir()
    (cache / PINNED).touch()
    return cache / PINNED


def no_progress(line):
    raise AssertionError(line)


def test_a_server_on_path_comes_first(cache, on_path):
    put_in_cache(cache)
    server = on_path("livekit-server", "#!/bin/sh\n")
    assert find_or_build(no_progress) == server


def test_a_server_on_path_needs_no_cache_folder(cache, on_path, monkeypatch):
    server = on_path("livekit-server", "#!/bin/sh\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(server))
    assert find_or_build(no_progress) == server


def test_a_cached_server_is_used(cache, on_path):
    on_path("go", FAILING_GO)
    assert put_in_cache(cache) == find_or_build(no_progress)


def test_a_server_is_built_once_with_the_compiler_on_path(cache, on_path):
    go = on_path("go", GOOD_GO)
    lines: list[str] = []
    built = find_or_build(lines.append)
    assert built == cache / PINNED
    assert built.read_text() == "built\n"
    assert "building LiveKit server v1.13.5, once" in lines[0]
    assert "1.5 GB" in lines[0]
    assert lines[1:] == ["2/2 fetching the sources and compiling them"]
    go.unlink()
    assert find_or_build(no_progress) == built


def test_a_build_leaves_only_the_server(cache, on_path):
    on_path("go", GOOD_GO)
    find_or_build(lambda line: None)
    assert {path.name for path in cache.iterdir()} == {PINNED, "build.lock"}


def test_concurrent_callers_build_the_server_once(cache, on_path):
    counted = GOOD_GO + f'echo x >> "{cache}/builds"\n'
    on_path("go", counted)
    callers = [
        threading.Thread(target=find_or_build, args=(lambda line: None,))
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (cache / "builds").read_text() == "x\n"


def test_a_failed_build_says_why_and_what_to_do(cache, on_path):
    on_path("go", FAILING_GO)
    with pytest.raises(DemoError) as failure:
        find_or_build(lambda line: None)
    assert "checksum mismatch" in str(failure.value)
    assert "put a livekit-server on PATH" in str(failure.value)
    assert "--room-url" in str(failure.value)
    assert not (cache / PINNED).exists()


@pytest.mark.parametrize("go", [None, OLD_GO])
def test_without_a_new_enough_compiler_one_is_fetched(cache, on_path, go):
    if go:
        on_path("go", go)
    lines: list[str] = []
    with pytest.raises(DemoError, match="fetching the Go compiler"):
        find_or_build(lines.append)
    assert "1/2 fetching the Go compiler" in lines[1]


def test_a_cache_folder_that_cannot_be_created_is_an_error(
    cache, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DemoError, match="XDG_CACHE_HOME"):
        find_or_build(no_progress)
