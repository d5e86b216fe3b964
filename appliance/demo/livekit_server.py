"""LiveKit server on loopback, for the demo and the tests."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import ssl
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Final, Self

import httpx

from appliance.errors import DemoError

_START_S: Final = 15.0
"""Time-out; a start takes 0.2 s on a PC and much more on a small Pi under load."""
_STARTS: Final = 3
"""Attempts: another program may take a free port before the server does."""


class LocalServer:
    """LiveKit server that only this machine can reach.

    Ports, key and secret stay the same after `kill` and `start`, so that clients see an
    outage. Leaving the context ends the server and removes its log.
    """

    def __init__(self, binary: Path, address: str = "127.0.0.1") -> None:
        """Choose an API key; other addresses are for network namespaces."""
        self.api_key = f"key{secrets.token_hex(8)}"
        self.api_secret = secrets.token_hex(32)
        self.port = 0
        self.udp_port = 0
        self._binary = binary
        self._address = address
        self._folder = Path()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """URL for clients: `ws://ADDRESS:PORT`."""
        return f"ws://{self._address}:{self.port}"

    @property
    def log(self) -> Path:
        """Log file of the server; removed with the context."""
        return self._folder / "log"

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        """Start on free ports; raises the same errors as `start`."""
        self._folder = Path(tempfile.mkdtemp(prefix="livekit-server-"))
        try:
            await self._start_on_free_ports()
        except BaseException:
            # Also when cancelled: `async with` does not call it then.
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the server and remove its log."""
        await self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self) -> None:
        """Start again after `kill`, and wait until it answers, or raise `DemoError`."""
        # The kernel ends it when this process ends, in whatever way.
        setpriv = shutil.which("setpriv")
        tied = (setpriv, "--pdeathsig", "KILL") if setpriv else ()
        command, env = (*tied, str(self._binary)), _environment(self._config())
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=env, stdin=DEVNULL, stdout=log, stderr=log
            )
        await self._wait_for_answer(self._process)

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

    async def _wait_for_answer(self, process: Process) -> None:
        """Wait until the server answers; kill it and raise if it never does."""
        # Without the proxies that may be set, and without certificates: loading them
        # takes longer than the server needs to start.
        no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        direct = httpx.AsyncClient(trust_env=False, verify=no_tls)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_S), direct as client:
                while process.returncode is None:
                    with contextlib.suppress(httpx.TransportError):
                        await client.get(f"http://{self._address}:{self.port}")
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


def _environment(config: dict[str, object]) -> dict[str, str]:
    """Return the environment with this configuration, as JSON, which is YAML.

    Only the same user can read it, unlike a command line.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("LIVEKIT_")}
    return inherited | {"LIVEKIT_CONFIG": json.dumps(config)}


def _free_ports() -> tuple[int, int]:
    """Return an unused TCP port and an unused UDP port."""
    with (
        socket.socket(type=socket.SOCK_STREAM) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1]), int(udp.getsockname()[1])
