"""ASGI application of the token server: endpoints, CORS and the `Host` check.

It implements LiveKit's standard endpoint and the ones of other projects, with every
spelling of the fields, so that each client can use it. A request passes `access` (who
asks) and `request` (what for), then `signing` makes the token.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from prometheus_client import Counter, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from appliance.net.http_server import (
    BodyTooLongError,
    RateLimited,
    ServerLimits,
    read_body,
)
from appliance.net.server_address import HostCheck, named_host
from appliance.process.logs import LogLimit
from appliance.token_server.access import (
    Access,
    Networks,
    RealClient,
    Refused,
    header_text,
)
from appliance.token_server.config import TokenServerConfig, TokenServerSettings
from appliance.token_server.request import USER_ID, grant
from appliance.token_server.signing import Issuer, LiveKitIssuer

LINES: Final = 20
"""Log lines a minute for issued tokens; further ones are only counted."""
MAX_BODY: Final = 16 * 1024
"""Bytes; longer than everything that may be in a request."""
PATHS: Final = ("/api/token", "/api/join", "/api/connection-details")
"""LiveKit's standard endpoint, dTelecom's and LiveKit Meet's; all do the same."""
ISSUED: Final = Counter("ptt_tokens_issued", "Tokens issued.")
REFUSED: Final = Counter(
    "ptt_token_requests_refused", "Requests refused, by status.", ["status"]
)
_NO_SECRET: Final = 401
_URL_NAMES: Final = ("server_url", "serverUrl", "wsUrl")
_TOKEN_NAMES: Final = ("participant_token", "participantToken", "token", "accessToken")

_log = logging.getLogger(__name__)


def app(
    settings: TokenServerSettings,
    limits: ServerLimits,
    now_s: Callable[[], float] = time.time,
    *,
    issuer: Issuer | None = None,
) -> Starlette:
    """Return the ASGI application.

    `now_s` returns seconds since the epoch, and `issuer` replaces the configured one
    for tests.
    """
    config, issuer = settings.config, issuer or _issuer(settings)
    endpoints = _Endpoints(config, Access(config), now_s, issuer)
    return Starlette(
        routes=[
            *(Route(path, endpoints.token, methods=["GET", "POST"]) for path in PATHS),
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


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """Endpoints of one server."""

    config: TokenServerConfig
    access: Access
    now_s: Callable[[], float]
    issuer: Issuer
    issued_log: LogLimit = field(default_factory=lambda: LogLimit(LINES))
    refused_log: LogLimit = field(default_factory=lambda: LogLimit(1))

    async def token(self, request: Request) -> Response:
        """Respond with a token."""
        origin = request.headers.get("origin")
        if origin is not None and origin not in self.config.origins:
            sentence = "this origin may not request tokens; add it to origins."
            raise Refused(403, sentence)
        own = self.access.caller(request.scope)
        fields = await _fields(request)
        try:
            granted = grant(fields, own, self.access, self.config)
        except RecursionError as exc:
            raise Refused(400, "the JSON is nested too deeply.") from exc
        address, now_s = request.scope["client"][0], int(self.now_s())
        issued = await self.issuer.issue(granted, address, now_s)
        ISSUED.inc()
        message = "token issued  room=%s identity=%.6s"
        facts = (granted.room, granted.identity)
        self.issued_log.log(_log, logging.INFO, message, *facts)
        answer = {
            **dict.fromkeys(_URL_NAMES, issued.url),
            **dict.fromkeys(_TOKEN_NAMES, issued.token),
            **dict.fromkeys(("room_name", "roomName"), granted.room),
            **dict.fromkeys(("participant_name", "participantName"), granted.name),
            "expires_at": now_s + self.config.ttl_s,
            **({"fallback_urls": issued.fallback_urls} if issued.fallback_urls else {}),
        }
        status = 201 if request.method == "POST" else 200
        return JSONResponse(answer, status, {"cache-control": "no-store"})

    async def health(self, _: Request) -> Response:
        """Respond that the server runs."""
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """Respond with the metrics, to this machine or to the shared secret."""
        self.access.check_metrics(request.scope)
        return Response(generate_latest(), media_type="text/plain")

    async def refuse(self, request: Request, exc: Exception) -> Response:
        """Respond with the reason of a refusal; Starlette's exception handler."""
        assert isinstance(exc, Refused)
        REFUSED.labels(exc.status).inc()
        message = f"requests refused with status {exc.status}  address=%s"
        address = request.scope["client"][0]
        self.refused_log.log(_log, logging.INFO, message, address)
        body = {"error": exc.sentence} | ({"key": exc.key} if exc.key else {})
        headers = {"www-authenticate": "Bearer"} if exc.status == _NO_SECRET else None
        return JSONResponse(body, exc.status, headers)

    async def refuse_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request whose `Host` is not this machine."""
        request = Request(scope)
        name = named_host(request.headers.get("host", "")) or "its name"
        sentence = f"this host is not known here; if it is, add {name} to hosts."
        response = await self.refuse(request, Refused(400, sentence))
        await response(scope, receive, send)


def _issuer(settings: TokenServerSettings) -> Issuer:
    if settings.config.kind == "dtelecom":
        from appliance.token_server.dtelecom import DTelecomIssuer

        return DTelecomIssuer(settings)
    return LiveKitIssuer(settings)


async def _fields(request: Request) -> list[tuple[str, object]]:
    """Return the fields of query, body and the header with the identity."""
    fields: list[tuple[str, object]] = [*request.query_params.multi_items()]
    if request.method == "POST":
        fields += (await _body(request)).items()
    return [*fields, (USER_ID, header_text(request.headers, USER_ID))]


async def _body(request: Request) -> dict[str, object]:
    try:
        body = await read_body(request, MAX_BODY)
        return msgspec.json.decode(body or b"{}", type=dict[str, object])
    except BodyTooLongError as exc:
        raise Refused(413, f"the body may have at most {MAX_BODY} bytes.") from exc
    except TimeoutError as exc:
        raise Refused(408, "the body was not complete in time.") from exc
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        sentence = "expected a JSON object, found something else."
        raise Refused(400, sentence) from exc
