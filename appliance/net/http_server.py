"""uvicorn with limits on connections, their rate and the rate of requests.

`Acceptor` handles every error of accept(): asyncio's own server reports a lack of file
descriptors to the loop's exception handler, once per connection in the backlog, and
raises the network errors that accept() returns.

uvicorn's `limit_concurrency` is not used: it counts all clients together, and refuses
only after the head of a request, so that it does not limit idle connections.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from appliance.net.http_protocol import (
    HEAD_BYTES,
    Client,
    ConnectionLimits,
    HttpProtocol,
    ServerLimits,
)
from appliance.net.rate_limit import RateLimit
from appliance.net.url import unmapped
from appliance.process.logs import LogLimit

CLIENT_LEFT = (ClientDisconnect, ClientDisconnected, WebSocketDisconnect)
"""Exceptions raised in the application when its client has disconnected."""
BATCH = 16
"""Connections accepted in one iteration of the event loop."""
PAUSE_S = 0.02
"""Pause after a full batch or a refusal. Our choice: a flood costs at most 50 batches a
second (800 accepted and closed sockets, 2 % of a PC's core)."""
NO_RESOURCE_S = 1.0
"""Pause when file descriptors or memory are used up; asyncio's is as long."""
NO_RESOURCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
FROM_NETWORK = frozenset(
    {
        *(errno.EPERM, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP),
        *(errno.ENETDOWN, errno.EHOSTDOWN, errno.ENONET, errno.ENETUNREACH),
        *(errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ECONNABORTED, errno.ECONNRESET),
        *(errno.ENOSR, errno.ESOCKTNOSUPPORT, errno.EPROTONOSUPPORT),
    }
)
"""Errors of the new connection, not of the listening socket. Source: accept(2)."""

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
    """uvicorn server that uses `Acceptor` and `HttpProtocol`."""

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
        self._acceptors: list[Acceptor] = []
        self._log_limit = LogLimit(1)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on these sockets; uvicorn would replace their backlog."""
        self.servers = []
        limits = self._limits
        self._acceptors = [
            Acceptor(each, self._protocol, limits.connections, limits.on_refused)
            for each in sockets or ()
        ]
        self.started = True
        self._call_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting and close every connection."""
        for acceptor in self._acceptors:
            acceptor.close()
        for each in sockets or ():
            each.close()
        # Lets the loop take note of connections that their clients have closed.
        await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            # Takes 0.1 s at least.
            await super().shutdown()

    def _protocol(self, client: Client) -> HttpProtocol:
        return HttpProtocol(
            self.config, self.server_state, client, self._limits, self._log_limit
        )


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


class Acceptor:
    """Acceptor of one listening socket; creates a transport for each connection.

    Thread: the loop's.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[Client], asyncio.Protocol],
        limits: ConnectionLimits,
        on_refused: Callable[[str], None] = lambda _address: None,
    ) -> None:
        """Start accepting; `protocol` is called for each connection.

        Connections beyond the limits are closed, and `on_refused` is called with the
        client's address for each of those.
        """
        self._listening = listening
        self._protocol = protocol
        self._limits = limits
        self._on_refused = on_refused
        self._rate = RateLimit(limits.rate_each, limits.rate)
        self._open: dict[socket.socket, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._log_limit = LogLimit(1)
        listening.settimeout(0)
        self._resume()

    def close(self) -> None:
        """Stop accepting; open connections are not closed."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._listening)
        if self._timer is not None:
            self._timer.cancel()

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._timer = self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        is_idle = True
        for _ in range(BATCH):
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno not in NO_RESOURCE | FROM_NETWORK:
                    raise
                wait_s = PAUSE_S
                if exc.errno in NO_RESOURCE:
                    message = "connection cannot be accepted: no resources"
                    self._log_limit.log(_log, logging.WARNING, message)
                    wait_s = NO_RESOURCE_S
                self._pause(wait_s)
                return
            is_idle = self._admit(connection, address) and is_idle
        else:
            is_idle = False
        if not is_idle:
            self._pause(PAUSE_S)

    def _admit(self, connection: socket.socket, address: tuple[str, int]) -> bool:
        """Serve the connection if it is within the limits, and return whether it is."""
        host = unmapped(address[0])
        if not self._rate.take(host) or self._is_full(host):
            connection.close()
            self._log_limit.log(_log, logging.INFO, "connection refused")
            self._on_refused(host)
            return False
        self._open[connection] = host
        task = self._loop.create_task(self._connect(connection, (host, address[1])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _is_full(self, host: str) -> bool:
        # A closed socket has no descriptor; one whose transport still sends has one.
        self._open = {each: h for each, h in self._open.items() if each.fileno() >= 0}
        of_host = sum(each == host for each in self._open.values())
        return len(self._open) >= self._limits.total or of_host >= self._limits.each

    async def _connect(self, connection: socket.socket, client: Client) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(client), connection
            )
        except OSError:
            connection.close()
