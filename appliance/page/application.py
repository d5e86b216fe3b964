"""ASGI application of the page: routes and static files, with uvicorn in our loop.

Imported late, in a thread, because Starlette and uvicorn take long to import.
"""

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib.resources import files
from typing import get_args

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from appliance.core.view import ConnectionState, View
from appliance.display.rendering import png
from appliance.net.host_check import own_names
from appliance.net.http_server import (
    SHUTDOWN_S,
    UVICORN,
    BoundedServer,
    ConnectionLimits,
    RateLimited,
    ServerLimits,
    WebSocketProtocol,
)
from appliance.net.rate_limit import Rate, RateLimit
from appliance.page import access
from appliance.page.adapter import PageSettings
from appliance.page.controls import Client, Controls
from appliance.page.messages import (
    AnyRequest,
    LatestView,
    RequestRefused,
    from_body,
)
from appliance.page.pairing import Pairing
from appliance.page.websocket import LiveEndpoint
from appliance.ports import Post
from appliance.process.background import Background

POSTS: dict[str, type[AnyRequest]] = {
    f"/api/{kind.__struct_config__.tag}": kind for kind in get_args(AnyRequest)
}
"""Each command by its path, which ends in its name on the WebSocket."""
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
NOT_IN_ROOM = frozenset({ConnectionState.DISCONNECTED, ConnectionState.REFUSED})
WITHOUT_SOUND = frozenset({ConnectionState.LEFT, ConnectionState.REFUSED})
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


@dataclass(frozen=True, slots=True)
class Api:
    """Handlers of plain requests."""

    latest: LatestView
    controls: Controls
    assets: dict[str, Response]
    metrics_text: Callable[[], Awaitable[str]]

    async def page(self, _: Request) -> Response:
        """`GET /`."""
        return self.assets["index.html"]

    async def file(self, request: Request) -> Response:
        """`GET /static/{name}`."""
        found = self.assets.get(request.path_params["name"])
        if found is None or found.media_type == MEDIA_TYPES[".html"]:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return found

    async def view(self, _: Request) -> Response:
        """`GET /api/view`."""
        await self.latest.prepare()
        content = self.latest.json()
        return Response(content, HTTPStatus.OK, access.NO_STORE, access.JSON)

    async def screen(self, _: Request) -> Response:
        """`GET /api/screen.png`."""
        await self.latest.prepare()
        picture = self.latest.drawing()[1]
        if picture is None:
            sentence = "Pillow is not installed."
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        media_type = MEDIA_TYPES[".png"]
        return Response(png(picture), HTTPStatus.OK, access.NO_STORE, media_type)

    async def metrics(self, _: Request) -> Response:
        """`GET /metrics`."""
        return Response(await self.metrics_text(), HTTPStatus.OK, media_type=PROMETHEUS)

    async def health(self, _: Request) -> Response:
        """`GET /health`; the state of the room is no fault of the box."""
        view = self.latest.view
        missing = missing_devices(view)
        room = [f"room: {view.connection}"] if view.connection in NOT_IN_ROOM else []
        return access.json_response(
            {
                "status": "sick" if missing else "ok",
                "faults": [*missing, *room],
                "fault_ids": view.fault_ids,
            },
            HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK,
        )

    async def post(self, request: Request) -> Response:
        """`POST /api/…`."""
        content = await access.body_of(request)
        command = from_body(content, POSTS[request.url.path])
        address = request.client.host if request.client else ""
        client = Client(request.state.login, address=address)
        return access.json_response(self.controls.execute(command, client))


def missing_devices(view: View) -> list[str]:
    """Return the sound devices that the box needs and does not have, without names.

    A box that left or was refused has closed its sound card and needs none.
    """
    missing = []
    if not view.has_microphone and not view.is_listener:
        missing.append("no microphone")
    if not view.has_speaker and not view.is_announcer:
        missing.append("no speaker")
    return [] if view.connection in WITHOUT_SOUND else missing


def application(api: Api, live: LiveEndpoint, form: access.PairingForm) -> Starlette:
    """Return the application without access control."""
    routes: list[BaseRoute] = [
        Route("/", api.page),
        Route("/static/{name}", api.file),
        Route("/api/view", api.view),
        Route("/api/screen.png", api.screen),
        Route("/metrics", api.metrics),
        Route(access.HEALTH, api.health),
        Route(access.FORM, form.show),
        Route(access.FORM, form.enter, methods=["POST"]),
        WebSocketRoute("/api/live", live.__call__),
        *(Route(path, api.post, methods=["POST"]) for path in POSTS),
    ]
    handlers = {RequestRefused: _refused, HTTPException: _refused}
    return Starlette(routes=routes, exception_handlers=handlers)


