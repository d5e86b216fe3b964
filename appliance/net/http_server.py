"""uvicorn with limits on connections, their rate and the rate of requests."""

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
"""Exceptions raised in the application when its client has disconnected."""

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits of one server."""

    connections: ConnectionLimits
    requests: RateLimit
    refusal: Response
    """Response to a request beyond the rate; has the header `connection: close`."""
    request_s: float = REQUEST_S

    def bound(self, app: ASGIApp) -> "RateLimited":
        """Return `app` with the rate limit in front."""
        return RateLimited(app, self.requests, self.refusal)


class BoundedServer(uvicorn.Server):
    """uvicorn server that uses `Acceptor` and `HttpProtocol`."""

    def __init__(self, config: uvicorn.Config, limits: ServerLimits) -> None:
        """Serve `config.app`, which `limits.bound` returned."""
        super().__init__(config)
        self._limits = limits
        self._acceptors: list[Acceptor] = []
        self._rules: Rules | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on these sockets; uvicorn would replace their backlog."""
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
        """Stop accepting and close every connection."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    def _protocol(self, client: Client) -> HttpProtocol:
        assert self._rules is not None
        return HttpProtocol(self.config, self.server_state, client, self._rules)


class RateLimited:
    """ASGI middleware with a rate limit, which is checked before anything else."""

    def __init__(self, app: ASGIApp, requests: RateLimit, refusal: Response) -> None:
        """Wrap `app`; `refusal` is the response to requests beyond the rate."""
        self._app = app
        self._requests = requests
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        client = scope.get("client")
        is_within = self._requests.take(client[0] if client else "")
        app = self._app if is_within else self._refusal
        with contextlib.suppress(*CLIENT_LEFT):
            await app(scope, receive, send)


def wire(response: Response) -> bytes:
    """Return the bytes of a response as sent over the connection."""
    status = HTTPStatus(response.status_code)
    first = f"HTTP/1.1 {status.value} {status.phrase}".encode()
    lines = (first, *(b": ".join(pair) for pair in response.raw_headers))
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)


def _log_malformed(count: int) -> None:
    _log.info("connections closed for malformed input  count=%d", count)
