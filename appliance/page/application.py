"""uvicorn inside our loop, with our limits; imported only when the page is served."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.net.acceptor import ConnectionLimits
from appliance.net.host_check import own_names
from appliance.net.http_protocol import HEAD_BYTES, WebSocketProtocol
from appliance.net.http_server import CLIENT_LEFT, BoundedServer, ServerLimits
from appliance.net.rate_limit import Rate, RateLimit
from appliance.page import static_files
from appliance.page.access import AccessControl, too_many_requests
from appliance.page.body import LIMIT_BYTES
from appliance.page.controls import Controls
from appliance.page.pairing import Pairing
from appliance.page.pairing_form import PairingForm
from appliance.page.routes import Api, application
from appliance.page.settings import PageSettings
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
"""64 for requests and 16 WebSockets. From one address two or three open pages, so that
it cannot shut out all others; a script may connect anew for each request."""
REQUESTS_EACH = Rate(burst=150, per_s=30)
"""Per address: a page load is twenty requests, a volume slider ten a second."""
REQUESTS = Rate(burst=600, per_s=100)
"""Over all addresses: what a flood from many of them may cost."""
DATE_S = 1.0
"""How often uvicorn makes a new `Date`."""
GOODBYE_S = 1
"""R1.4 gives the whole process 3 s."""
PING_S = 5.0
"""A phone that left the Wi-Fi is noticed, and its talk released, within 10 s."""


def default_limits(now_s: Callable[[], float]) -> ServerLimits:
    """Return what clients may take of the page; `now_s` is a monotonic clock."""
    return ServerLimits(
        connections=CONNECTIONS,
        requests=RateLimit(REQUESTS_EACH, REQUESTS, now_s),
        refusal=too_many_requests(),
    )


class WebServer:
    """The application and how it is served."""

    def __init__(
        self,
        background: Background,
        site: PageSettings,
        snapshot: Snapshot,
        pairing: Pairing,
        post: Post,
    ) -> None:
        """Put the parts together; requests run as tasks of `background`."""
        assets = static_files.load()
        snapshot.build = static_files.build(assets)
        self._background = background
        self._leases = TalkLeases(post)
        controls = Controls(snapshot, post, self._leases, site.now_s)
        routes = application(
            Api(snapshot, controls, assets, site.metrics),
            LiveEndpoint(snapshot, controls, pairing, site.now_s),
            PairingForm(pairing, assets, site.pin_hint),
        )
        self._guard = AccessControl(routes, pairing, own_names(site.name))
        self._limits = site.limits or default_limits(site.now_s)

    async def serve(
        self, listening: socket.socket, company: Coroutine[None, None, None]
    ) -> None:
        """Serve on this socket until cancelled, with `company` running beside it.

        At the end the socket and every connection are closed.
        """
        app = self._limits.bound(_Deadly(self._guard, self._background))
        server = _Server(_config(app), self._limits)
        job = asyncio.create_task(server.serve(sockets=[listening]))
        beside = asyncio.create_task(company)
        try:
            await asyncio.wait({job, beside}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leases.clear()
            server.end()
            beside.cancel()
            await asyncio.wait({job, beside})
        job.result()
        beside.result()


class _Server(BoundedServer):
    """uvicorn without its signal handlers, and without waking ten times a second."""

    def __init__(self, config: uvicorn.Config, limits: ServerLimits) -> None:
        super().__init__(config, limits)
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
    That a client left is expected.
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


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws=WebSocketProtocol,
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
