"""uvicorn with bounds: connections, their rate, and the rate of requests."""

import contextlib
import socket
from dataclasses import dataclass
from http import HTTPStatus
from logging import getLogger

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from appliance.net.acceptor import Acceptor, Client, ConnectionLimits
from appliance.net.http_protocol import REQUEST_S, HttpProtocol, Rules
from appliance.net.minute_log import MinuteLog
from appliance.net.rate_limit import RateLimit

CLIENT_LEFT = (ClientDisconnect, ClientDisconnected, WebSocketDisconnect)
"""Raised into an application whose client is gone."""

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Bounds of one server."""

    connections: ConnectionLimits
    requests: RateLimit
    refusal: Response
    """The answer to a request beyond the rate; has `connection: close`."""
    request_s: float = REQUEST_S

    def bound(self, app: ASGIApp) -> "RateLimited":
        """Return `app` with its requests counted."""
        return RateLimited(app, self.requests, self.refusal)


class BoundedServer(uvicorn.Server):
    """Accepts connections itself, and with our protocol class only."""

    def __init__(self, config: uvicorn.Config, limits: ServerLimits) -> None:
        """Serve `config.app`, which `limits.bound` returned."""
        super().__init__(config)
        self._limits = limits
        self._acceptors: list[Acceptor] = []
        self._rules: Rules | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on these sockets; uvicorn would set their backlog to its own."""
        limits = self._limits
        malformed = MinuteLog(_log_malformed)
        refusal = wire(limits.refusal)
        self._rules = Rules(limits.requests, refusal, malformed, limits.request_s)
        self.servers = []
        self._acceptors = [
            Acceptor(each, self._protocol, limits.connections) for each in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and close every connection."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    def _protocol(self, client: Client) -> HttpProtocol:
        assert self._rules is not None
        return HttpProtocol(self.config, self.server_state, client, self._rules)


class RateLimited:
    """ASGI middleware that counts requests, before anything of them is looked at."""

    def __init__(self, app: ASGIApp, requests: RateLimit, refusal: Response) -> None:
        """Stand before `app`."""
        self._app = app
        self._requests = requests
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        client = scope.get("client")
        is_within = self._requests.take(client[0] if client else "")
        app = self._app if is_within else self._refusal
        with contextlib.suppress(*CLIENT_LEFT):
            await app(scope, receive, send)


def wire(response: Response) -> bytes:
    """Return the response as it is sent."""
    status = HTTPStatus(response.status_code)
    first = f"HTTP/1.1 {status.value} {status.phrase}".encode()
    lines = (first, *(b": ".join(pair) for pair in response.raw_headers))
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)


def _log_malformed(count: int) -> None:
    _log.info("connections closed for malformed input  count=%d", count)
