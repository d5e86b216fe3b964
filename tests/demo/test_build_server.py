"""Finding or building a LiveKit server."""

import os
import stat
import threading

import pytest

from appliance.demo import livekit_server
from appliance.demo.livekit_server import find_or_build
from appliance.errors import DemoError

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


def test_a_long_build_reports_its_progress(cache, on_path, monkeypatch):
    monkeypatch.setattr(livekit_server, "PROGRESS_S", 0.1)
    # Ends when the line with the progress has been reported.
    slow = GOOD_GO.replace(
        "while [",
        f"""
[ -e {cache}/seen ] || exec sh -c 'while [ ! -e {cache}/seen ]; do :; done; exit 3'
while [""",
    )
    on_path("go", slow)
    lines: list[str] = []

    def report(line):
        lines.append(line)
        if line.endswith(" s"):
            (cache / "seen").touch()

    with pytest.raises(DemoError, match="compiling them: failed"):
        find_or_build(report)
    assert lines[-1].startswith("2/2 fetching the sources and compiling them: ")


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
