"""A LiveKit server of our own on loopback, for the demo and the tests."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from appliance.demo.server_binary import find_or_build
from appliance.errors import DemoError

__all__ = ["LocalServer", "find_or_build"]

_START_S = 15.0
"""It answers within 0.2 s here; a small Pi under load is given much more."""
_STOP_S = 3.0
"""It says goodbye at once; after that it is ended without asking."""
_DEAF_S = 0.3
"""It swallows signals in the first 0.1 s that it answers (`Start` in its server.go)."""
_POLL_S = 0.02
"""Short against the 0.2 s of a start."""
_STARTS = 3
"""A free port may be taken by somebody else before the server has it."""


class LocalServer:
    """A LiveKit server that only this machine can reach.

    Ports, key and secret stay the same over `stop` or `kill` and `start`, so an outage
    is all that clients see. Leaving the context ends the server and removes its log.
    """

    def __init__(self, binary: Path) -> None:
        """Remember which program to start, as `find_or_build` returns it."""
        self.api_key = f"key{secrets.token_hex(8)}"
        self.api_secret = secrets.token_hex(32)
        self.port = 0
        self.udp_port = 0
        self._binary = binary
        self._listens_at_s = 0.0
        self._folder = Path()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect: `ws://127.0.0.1:PORT`."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the server complained about; gone after the context."""
        return self._folder / "log"

    @property
    def pid(self) -> int | None:
        """The running server's process, for those who want to freeze or measure it."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        """Start on free ports.

        Raises:
            DemoError: it does not start; the sentence holds the end of its log.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="livekit-server-"))
        try:
            await self._start_on_free_ports()
        except BaseException:
            # Also when cancelled: nobody else knows of the process and the folder.
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the server and remove its log."""
        await self._close()

    async def start(self) -> None:
        """Start again after `stop` or `kill`, and wait until it answers.

        Raises:
            DemoError: it does not start; the sentence holds the end of its log.
        """
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_together_with_us(str(self._binary)),
                env=_environment(self._config()),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self._answers(self._process)
        self._listens_at_s = time.monotonic() + _DEAF_S

    async def stop(self) -> None:
        """End it as its administrator would: clients are told."""
        if self._process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._end_politely(self._process)
        await self.kill()

    async def kill(self) -> None:
        """End it as a power cut would: clients are told nothing."""
        if (process := self._process) is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()
        self._process = None

    async def _start_on_free_ports(self) -> None:
        for _ in range(_STARTS - 1):
            self.port, self.udp_port = _free_ports()
            with contextlib.suppress(DemoError):
                await self.start()
                return
        self.port, self.udp_port = _free_ports()
        await self.start()

    async def _answers(self, process: Process) -> None:
        """Return when the server answers; end it and raise if it never does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_S), _client() as client:
                while process.returncode is None:
                    with contextlib.suppress(httpx.TransportError):
                        await client.get(f"http://127.0.0.1:{self.port}")
                        return
                    await asyncio.sleep(_POLL_S)
        await self.kill()
        words = self.log.read_text(encoding="utf-8", errors="replace")[-1000:]
        sentence = f"{self._binary} does not start; the end of its log:\n{words}"
        raise DemoError(sentence)

    async def _end_politely(self, process: Process) -> None:
        """Ask until it ends: only from the second signal on clients are sent away."""
        await asyncio.sleep(self._listens_at_s - time.monotonic())
        while process.returncode is None:
            process.terminate()
            await asyncio.sleep(_POLL_S)

    async def _close(self) -> None:
        # Not politely: whoever leaves the context has said goodbye to it already.
        await self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _config(self) -> dict[str, object]:
        """Return the server's configuration: loopback only, nothing asked outside."""
        rtc = {
            # Off: it would listen on every interface, and loopback loses no UDP.
            "tcp_port": 0,
            "udp_port": self.udp_port,
            "node_ip": "127.0.0.1",
            "ips": {"includes": ["127.0.0.0/8"]},
            "enable_loopback_candidate": True,
            "use_external_ip": False,
            # Without one, clients are told to ask public servers for their address.
            # Nobody answers at the discard port; at our own, media would not connect.
            "stun_servers": ["127.0.0.1:9"],
        }
        return {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": rtc,
            "keys": {self.api_key: self.api_secret},
            "logging": {"level": "warn"},
        }


def _client() -> httpx.AsyncClient:
    """Return a client that goes straight to loopback, whatever proxies are set."""
    return httpx.AsyncClient(trust_env=False)


def _together_with_us(*command: str) -> list[str]:
    """Return the command so that it ends when we do, however we end."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else [*command]


def _environment(config: dict[str, object]) -> dict[str, str]:
    """Return an environment with the configuration in it, and none of the user's.

    The secret is seen by the same user only, which a command line would not do. JSON
    is YAML.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("LIVEKIT_")}
    return inherited | {"LIVEKIT_CONFIG": json.dumps(config)}


def _free_ports() -> tuple[int, int]:
    """Return a TCP port and a UDP port that nobody has now."""
    with (
        socket.socket(type=socket.SOCK_STREAM) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1]), int(udp.getsockname()[1])
