"""ASGI application of the token server: endpoints, CORS and the `Host` check.

It implements LiveKit's standard endpoint and the ones of other projects, with every
spelling of the fields, so that each client can use it. A request passes `access` (who
asks) and `request` (what for), then `signing` makes the token.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from appliance.net.host_check import HostCheck
from appliance.net.http_limits import (
    BODY_S,
    BodyTooLongError,
    BodyTooSlowError,
    read_body,
)
from appliance.net.url import host_and_port
from appliance.process.logs import LogLimit
from appliance.token_server.access import (
    Access,
    Reason,
    Refused,
    client_address,
    header_text,
)
from appliance.token_server.config import TokenServerSettings
from appliance.token_server.request import GrantReader, Values, shown
from appliance.token_server.signing import Issuer, LiveKitIssuer, TokenRequest

LINES: Final = 20
"""Log lines a minute for issued tokens; further ones are only counted."""

_log = logging.getLogger(__name__)

MAX_BODY: Final = 16 * 1024
"""Bytes; longer than everything that may be in a request."""
PATHS: Final = ("/api/token", "/api/join", "/api/connection-details")
"""LiveKit's standard endpoint, dTelecom's and LiveKit Meet's; all do the same."""
_URL_NAMES: Final = ("server_url", "serverUrl", "wsUrl")
_TOKEN_NAMES: Final = ("participant_token", "participantToken", "token", "accessToken")
_UNAUTHORIZED: Final = 401


class RequestLog:
    """Log of issued tokens and of refusals, with a limit on the lines."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._issued = LogLimit(LINES)
        self._refused = LogLimit(1)

    def issued(self, room: str, identity: str) -> None:
        """Log that a token was issued."""
        message = "token issued  room=%s identity=%.6s"
        self._issued.log(_log, logging.INFO, message, room, identity)

    def refused(self, reason: Reason) -> None:
        """Log that a request was refused, one line a minute and reason."""
        self._refused.log(_log, logging.INFO, f"requests refused for {reason}")


def app(
    settings: TokenServerSettings,
    now_s: Callable[[], float] = time.time,
    *,
    body_s: float = BODY_S,
    issuer: Issuer | None = None,
) -> Starlette:
    """Return the ASGI application.

    Args:
        settings: of the server.
        now_s: returns seconds since the epoch.
        body_s: time limit for a request body.
        issuer: replaces the one for the configured kind of server, for tests.
    """
    log = RequestLog()
    routes = _Routes(settings, log, now_s, body_s, issuer or _issuer(settings))
    paths = (path + end for path in PATHS for end in ("", "/"))
    application = Starlette(
        routes=[
            *(Route(path, routes.token, methods=["GET", "POST"]) for path in paths),
            Route("/health", routes.health),
        ],
        middleware=_middleware(settings, log),
    )
    # Not every client follows the redirection of a POST.
    application.router.redirect_slashes = False
    return application


class _Routes:
    """Endpoints of one server."""

    def __init__(
        self,
        settings: TokenServerSettings,
        log: RequestLog,
        now_s: Callable[[], float],
        body_s: float,
        issuer: Issuer,
    ) -> None:
        self._config = settings.config
        self._log = log
        self._now_s = now_s
        self._body_s = body_s
        self._access = Access(settings.config)
        self._reader = GrantReader(settings.config, self._access)
        self._issuer = issuer

    async def token(self, request: Request) -> Response:
        """Respond with a token, or with the reason why there is none."""
        try:
            answer = await self._answer(request)
        except Refused as exc:
            self._log.refused(exc.reason)
            return _refusal(exc)
        status = 201 if request.method == "POST" else 200
        headers = {"cache-control": "no-store"}
        content = msgspec.json.encode(answer)
        return Response(content, status, headers, "application/json")

    async def health(self, _: Request) -> Response:
        """Respond that the server runs."""
        return JSONResponse({"status": "ok"})

    async def _answer(self, request: Request) -> dict[str, object]:
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._config.origins:
            sentence = (
                "this origin is not allowed to request tokens; add it to origins."
            )
            raise Refused(403, Reason.ORIGIN, sentence)
        own = self._access.own_identity(request.scope)
        values = await _values(request, self._body_s)
        try:
            grant = self._reader.grant(
                values, header_text(request.headers, "x-user-id"), own
            )
        except RecursionError as exc:
            raise Refused(400, Reason.BODY, "the JSON is nested too deeply.") from exc
        address = client_address(request.scope)
        wanted = TokenRequest(grant, address, int(self._now_s()), self._config.ttl_s)
        issued = await self._issuer.issue(wanted)
        self._log.issued(grant.room, grant.identity)
        return {
            **dict.fromkeys(_URL_NAMES, issued.url),
            **dict.fromkeys(_TOKEN_NAMES, issued.token),
            **dict.fromkeys(("room_name", "roomName"), grant.room),
            **dict.fromkeys(("participant_name", "participantName"), grant.name),
            "expires_at": wanted.now_s + wanted.ttl_s,
            **({"fallback_urls": issued.fallback_urls} if issued.fallback_urls else {}),
        }


def _issuer(settings: TokenServerSettings) -> Issuer:
    if settings.config.kind == "dtelecom":
        from appliance.token_server.dtelecom import DTelecomIssuer

        return DTelecomIssuer(settings)
    return LiveKitIssuer(settings.api_keys)


def _middleware(settings: TokenServerSettings, log: RequestLog) -> list[Middleware]:
    config = settings.config

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        host = Request(scope).headers.get("host", "")
        place = host_and_port(host) or host_and_port(f"{host}:80")
        name = shown(place[0]) if place else "its name"
        sentence = f"this host is not known here; if it is, add {name} to hosts."
        log.refused(Reason.HOST)
        await _refusal(Refused(400, Reason.HOST, sentence))(scope, receive, send)

    return [
        Middleware(HostCheck, names=config.hosts, refusal=refuse),
        Middleware(
            CORSMiddleware,
            allow_origins=list(config.origins),
            allow_methods=["GET", "POST"],
            allow_headers=list(config.request_headers),
        ),
    ]


async def _values(request: Request, body_s: float) -> Values:
    """Return the fields of query and body.

    Raises:
        Refused: the body is no JSON object, or a field is given twice.
    """
    fields: list[tuple[str, object]] = [*request.query_params.multi_items()]
    if request.method == "POST":
        fields += (await _body(request, body_s)).items()
    values: dict[str, object] = {}
    for name, value in fields:
        if values.setdefault(name, value) != value:
            sentence = "this field is given twice, with different values."
            raise Refused(400, Reason.FIELD, sentence, shown(name))
    return values


async def _body(request: Request, body_s: float) -> dict[str, object]:
    try:
        body = await read_body(request, MAX_BODY, body_s)
    except BodyTooLongError as exc:
        sentence = f"the body may have at most {MAX_BODY} bytes."
        raise Refused(413, Reason.BODY, sentence) from exc
    except BodyTooSlowError as exc:
        sentence = "the body was not complete in time."
        raise Refused(408, Reason.BODY, sentence) from exc
    except ClientDisconnect as exc:
        raise Refused(400, Reason.BODY, "the body is incomplete.") from exc
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        sentence = "expected a JSON object, found something else."
        raise Refused(400, Reason.BODY, sentence) from exc


def _refusal(exc: Refused) -> Response:
    body = {"error": exc.sentence} | ({"key": exc.key} if exc.key else {})
    headers = {"www-authenticate": "Bearer"} if exc.status == _UNAUTHORIZED else None
    return JSONResponse(body, exc.status, headers)
