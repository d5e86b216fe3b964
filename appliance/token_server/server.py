"""HTTP server of `ptt-appliance token-server`: start, limits, endpoints.

It stores nothing. The endpoints are LiveKit's standard one and those of other projects,
with every spelling of the fields, so that each client can use them. A request passes
`access` (who asks) and `request` (what for), then `signing` makes the token.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from prometheus_client import Counter, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from appliance.errors import ListenError
from appliance.net.host_check import HostCheck, named_host
from appliance.net.http_server import (
    UVICORN,
    BodyTooLongError,
    BoundedServer,
    ConnectionLimits,
    RateLimited,
    ServerLimits,
    read_body,
)
from appliance.net.rate_limit import Rate, RateLimit
from appliance.net.server_address import listener, parsed
from appliance.net.url import is_local
from appliance.process.logs import LogLimit, start_logging
from appliance.process.systemd import systemd_notify
from appliance.token_server.access import (
    Access,
    Networks,
    RealClient,
    Refused,
    header_text,
)
from appliance.token_server.config import (
    TokenServerConfig,
    TokenServerSettings,
    read_settings,
)
from appliance.token_server.request import USER_ID, grant
from appliance.token_server.signing import Issue, dtelecom_issuer, livekit_issuer

BACKLOG: Final = 256
"""Connections that wait to be accepted: after a power cut all boxes ask at once, and a
client that finds no place tries again after a second."""
BURST: Final = 5
"""Seconds' worth of requests in a burst over all addresses."""
BURST_EACH: Final = 20
"""The same from one address: many boxes behind one router may start at once."""
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
_TOO_MANY: Final = 429
_URL_NAMES: Final = ("server_url", "serverUrl", "wsUrl")
_TOKEN_NAMES: Final = ("participant_token", "participantToken", "token", "accessToken")

_log = logging.getLogger(__name__)


def serve(path: Path | None, listen: str | None, environment: Mapping[str, str]) -> int:
    """Issue tokens until SIGTERM or Ctrl-C, and return the exit status.

    Raises:
        ConfigError: the configuration cannot be used.
        ListenError: the server cannot listen on the address.
    """
    settings = read_settings(path, listen, environment)
    start_logging("info", settings.secrets)
    listening = listening_socket(settings.config.listen)
    host, port = listening.getsockname()[:2]
    allowed = ",".join(settings.config.allow)
    message = "token server listens  address=%s allow=%s port=%d"
    _log.info(message, host, allowed, port)
    if settings.is_development:
        _log.warning("the keys are those of livekit-server --dev, for trying only")
    elif is_local(f"http://{settings.config.listen}"):
        _log.info(
            "only programs on this machine reach this address; for boxes elsewhere "
            "write listen: 0.0.0.0:8787, and who may ask: allow, secret or boxes"
        )
    serves = server(settings, client_limits(settings.config))

    def end(*_: object) -> None:
        serves.should_exit = True

    # For the time before uvicorn handles signals; it also raises each once more after
    # it has shut down cleanly.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, end)
    try:
        # The socket listens: connections wait in its backlog until they are accepted.
        systemd_notify(environment)("READY=1")
    except OSError as exc:
        _log.warning("systemd cannot be told that the server is ready: %s", exc)
    serves.run(sockets=[listening])
    return 0


def listening_socket(listen: str) -> socket.socket:
    """Return a socket that listens on `HOST:PORT`, or raise `ListenError`."""
    try:
        return listener(*parsed(listen), BACKLOG)
    except OSError as exc:
        reason = os.strerror(exc.errno or 0).lower()
        remedy = "Choose another address, or a port from 1024 on."
        message = f"cannot listen on {listen}: {reason}. {remedy}"
        raise ListenError(message) from exc


def server(
    settings: TokenServerSettings,
    limits: ServerLimits,
    issue: Issue | None = None,
) -> BoundedServer:
    """Return the server; its sockets are passed to `run` or `serve`."""
    served = app(settings, limits, issue=issue)
    # No warnings: anybody could fill the journal with malformed requests.
    config = uvicorn.Config(served, **UVICORN, ws="none", log_level="error")
    return BoundedServer(config, limits)


def client_limits(config: TokenServerConfig) -> ServerLimits:
    """Return the limits on clients; a second brings at most as many as may be open.

    Trusted proxies bring all clients from one address: connections of one address are
    not limited then, but requests are, by the client's own address.
    """
    total, each = config.connections, config.connections_each
    per_s, per_s_each = config.requests_per_s, config.requests_per_s_each
    if config.trusted_proxies:
        each = total
    log_limit = LogLimit(1)

    def refused(_address: str) -> None:
        REFUSED.labels(_TOO_MANY).inc()
        log_limit.log(_log, logging.INFO, "requests refused for rate")

    headers = {"retry-after": "5", "connection": "close"}
    if config.origins:
        # Sent before Origin is read; says nothing that a page may not know.
        headers["access-control-allow-origin"] = "*"
        headers["access-control-expose-headers"] = "retry-after"
    return ServerLimits(
        connections=ConnectionLimits(
            total=total, each=each, rate=Rate(total, total), rate_each=Rate(each, each)
        ),
        requests=RateLimit(
            Rate(BURST_EACH * per_s_each, per_s_each), Rate(BURST * per_s, per_s)
        ),
        refusal=JSONResponse(
            {"error": "too many requests; wait a few seconds."}, _TOO_MANY, headers
        ),
        on_refused=refused,
        proxies=Networks(config.trusted_proxies),
    )


def app(
    settings: TokenServerSettings,
    limits: ServerLimits,
    now_s: Callable[[], float] = time.time,
    *,
    issue: Issue | None = None,
) -> Starlette:
    """Return the ASGI application.

    `now_s` returns seconds since the epoch, and `issue` replaces the configured one
    for tests.
    """
    config = settings.config
    if issue is None:
        is_dtelecom = config.kind == "dtelecom"
        issue = dtelecom_issuer(settings) if is_dtelecom else livekit_issuer(settings)
    endpoints = _Endpoints(config, Access(config), now_s, issue)
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
    issue: Issue
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
        issued = await self.issue(granted, address, now_s)
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
