"""Our token server, served on loopback inside the demo's loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import uvicorn

from appliance.tokens.server import app
from appliance.tokens.server_config import TokenServerConfig, TokenServerSettings

ROOM: Final = "demo"


class Issuer:
    """Issues tokens for the demo's room to whoever asks on this machine."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        """Listen on a free port; nothing is answered yet.

        Args:
            url: the LiveKit server's.
            key: its API key.
            secret: the key's secret.
        """
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api/token"
        """Where the appliance asks."""
        config = TokenServerConfig(listen=f"127.0.0.1:{port}", rooms=(ROOM,))
        settings = TokenServerSettings(config, url, key, secret)
        self._server = _Server(
            uvicorn.Config(
                app(settings),
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to answer."""
        serving = self._server.serve(sockets=[self._listening])
        self._serving = asyncio.create_task(serving)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the port."""
        serving, self._serving = self._serving, None
        if serving is not None:
            self._server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
