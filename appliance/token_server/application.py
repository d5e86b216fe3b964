"""ASGI application of the token server: endpoints, CORS and the `Host` check.

It implements LiveKit's standard endpoint and the ones of other projects, with every
spelling of the fields, so that each client can use it. A request passes `access` (who
asks) and `request` (what for), then `signing` makes the token.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from appliance.net.http_protocol import BodyTooLongError, ServerLimits, read_body
from appliance.net.http_server import RateLimited
from appliance.process.logs import LogLimit
from appliance.token_server.access import (
    Access,
    Networks,
    RealClient,
    Reason,
    Refused,
    client_address,
    header_text,
)
from appliance.token_server.config import TokenServerConfig, TokenServerSettings
from appliance.token_server.request import Values, grant, shown
from appliance.token_server.signing import Issuer, LiveKitIssuer

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


class Counts:
    """Counts of issued tokens and refusals for Prometheus, with a log of them."""

    def __init__(self) -> None:
        """Start at zero; `registry` has memory and CPU of the process as well."""
        registry = self.registry = CollectorRegistry()
        name = "ptt_token_requests_refused"
        self._issued = Counter("ptt_tokens_issued", "Tokens issued.", registry=registry)
        self._refused = Counter(
            name, "Requests refused.", ["reason"], registry=registry
        )
        for reason in Reason:
            # Shown while it is zero, too.
            self._refused.labels(reason)
        ProcessCollector(registry=registry)
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
    limits: ServerLimits,
    now_s: Callable[[], float] = time.time,
    *,
    issuer: Issuer | None = None,
    counts: Counts | None = None,
) -> Starlette:
    """Return the ASGI application.

    `now_s` returns seconds since the epoch, `issuer` replaces the configured one for
    tests, and `counts` has also the requests that do not reach the application.
    """
    config, counts = settings.config, counts or Counts()
    access, issuer = Access(config), issuer or _issuer(settings)
    endpoints = _Endpoints(config, access, counts, now_s, limits.body_s, issuer)
    paths = (path + end for path in PATHS for end in ("", "/"))
    application = Starlette(
        routes=[
            *(Route(path, endpoints.token, methods=["GET", "POST"]) for path in paths),
            Route("/health", endpoints.health),
            Route("/metrics", endpoints.metrics),
        ],
        middleware=[
            # Before the rate limit, which is that of each client's own address.
            Middleware(RealClient, Networks(config.trusted_proxies)),
            Middleware(RateLimited, limits),
            Middleware(HostCheck, names=config.hosts, refusal=endpoints.refuse_host),
            Middleware(
                CORSMiddleware,
                allow_origins=list(config.origins),
                allow_methods=["GET", "POST"],
                allow_headers=list(config.request_headers),
            ),
        ],
        exception_handlers={Refused: endpoints.refuse},
    )
    # Not every client follows the redirection of a POST.
    application.router.redirect_slashes = False
    return application


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """Endpoints of one server."""

    config: TokenServerConfig
    access: Access
    counts: Counts
    now_s: Callable[[], float]
    body_s: float
    issuer: Issuer

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
        self.access.check_metrics(request.scope)
        return Response(generate_latest(self.counts.registry), media_type="text/plain")

    async def refuse(self, _: Request, exc: Exception) -> Response:
        """Respond with the reason of a refusal; Starlette's exception handler."""
        assert isinstance(exc, Refused)
        self.counts.note_refused(exc.reason)
        body = {"error": exc.sentence} | ({"key": exc.key} if exc.key else {})
        headers = (
            {"www-authenticate": "Bearer"} if exc.reason is Reason.SECRET else None
        )
        return JSONResponse(body, exc.status, headers)

    async def refuse_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request whose `Host` is not this machine."""
        request = Request(scope)
        name = shown(named_host(request.headers.get("host", ""))) or "its name"
        sentence = f"this host is not known here; if it is, add {name} to hosts."
        response = await self.refuse(request, Refused(400, Reason.HOST, sentence))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> dict[str, object]:
        origin = request.headers.get("origin")
        if origin is not None and origin not in self.config.origins:
            sentence = (
                "this origin is not allowed to request tokens; add it to origins."
            )
            raise Refused(403, Reason.ORIGIN, sentence)
        own = self.access.caller(request.scope)
        values = await _values(request, self.body_s)
        user_id = header_text(request.headers, "x-user-id")
        try:
            granted = grant(values, user_id, own, self.access, self.config)
        except RecursionError as exc:
            raise Refused(400, Reason.BODY, "the JSON is nested too deeply.") from exc
        address, now_s = client_address(request.scope), int(self.now_s())
        issued = await self.issuer.issue(granted, address, now_s)
        self.counts.note_issued(granted.room, granted.identity)
        return {
            **dict.fromkeys(_URL_NAMES, issued.url),
            **dict.fromkeys(_TOKEN_NAMES, issued.token),
            **dict.fromkeys(("room_name", "roomName"), granted.room),
            **dict.fromkeys(("participant_name", "participantName"), granted.name),
            "expires_at": now_s + self.config.ttl_s,
            **({"fallback_urls": issued.fallback_urls} if issued.fallback_urls else {}),
        }


def _issuer(settings: TokenServerSettings) -> Issuer:
    if settings.config.kind == "dtelecom":
        from appliance.token_server.dtelecom import DTelecomIssuer

        return DTelecomIssuer(settings)
    return LiveKitIssuer(settings)


async def _values(request: Request, body_s: float) -> Values:
    """Return the fields of query and body, or refuse them."""
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
