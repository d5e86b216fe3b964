"""ASGI application of the page, and uvicorn in our event loop with our limits.

Imported late, in a thread, because Starlette and uvicorn take long to import.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.net.host_check import own_names
from appliance.net.http_limits import (
    HEAD_BYTES,
    ConnectionLimits,
    Rate,
    RateLimit,
    ServerLimits,
)
from appliance.net.http_protocol import WebSocketProtocol
from appliance.net.http_server import CLIENT_LEFT, BoundedServer, RateLimited
from appliance.page.access import AccessControl, PairingForm, too_many_requests
from appliance.page.adapter import PageSettings
from appliance.page.answer import LIMIT_BYTES
from appliance.page.controls import Controls
from appliance.page.pairing import Pairing
from appliance.page.routes import Api, application, build_version, load_assets
from appliance.page.snapshot import Snapshot
from appliance.page.talk_leases import TalkLeases
from appliance.page.websocket import LiveEndpoint
from appliance.ports import Post
from appliance.process.background import Background

CONNECTIONS = ConnectionLimits(
    total=80,
    each=24,
    rate=Rate(burst=200, per_s=50),
    rate_each=Rate(burst=60, per_s=20),
)
"""In all 64 for requests and 16 WebSockets. One address has enough for two or three
open pages and cannot use up all; scripts may open a connection for each request."""
REQUESTS_EACH = Rate(burst=150, per_s=30)
"""Per address: loading the page takes twenty requests, a slider ten a second."""
REQUESTS = Rate(burst=600, per_s=100)
"""Over all addresses: bounds the cost of a flood from many of them."""
DATE_S = 1.0
"""Interval at which uvicorn updates the header `Date`."""
SHUTDOWN_S = 1
"""Time for open requests to end; the whole process has 3 s."""


def default_limits(now_s: Callable[[], float]) -> ServerLimits:
    """Return the limits on clients of the page; `now_s` is a monotonic clock."""
    return ServerLimits(
        connections=CONNECTIONS,
        requests=RateLimit(REQUESTS_EACH, REQUESTS, now_s),
        refusal=too_many_requests(),
    )


class WebServer:
    """Web server of the page, with its application."""

    def __init__(
        self,
        background: Background,
        site: PageSettings,
        snapshot: Snapshot,
        pairing: Pairing,
        post: Post,
    ) -> None:
        """Create the application; requests run as tasks of `background`."""
        assets = load_assets()
        snapshot.build = build_version(assets)
        self._background = background
        self._leases = TalkLeases(post)
        controls = Controls(snapshot, post, self._leases, site.now_s)
        form_html = assets["pair.html"].content.decode()
        routes = application(
            Api(snapshot, controls, assets, site.metrics),
            LiveEndpoint(snapshot, controls, pairing, site.now_s),
            PairingForm(pairing, form_html, site.pin_hint),
        )
        self._app = AccessControl(routes, pairing, own_names(site.name))
        self._limits = site.limits or default_limits(site.now_s)

    async def serve(
        self, listening: socket.socket, announce: Coroutine[None, None, None]
    ) -> None:
        """Serve on this socket until cancelled, then close it and every connection.

        Args:
            listening: the socket.
            announce: posts the address and the PIN while the page is served.
        """
        app = RateLimited(_RequestTasks(self._app, self._background), self._limits)
        server = _Server(_config(app, self._limits.ping_s), self._limits)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        announcing = asyncio.create_task(announce)
        try:
            await asyncio.wait(
                {serving, announcing}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._leases.clear()
            server.end()
            announcing.cancel()
            await asyncio.wait({serving, announcing})
        serving.result()
        announcing.result()


class _Server(BoundedServer):
    """uvicorn without signal handlers and without its loop at ten times a second."""

    def __init__(self, config: uvicorn.Config, limits: ServerLimits) -> None:
        super().__init__(config, limits)
        self._end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The process has its own handlers.
        yield

    def end(self) -> None:
        """Make `serve` close every connection and return."""
        self.should_exit = True
        self._end.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_S):
                    await self._end.wait()


class _RequestTasks:
    """ASGI middleware that runs each request as a task of the adapter.

    An unexpected exception ends the adapter and the process; uvicorn would log it and
    go on. A client that disconnects is not unexpected.
    """

    def __init__(self, app: ASGIApp, background: Background) -> None:
        self._app = app
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = self._background.start(self._serve(scope, receive, send))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(*CLIENT_LEFT):
            await self._app(scope, receive, send)


def _config(app: ASGIApp, ping_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws=WebSocketProtocol,
        ws_max_size=LIMIT_BYTES,
        ws_ping_interval=ping_s,
        ws_ping_timeout=ping_s,
        # A view has 4 kB, on a LAN: compression would cost 30 kB per phone, and CPU.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        # Its lines about bad requests would let any client fill the journal.
        log_level="critical",
        access_log=False,
        # There is no proxy whose headers could be trusted.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
