"""uvicorn inside our loop, with our limits; imported only when the page is served."""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Iterator

import h11
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

from appliance.net.host_check import own_names
from appliance.page import static_files
from appliance.page.access import Guard
from appliance.page.body import LIMIT_BYTES
from appliance.page.controls import Desk
from appliance.page.pairing import Pairing
from appliance.page.pairing_form import Form
from appliance.page.routes import Api, application
from appliance.page.settings import Site
from appliance.page.snapshot import Board
from appliance.page.talk_leases import Floor
from appliance.page.websocket import Live
from appliance.ports import Post

CONNECTIONS = 80
"""64 for requests and 16 WebSockets; more are closed as they come."""
CONNECTIONS_EACH = 24
"""From one address: two or three open pages, so that one guest cannot shut out all."""
REQUEST_S = 10.0
"""To begin a request: idle or endless ones must not use up the connections."""
DATE_S = 1.0
"""How often uvicorn makes a new `Date`."""
GOODBYE_S = 1
"""R1.4 gives the whole process 3 s."""
PING_S = 5.0
"""A phone that left the Wi-Fi is noticed, and its talk released, within 10 s."""


class Web:
    """The application and how it is served."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        site: Site,
        board: Board,
        pairing: Pairing,
        post: Post,
    ) -> None:
        """Put the parts together; requests run as tasks of `group`."""
        assets = static_files.load()
        board.build = static_files.build(assets)
        self._group = group
        self._floor = Floor(post)
        desk = Desk(board, post, self._floor, site.now_s)
        routes = application(
            Api(board, desk, assets, site.metrics),
            Live(board, desk, pairing, site.now_s),
            Form(pairing, assets),
        )
        self._guard = Guard(routes, pairing, own_names(site.name), site.now_s)

    async def serve(
        self, listening: socket.socket, company: Coroutine[None, None, None]
    ) -> None:
        """Serve on this socket until cancelled, with `company` running beside it.

        At the end the socket and every connection are closed.
        """
        server = _Server(_config(_Deadly(self._guard, self._group)))
        job = asyncio.create_task(server.serve(sockets=[listening]))
        beside = asyncio.create_task(company)
        try:
            await asyncio.wait({job, beside}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._floor.clear()
            server.end()
            beside.cancel()
            await asyncio.wait({job, beside})
        job.result()
        beside.result()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and without waking ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The process has its own.
        yield

    def end(self) -> None:
        """Have `serve` return, once everybody has been told."""
        self.should_exit = True
        self._end.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_S):
                    await self._end.wait()


class _Deadly:
    """Runs each request in the page's task group.

    uvicorn would log an unexpected exception and go on; here it ends the process.
    """

    def __init__(self, app: ASGIApp, group: asyncio.TaskGroup) -> None:
        self._app = app
        self._group = group

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = self._group.create_task(self._serve(scope, receive, send))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await self._app(scope, receive, send)


class _Protocol(H11Protocol):
    """HTTP/1.1 with a bound on connections and on waiting for a request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        peers = [_peer(each) for each in self.connections]
        is_full = len(peers) > CONNECTIONS
        if is_full or peers.count(_peer(self)) > CONNECTIONS_EACH:
            transport.abort()
            return
        self._check_later()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, WebSocketsSansIOProtocol)
        # A head that h11 takes and websockets does not is never answered, and from
        # here on nobody would close the connection.
        if not protocol.handshake_initiated:
            self.transport.abort()

    def _check_later(self) -> None:
        self.loop.call_later(REQUEST_S, self._check, self.cycle)

    def _check(self, seen: object) -> None:
        """Close a connection on which no request has begun since the last look.

        One that has is over by now: its body is read for at most `PATIENCE_S`.
        """
        if self not in self.connections:
            return
        if self.cycle is seen:
            self.transport.abort()
            return
        self._check_later()


def _peer(connection: object) -> str:
    """Return the address at the other end; empty when it is gone already."""
    if not isinstance(connection, H11Protocol | WebSocketsSansIOProtocol):
        return ""
    return connection.client[0] if connection.client else ""


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http=_Protocol,
        ws="websockets-sansio",
        ws_max_size=LIMIT_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        # A view is 4 kB on a LAN: compression would cost 30 kB per phone and CPU.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        # Its lines about bad requests would let any stranger fill the journal.
        log_level="critical",
        access_log=False,
        # Nobody stands before us who could tell a client's address truthfully.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GOODBYE_S,
    )
