"""Routes of the page, its static files, and the handlers of plain requests."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from appliance.core.view import ConnectionState, View
from appliance.display.rendering import png
from appliance.page import answer
from appliance.page.access import FORM, HEALTH, PairingForm
from appliance.page.answer import RequestRefused
from appliance.page.commands import (
    AnyRequest,
    ChatRequest,
    GainRequest,
    JoinRequest,
    LeaveRequest,
    MuteRequest,
    TalkRequest,
    VolumeRequest,
    from_body,
)
from appliance.page.controls import Client, Controls
from appliance.page.snapshot import Snapshot
from appliance.page.websocket import LiveEndpoint

POSTS: dict[str, type[AnyRequest]] = {
    "/api/chat": ChatRequest,
    "/api/talk": TalkRequest,
    "/api/mute": MuteRequest,
    "/api/leave": LeaveRequest,
    "/api/join": JoinRequest,
    "/api/volume": VolumeRequest,
    "/api/microphone_gain": GainRequest,
}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
NEEDS_SOUND = frozenset(
    {
        ConnectionState.CONNECTING,
        ConnectionState.CONNECTED,
        ConnectionState.RECONNECTING,
    }
)
OUT = frozenset({ConnectionState.DISCONNECTED, ConnectionState.REFUSED})


@dataclass(frozen=True, slots=True)
class Asset:
    """Content of a static file."""

    content: bytes
    kind: str
    tag: str
    """ETag, so that browsers load changed files at once after an upgrade."""


class Api:
    """Handlers of plain requests."""

    def __init__(
        self,
        snapshot: Snapshot,
        controls: Controls,
        assets: dict[str, Asset],
        metrics: Callable[[], Awaitable[str]],
    ) -> None:
        """Read from `snapshot`; commands go to `controls`."""
        self._snapshot = snapshot
        self._controls = controls
        self._assets = assets
        self._metrics = metrics

    async def page(self, request: Request) -> Response:
        """`GET /`."""
        return _file_response(self._assets["index.html"], request)

    async def file(self, request: Request) -> Response:
        """`GET /static/{name}`."""
        found = self._assets.get(request.path_params["name"])
        if found is None or found.kind == KINDS[".html"]:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _file_response(found, request)

    async def view(self, _: Request) -> Response:
        """`GET /api/view`."""
        await self._snapshot.prepare()
        content = self._snapshot.json()
        return Response(content, HTTPStatus.OK, answer.NO_STORE, answer.JSON)

    async def screen(self, _: Request) -> Response:
        """`GET /api/screen.png`."""
        await self._snapshot.prepare()
        picture = self._snapshot.drawing().picture
        if picture is None:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "Pillow is missing")
        return Response(png(picture), HTTPStatus.OK, answer.NO_STORE, KINDS[".png"])

    async def metrics(self, _: Request) -> Response:
        """`GET /metrics`."""
        return Response(await self._metrics(), HTTPStatus.OK, media_type=PROMETHEUS)

    async def health(self, _: Request) -> Response:
        """`GET /health`."""
        view = self._snapshot.view
        sick, faults = health(view)
        status = HTTPStatus.SERVICE_UNAVAILABLE if sick else HTTPStatus.OK
        word = "sick" if sick else "ok"
        content = {"status": word, "faults": faults, "fault_ids": view.fault_ids}
        return answer.json(content, status)

    async def post(self, request: Request) -> Response:
        """`POST /api/…`."""
        content = await answer.body_of(request)
        command = from_body(content, POSTS[request.url.path])
        return answer.json(self._controls.execute(command, Client(request.state.owner)))


def health(view: View) -> tuple[bool, tuple[str, ...]]:
    """Return whether a sound device is missing, and the faults without any names."""
    is_wanted = view.connection in NEEDS_SOUND
    checks = (
        (not view.has_microphone and not view.is_listener, "no microphone"),
        (not view.has_speaker and not view.is_announcer, "no speaker"),
    )
    sound = tuple(words for is_wrong, words in checks if is_wrong and is_wanted)
    room = (f"room: {view.connection}",) if view.connection in OUT else ()
    return bool(sound), sound + room


def application(api: Api, live: LiveEndpoint, form: PairingForm) -> Starlette:
    """Return the application without access control."""
    posts = [Route(path, api.post, methods=["POST"]) for path in POSTS]
    routes: list[BaseRoute] = [
        Route("/", api.page),
        Route("/static/{name}", api.file),
        Route("/api/view", api.view),
        Route("/api/screen.png", api.screen),
        Route("/metrics", api.metrics),
        Route(HEALTH, api.health),
        Route(FORM, form.show),
        Route(FORM, form.enter, methods=["POST"]),
        WebSocketRoute("/api/live", live.__call__),
        *posts,
    ]
    handlers = {RequestRefused: answer.on_refused, HTTPException: answer.on_http_error}
    return Starlette(routes=routes, exception_handlers=handlers)


def load_assets() -> dict[str, Asset]:
    """Return all static files by name."""
    found = {}
    for entry in files("appliance.page").joinpath("static").iterdir():
        kind = KINDS.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[entry.name] = Asset(content, kind, tag)
    return found


def build_version(assets: dict[str, Asset]) -> str:
    """Return a version for these files, which differs if any of them differs."""
    facts = "".join(f"{name}{assets[name].tag}" for name in sorted(assets))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _file_response(asset: Asset, request: Request) -> Response:
    """Return the file, or 304 if the browser has it in its cache."""
    headers = {"cache-control": "no-cache", "etag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(asset.content, HTTPStatus.OK, headers, asset.kind)
