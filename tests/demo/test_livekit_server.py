"""The demo's own LiveKit server."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import httpx
import jwt
import pytest
from livekit import rtc

from appliance.demo.livekit_server import LocalServer
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