async def _refused(_: Request, exc: Exception) -> Response:
    """Return the response to a refusal, ours or one of Starlette's own (404, 405)."""
    if isinstance(exc, HTTPException):
        status = HTTPStatus(exc.status_code)
        exc = RequestRefused(status, f"{status.phrase}.", headers=exc.headers)
    assert isinstance(exc, RequestRefused)
    return access.refusal_response(exc)


def load_assets() -> dict[str, Response]:
    """Return the responses with all static files, by name.

    `no-cache`, so that browsers load those of another version after an upgrade.
    """
    headers = {"cache-control": "no-cache"}
    found = {}
    for entry in files("appliance.page").joinpath("static").iterdir():
        media_type = MEDIA_TYPES.get("." + entry.name.rpartition(".")[2])
        if media_type is not None:
            content = entry.read_bytes()
            found[entry.name] = Response(content, HTTPStatus.OK, headers, media_type)
    return found


def default_limits(now_s: Callable[[], float]) -> ServerLimits:
    """Return the limits on clients of the page; `now_s` is a monotonic clock."""
    refused = RequestRefused(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many requests. Wait a few seconds.",
        headers=access.SECURITY_HEADERS | {"retry-after": "5", "connection": "close"},
    )
    return ServerLimits(
        connections=CONNECTIONS,
        requests=RateLimit(REQUESTS_EACH, REQUESTS, now_s),
        refusal=access.refusal_response(refused),
    )


class WebServer:
    """Web server of the page, with its application."""

    def __init__(
        self,
        background: Background,
        settings: PageSettings,
        latest: LatestView,
        pairing: Pairing,
        post: Post,
    ) -> None:
        """Create the application; requests run as tasks of `background`."""
        assets = load_assets()
        content = b"".join(bytes(assets[name].body) for name in sorted(assets))
        latest.build = hashlib.sha256(content).hexdigest()[:16]
        self._background = background
        controls = Controls(latest, post, settings.now_s)
        self._leases = controls.leases
        # Nobody else could release the button of a login that is not valid any more.
        pairing.on_change = lambda: self._leases.release_where(
            lambda client: not pairing.is_valid(client.login)
        )
        form_html = bytes(assets["pair.html"].body).decode()
        routes = application(
            Api(latest, controls, assets, settings.metrics),
            LiveEndpoint(latest, controls, pairing, settings.now_s),
            access.PairingForm(pairing, form_html, settings.pin_hint),
        )
        self._app = access.AccessControl(routes, pairing, own_names(settings.name))
        limits = settings.limits or default_limits(settings.now_s)
        self._limits = replace(limits, on_refused=self._release_address)

    def _release_address(self, address: str) -> None:
        """End the talks of plain requests: the refused one may be a release."""
        self._leases.release_where(lambda client: client.address == address)

    async def serve(self, listening: socket.socket) -> None:
        """Serve on this socket until cancelled, then close it and every connection."""
        config = uvicorn.Config(
            _RequestTasks(RateLimited(self._app, self._limits), self._background),
            **UVICORN,
            loop="none",
            ws=WebSocketProtocol,
            ws_max_size=access.LIMIT_BYTES,
            ws_ping_interval=self._limits.ping_s,
            ws_ping_timeout=self._limits.ping_s,
            # A view has 4 kB, with a full chat log 37 kB, on a LAN: compression would
            # cost 30 kB of memory per phone, and CPU.
            ws_per_message_deflate=False,
            # Its lines about bad requests would let any client fill the journal.
            log_level="critical",
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        async with BoundedServer(config, self._limits).serving(listening):
            try:
                await asyncio.Event().wait()
            finally:
                self._leases.release_where(lambda _: True)


class _RequestTasks:
    """ASGI middleware that runs each request as a task of the adapter.

    An unexpected exception ends the adapter and the process; uvicorn would log it and
    go on.
    """

    def __init__(self, app: RateLimited, background: Background) -> None:
        self._app = app
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = self._background.start(self._app(scope, receive, send))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
