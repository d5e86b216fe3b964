"""uvicorn with limits on clients, which malformed input does not end.

Connections are accepted here: asyncio's own server reports a lack of file descriptors
to the loop's exception handler, which ends this program, and uvicorn's
`limit_concurrency` counts all clients together and only after the head of a request.

uvicorn, h11 and websockets raise on some malformed input in callbacks of the event
loop, where this program treats an exception as a bug and ends. Here such input closes
its own connection only. None of our own code runs inside `guarded`: requests are served
in tasks of their own.

Each server sets its own limits: `page.application` and `token_server.server`.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Container
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import h11
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)
from uvicorn.server import ServerState
from websockets.exceptions import WebSocketException

from appliance.errors import ApplianceError
from appliance.net.rate_limit import Rate, RateLimit
from appliance.net.url import unmapped
from appliance.process.logs import LogLimit

HEAD_BYTES = 16 * 1024
"""Longest request line with headers; those of browsers have about 1 kB."""
BODY_S = 10.0
"""Longest time for a whole body; our choice: far more than 32 KiB take on the worst
Wi-Fi."""
UNSENT_BYTES = 4096
"""Data of a connection in this process beyond which the next message waits, so that a
slow client gets the newest view and not those that it has missed."""
SHUTDOWN_S = 1
"""Time for open requests to end when the server does; a box has 3 s for everything."""
REFUSED_S = 0.005
"""Pause after a connection beyond the limits, which bounds the cost of a flood; our
choice."""
FAILED_S = 1.0
"""Pause when a connection cannot be accepted, for example because file descriptors are
used up; asyncio's is as long."""
MALFORMED = (
    h11.ProtocolError,
    WebSocketException,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    ValueError,
)
"""Exceptions that the three libraries raise, or might raise, on malformed input."""
CLIENT_LEFT = (ClientDisconnect, ClientDisconnected, WebSocketDisconnect)
"""Exceptions raised in the application when its client has disconnected."""
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

Client = tuple[str, int]
"""Address and port of the client."""

