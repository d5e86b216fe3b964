"""Limits of the HTTP servers: the page and the token server.

The numbers that both have in common, the types of those that each sets for itself, and
the bounded reading of request bodies; `rate_limit` has the token buckets. Each server
sets its own limits: `page.application`, `page.websocket` (one WebSocket) and
`token_server.command`. `http_server` and `http_protocol` enforce them. The page imports
this module at start-up, when nothing may wait for Starlette and uvicorn.
"""

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import ApplianceError
from appliance.net.rate_limit import Rate, RateLimit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

REQUEST_S = 10.0
"""Longest time until the head of a request is complete: idle clients must not use up
the connections."""
HEAD_BYTES = 16 * 1024
"""Longest request line with headers, for `h11_max_incomplete_event_size`; those of
browsers have about 1 kB."""
PING_S = 5.0
"""Interval of WebSocket pings, and the time-out of their answers: a phone that left the
Wi-Fi is detected, and its talk ended, within 10 s."""
READS = 256
"""Most reads from the socket for one request; 32 kB on the worst Wi-Fi take under 50.
Clients that send single bytes or an endless body are disconnected."""
BODY_S = 10.0
"""Longest time for a whole body; our choice: far more than 32 KiB take on the worst
Wi-Fi."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits on connections; those beyond are closed as soon as they are accepted."""

    total: int
    """Open at once."""
    each: int
    """Open at once from one address."""
    rate: Rate
    """Of new connections, over all addresses."""
    rate_each: Rate
    """Of new connections from one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits of one server."""

    connections: ConnectionLimits
    requests: RateLimit
    refusal: "Response"
    """Response to a request beyond the rate; has the header `connection: close`."""
    on_refused: Callable[[str], None] = lambda _address: None
    """Called with the client's address for each request beyond the rate and each
    connection beyond the limits, unread."""
    proxies: Container[str] = ()
    """Addresses of trusted proxies, each of whose clients has a rate of its own."""
    request_s: float = REQUEST_S
    ping_s: float = PING_S


class BodyTooLongError(ApplianceError):
    """A request body longer than the limit."""


class BodyTooSlowError(ApplianceError):
    """A request body that is not complete in time."""


async def read_body(
    request: "Request", limit_bytes: int, within_s: float = BODY_S
) -> bytes:
    """Return the body of a request, without trusting its announced length.

    Raises:
        BodyTooLongError: as soon as it is too long, or is announced to be.
        BodyTooSlowError: it is not complete in time.
        starlette.requests.ClientDisconnect: the client closed the connection.
    """
    announced = request.headers.get("content-length", "0")
    # Nine digits are enough to see that it is too long; int() of many takes long.
    if not announced.isdecimal() or int(announced[:9]) > limit_bytes:
        raise BodyTooLongError
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise BodyTooLongError
    except TimeoutError as exc:
        raise BodyTooSlowError from exc
    return bytes(body)
