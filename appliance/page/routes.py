"""Routes of the page, and the handlers of plain requests."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from appliance.core.view import ConnectionState, View
from appliance.display.rendering import png
from appliance.page import answer, static_files
from appliance.page.access import FORM, HEALTH
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
from appliance.page.pairing_form import PairingForm
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
NEEDS_SOUND = frozenset(
    {
        ConnectionState.CONNECTING,
        ConnectionState.CONNECTED,
        ConnectionState.RECONNECTING,
    }
)
OUT = frozenset({ConnectionState.DISCONNECTED, ConnectionState.REFUSED})


class Api:
    """Handlers of plain requests."""

    def __init__(
        self,
        snapshot: Snapshot,
        controls: Controls,
        assets: dict[str, static_files.Asset],
        metrics: Callable[[], Awaitable[str]],
    ) -> None:
        """Read from `snapshot`; commands go to `controls`."""
        self._snapshot = snapshot
        self._controls = controls
        self._assets = assets
        self._metrics = metrics

    async def page(self, request: Request) -> Response:
        """`GET /`."""
        return static_files.answer(self._assets["index.html"], request)

    async def file(self, request: Request) -> Response:
        """`GET /static/{name}`."""
        found = self._assets.get(request.path_params["name"])
        if found is None or found.kind == static_files.KINDS[".html"]:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return static_files.answer(found, request)

    async def view(self, _: Request) -> Response:
        """`GET /api/view`."""
        await self._snapshot.prepare()
        headers = {"cache-control": "no-store"}
        return Response(self._snapshot.json(), HTTPStatus.OK, headers, answer.JSON)

    async def screen(self, _: Request) -> Response:
        """`GET /api/screen.png`."""
        await self._snapshot.prepare()
        picture = self._snapshot.drawing().picture
        if picture is None:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "Pillow is missing")
        headers = {"cache-control": "no-store"}
        return Response(
            png(picture), HTTPStatus.OK, headers, static_files.KINDS[".png"]
        )

    async def metrics(self, _: Request) -> Response:
        """`GET /metrics`."""
        return Response(await self._metrics(), HTTPStatus.OK, media_type=PROMETHEUS)

    async def health(self, _: Request) -> Response:
        """`GET /health`."""
        sick, faults = health(self._snapshot.view)
        status = HTTPStatus.SERVICE_UNAVAILABLE if sick else HTTPStatus.OK
        word = "sick" if sick else "ok"
        return answer.json({"status": word, "faults": faults}, status)

    async def post(self, request: Request) -> Response:
        """`POST /api/…`."""
        content = await answer.body_of(request)
        command = from_body(content, POSTS[request.url.path])
        return answer.json(self._controls.take(command, Client(request.state.owner)))


def health(view: View) -> tuple[bool, tuple[str, ...]]:
    """Return whether a sound device is missing, and the faults without any names."""
    is_wanted = view.connection in NEEDS_SOUND
    checks = (
        (is_wanted and not view.has_microphone, "no microphone"),
        (is_wanted and not view.has_speaker, "no speaker"),
    )
    sound = tuple(words for is_wrong, words in checks if is_wrong)
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