_log = logging.getLogger(__name__)
_log_limit = LogLimit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits on connections; those beyond are closed as soon as they are accepted."""

    total: int
    """Open at once."""
    each: int
    """Open at once from one address."""
    rate: Rate
    """Of new connections, over all addresses."""
    rate_each: Rate
    """Of new connections from one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits of one server."""

    connections: ConnectionLimits
    requests: RateLimit
    refusal: Response
    """Response to a request beyond the rate; has the header `connection: close`."""
    on_refused: Callable[[str], None] = lambda _address: None
    """Called with the client's address for each request beyond the rate and each
    connection beyond the limits."""
    proxies: Container[str] = ()
    """Addresses of trusted proxies, each of whose clients has a rate of its own."""
    request_s: float = 10.0
    """Longest time until the head of a request is complete: idle clients must not use
    up the connections."""
    ping_s: float = 5.0
    """Interval of WebSocket pings, and the time-out of their answers: a phone that left
    the Wi-Fi is detected, and its talk ended, within 10 s."""


class BoundedServer(uvicorn.Server):
    """uvicorn server with `ServerLimits`, which accepts connections itself.

    Thread: the loop's.
    """

    def __init__(self, config: Config, limits: ServerLimits) -> None:
        """Serve `config.app`, in which `RateLimited` has the same limits."""
        super().__init__(config)
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

    def _protocol(self, client: Client) -> "HttpProtocol":
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


class BodyTooLongError(ApplianceError):
    """A request body longer than the limit."""


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body of a request, without trusting its announced length.

    Raises:
        BodyTooLongError: as soon as it is too long, or is announced to be.
        TimeoutError: it is not complete within `BODY_S`.
        starlette.requests.ClientDisconnect: the client closed the connection.
    """
    announced = request.headers.get("content-length", "0")
    # Nine digits are enough to see that it is too long; int() of many takes long.
    if not announced.isdecimal() or int(announced[:9]) > limit_bytes:
        raise BodyTooLongError
    body = bytearray()
    async with asyncio.timeout(BODY_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise BodyTooLongError
    return bytes(body)


def _note_malformed() -> None:
    _log_limit.log(_log, logging.INFO, "connection closed for malformed input")


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Return a method of a connection, which is dropped on malformed input."""

    def call(self: "HttpProtocol | WebSocketProtocol", *args: object) -> None:
        try:
            callback(self, *args)
        except MALFORMED:
            _note_malformed()
            self.drop()

    return call


class HttpProtocol(H11Protocol):
    """HTTP/1.1 server connection, closed on malformed input and when it is idle."""

    handle_events = guarded(H11Protocol.handle_events)
    timeout_keep_alive_handler = guarded(H11Protocol.timeout_keep_alive_handler)
    _finish = guarded(H11Protocol.shutdown)
    _parse = guarded(H11Protocol.data_received)

    def __init__(
        self, config: Config, state: ServerState, limits: ServerLimits, client: Client
    ) -> None:
        """Serve `client`; check the rate of requests, which `RateLimited` counts."""
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self._client = client
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for a request."""
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        # uvicorn asks the socket, which has no address if the client has reset it.
        self.client = self._client
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        self._check_later()

    def data_received(self, data: bytes) -> None:
        """Parse the data, or refuse the request if its client exceeds the rate."""
        address, limits = self._client[0], self._limits
        is_new = self.conn.their_state is h11.IDLE
        is_limited = is_new and address not in limits.proxies
        if is_limited and limits.requests.wait_s(address):
            limits.on_refused(address)
            self.transport.write(wire(limits.refusal))
            self.transport.close()
        else:
            self._parse(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the request that is being served, if any."""
        if self._timer is not None:
            # It would keep everything of this connection in memory.
            self._timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, _msg: str) -> None:
        """Close without a response, which a request in progress may have begun."""
        _note_malformed()
        self.drop()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Switch to the WebSocket protocol, or close if it did not accept the head."""
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, WebSocketProtocol)
        protocol.client = self._client
        # websockets never responds to a head that h11 accepts and it does not, and
        # nothing else would close the connection from here on.
        if not protocol.handshake_initiated:
            self.transport.abort()

    def shutdown(self) -> None:
        """Disconnect after the request in progress, and a slow client anyway."""
        self.loop.call_later(SHUTDOWN_S, self.drop)
        self._finish()

    def drop(self) -> None:
        """Disconnect at once."""
        if self.cycle is not None:
            # Before the request, which may be about to send, learns of the disconnect.
            self.cycle.disconnected = True
        self.transport.abort()

    def _check_later(self) -> None:
        self._timer = self.loop.call_later(
            self._limits.request_s, self._check, self.cycle
        )

    def _check(self, seen: object) -> None:
        """Close the connection if no request has begun since the last check.

        An earlier request is over by now: its body is read for at most as long.
        """
        if self.cycle is not seen:
            self._check_later()
        elif self in self.connections:
            self.transport.abort()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket server connection that is closed on malformed frames.

    `shutdown` closes with code 1012 (service restart).
    """

    connection_lost = guarded(WebSocketsSansIOProtocol.connection_lost)
    data_received = guarded(WebSocketsSansIOProtocol.data_received)
    send_keepalive_ping = guarded(WebSocketsSansIOProtocol.send_keepalive_ping)
    shutdown = guarded(WebSocketsSansIOProtocol.shutdown)

    def keepalive_timeout(self) -> None:
        """Disconnect a client that does not answer pings.

        A closing handshake would wait for TCP's time-out if the client does not read.
        """
        self.drop()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message of the application."""
        try:
            await super().send(message)
        except (AssertionError, WebSocketException) as exc:
            self.drop()
            raise ClientDisconnected from exc

    def drop(self) -> None:
        """Disconnect at once; the task that serves the connection sees it closed."""
        self.transport.abort()


def wire(response: Response) -> bytes:
    """Return the bytes of a response as sent over the connection."""
    status = HTTPStatus(response.status_code)
    first = f"HTTP/1.1 {status.value} {status.phrase}".encode()
    lines = (first, *(b": ".join(pair) for pair in response.raw_headers))
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)
