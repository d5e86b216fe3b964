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
from prometheus_client import (
    CollectorRegistry,
    Counter,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from appliance.net.host_check import HostCheck, named_host
from appliance.net.http_protocol import (
    BODY_S,
    BodyTooLongError,
    read_body,
)
from appliance.process.logs import LogLimit
from appliance.token_server.access import Access, client_address
from appliance.token_server.config import (
    Reason,
    Refused,
    TokenServerSettings,
    header_text,
    shown,
)
from appliance.token_server.request import GrantReader, Values
from appliance.token_server.signing import Issuer, LiveKitIssuer, TokenRequest

LINES: Final = 20
"""Log lines a minute for issued tokens; further ones are only counted."""

_log = logging.getLogger(__name__)
# The time at which each counter began, a metric of its own, says nothing here.
disable_created_metrics()

MAX_BODY: Final = 16 * 1024
"""Bytes; longer than everything that may be in a request."""
PATHS: Final = ("/api/token", "/api/join", "/api/connection-details")
"""LiveKit's standard endpoint, dTelecom's and LiveKit Meet's; all do the same."""
_URL_NAMES: Final = ("server_url", "serverUrl", "wsUrl")
_TOKEN_NAMES: Final = ("participant_token", "participantToken", "token", "accessToken")
_UNAUTHORIZED: Final = 401


class Counts:
    """Counts of issued tokens and refusals for Prometheus, with a log of them."""

    def __init__(self) -> None:
        """Start at zero; `registry` has memory and CPU of the process as well."""
        self.registry = CollectorRegistry()
        self._issued = Counter(
            "ptt_tokens_issued", "Tokens issued.", registry=self.registry
        )
        self._refused = Counter(
            "ptt_token_requests_refused",
            "Requests refused.",
            ["reason"],
            registry=self.registry,
        )
        for reason in Reason:
            # Shown while it is zero, too.
            self._refused.labels(reason)
        ProcessCollector(registry=self.registry)
        self._issued_log = LogLimit(LINES)
        self._refused_log = LogLimit(1)

    def note_issued(self, room: str, identity: str) -> None:
        """Count and log that a token was issued."""
        self._issued.inc()
        message = "token issued  room=%s identity=%.6s"
        self._issued_log.log(_log, logging.INFO, message, room, identity)

    def note_refused(self, reason: Reason) -> None:
        """Count and log that a request was refused, one line a minute and reason."""
        self._refused.labels(reason).inc()
        message = f"requests refused for {reason}"
        self._refused_log.log(_log, logging.INFO, message)


def app(
    settings: TokenServerSettings,
    now_s: Callable[[], float] = time.time,
    *,
    body_s: float = BODY_S,
    issuer: Issuer | None = None,
    counts: Counts | None = None,
) -> Starlette:
    """Return the ASGI application.

    `now_s` returns seconds since the epoch, `issuer` replaces the configured one for
    tests, and `counts` has also the requests that do not reach the application.
    """
    counts = counts or Counts()
    routes = _Routes(settings, counts, now_s, body_s, issuer or _issuer(settings))
    paths = (path + end for path in PATHS for end in ("", "/"))
    application = Starlette(
        routes=[
            *(Route(path, routes.token, methods=["GET", "POST"]) for path in paths),
            Route("/health", routes.health),
            Route("/metrics", routes.metrics),
        ],
        middleware=_middleware(settings, counts),
        exception_handlers={Refused: routes.refuse},
    )
    # Not every client follows the redirection of a POST.
    application.router.redirect_slashes = False
    return application


class _Routes:
    """Endpoints of one server."""

    def __init__(
        self,
        settings: TokenServerSettings,
        counts: Counts,
        now_s: Callable[[], float],
        body_s: float,
        issuer: Issuer,
    ) -> None:
        self._config = settings.config
        self._counts = counts
        self._now_s = now_s
        self._body_s = body_s
        self._access = Access(settings.config)
        self._reader = GrantReader(settings.config, self._access)
        self._issuer = issuer

    async def token(self, request: Request) -> Response:
        """Respond with a token."""
        answer = await self._answer(request)
        status = 201 if request.method == "POST" else 200
        return JSONResponse(answer, status, {"cache-control": "no-store"})

    async def health(self, _: Request) -> Response:
        """Respond that the server runs."""
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """Respond with the metrics, to this machine or to the shared secret."""
        self._access.check_metrics(request.scope)
        return Response(generate_latest(self._counts.registry), media_type="text/plain")

    async def refuse(self, _: Request, exc: Exception) -> Response:
        """Respond with the reason of a refusal; Starlette's exception handler."""
        assert isinstance(exc, Refused)
        self._counts.note_refused(exc.reason)
        return _refusal(exc)

    async def _answer(self, request: Request) -> dict[str, object]:
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._config.origins:
            sentence = (
                "this origin is not allowed to request tokens; add it to origins."
            )
            raise Refused(403, Reason.ORIGIN, sentence)
        caller = self._access.caller(request.scope)
        values = await _values(request, self._body_s)
        try:
            grant = self._reader.grant(
                values, header_text(request.headers, "x-user-id"), caller
            )
        except RecursionError as exc:
            raise Refused(400, Reason.BODY, "the JSON is nested too deeply.") from exc
        address = client_address(request.scope)
        wanted = TokenRequest(grant, address, int(self._now_s()), self._config.ttl_s)
        issued = await self._issuer.issue(wanted)
        self._counts.note_issued(grant.room, grant.identity)
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


def _middleware(settings: TokenServerSettings, counts: Counts) -> list[Middleware]:
    config = settings.config

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        name = shown(named_host(Request(scope).headers.get("host", ""))) or "its name"
        sentence = f"this host is not known here; if it is, add {name} to hosts."
        counts.note_refused(Reason.HOST)
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
    except TimeoutError as exc:
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
