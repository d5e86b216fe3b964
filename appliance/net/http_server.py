"""uvicorn with limits on connections, their rate and the rate of requests.

Connections are accepted here: asyncio's own server reports a lack of file descriptors
to the loop's exception handler, which ends this program, and uvicorn's
`limit_concurrency` counts all clients together and only after the head of a request.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from appliance.net.http_protocol import (
    HEAD_BYTES,
    Client,
    HttpProtocol,
    ServerLimits,
    WebSocketProtocol,
)
from appliance.net.rate_limit import RateLimit
from appliance.net.url import unmapped
from appliance.process.logs import LogLimit

CLIENT_LEFT = (ClientDisconnect, ClientDisconnected, WebSocketDisconnect)
"""Exceptions raised in the application when its client has disconnected."""
REFUSED_S = 0.005
"""Pause after a connection beyond the limits, which bounds the cost of a flood; our
choice."""
FAILED_S = 1.0
"""Pause when a connection cannot be accepted, for example because file descriptors are
used up; asyncio's is as long."""

UVICORN: Final[dict[str, Any]] = {
    "h11_max_incomplete_event_size": HEAD_BYTES,
    "lifespan": "off",
    # uvicorn's own handlers would not hide secrets.
    "log_config": None,
    "access_log": False,
    # uvicorn would believe X-Forwarded-For from every program on this machine.
    "proxy_headers": False,
    "server_header": False,
}
"""Settings of uvicorn that both servers have."""

_log = logging.getLogger(__name__)


class BoundedServer(uvicorn.Server):
    """uvicorn server with `ServerLimits`, which accepts connections itself.

    Thread: the loop's.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        limits: ServerLimits,
        started: Callable[[], object] = lambda: None,
    ) -> None:
        """Serve `config.app`, in which `RateLimited` has the same limits.

        `started` is called on the loop when connections are accepted and a signal ends
        the server.
        """
        super().__init__(config)
        self._call_started = started
        self._limits = limits
        self._rate = RateLimit(limits.connections.rate_each, limits.connections.rate)
        self._accepting: set[asyncio.Task[None]] = set()
        self._log_limit = LogLimit(1)

    @contextlib.asynccontextmanager
    async def serving(self, listening: socket.socket) -> AsyncIterator[None]:
        """Serve on this socket without uvicorn's signal handlers and its ticks."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup([listening])
        try:
            yield
        finally:
            await self.shutdown([listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on these sockets; uvicorn would replace their backlog."""
        self.servers = []
        works = [self._accept(each) for each in sockets or ()]
        self._accepting = {asyncio.create_task(work) for work in works}
        self.started = True
        self._call_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting and close every connection."""
        for task in self._accepting:
            task.cancel()
        await asyncio.wait(self._accepting)
        for each in sockets or ():
            each.close()
        if self.server_state.connections or self.server_state.tasks:
            # Takes 0.1 s at least.
            await super().shutdown()

    async def _accept(self, listening: socket.socket) -> None:
        """Serve the connections within the limits and close all others."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as exc:
                message = "connection cannot be accepted  reason=%s"
                self._log_limit.log(_log, logging.WARNING, message, exc.strerror)
                await asyncio.sleep(FAILED_S)
                continue
            client = (unmapped(address[0]), address[1])
            if not self._is_within(client[0]):
                connection.close()
                self._log_limit.log(_log, logging.INFO, "connection refused")
                self._limits.on_refused(client[0])
                await asyncio.sleep(REFUSED_S)
                continue
            try:
                await loop.connect_accepted_socket(
                    partial(self._protocol, client), connection
                )
            except OSError:
                connection.close()

    def _is_within(self, host: str) -> bool:
        """Count a connection from this address; return whether the limits admit it."""
        limits = self._limits.connections
        connections = self.server_state.connections
        own = [
            x for x in connections if isinstance(x, HttpProtocol | WebSocketProtocol)
        ]
        hosts = [each.client[0] for each in own if each.client is not None]
        is_full = len(own) >= limits.total or hosts.count(host) >= limits.each
        return self._rate.take(host) and not is_full

    def _protocol(self, client: Client) -> HttpProtocol:
        return HttpProtocol(self.config, self.server_state, self._limits, client)


class RateLimited:
    """ASGI middleware with a rate limit, which is checked before anything else."""

    def __init__(self, app: ASGIApp, limits: ServerLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        client = scope.get("client")
        address = client[0] if client else ""
        app: ASGIApp = self._app
        if not self._limits.requests.take(address):
            self._limits.on_refused(address)
            app = self._limits.refusal
        with contextlib.suppress(*CLIENT_LEFT):
            await app(scope, receive, send)
