"""Limits of the HTTP servers: the page and the token server.

The numbers that both have in common, the types of those that each sets for itself, and
the bounded reading of request bodies. The page sets its own in `page.application`, and
those of one WebSocket in `page.websocket`; the token server in `token_server.command`.
`http_server` and `http_protocol` enforce them. The page imports this module at
start-up, when nothing may wait for Starlette and uvicorn.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import ApplianceError

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


@dataclass(frozen=True, slots=True)
class Rate:
    """Size of a burst, and the rate after it."""

    burst: float
    per_s: float


class Bucket:
    """Token bucket of one client."""

    def __init__(self, rate: Rate, now_s: float) -> None:
        """Start with a full bucket; `now_s` is of a monotonic clock."""
        self._rate = rate
        self._tokens = rate.burst
        self._seen_s = now_s

    def may(self, now_s: float) -> bool:
        """Take one token, and return whether there was one."""
        if self.is_spent(now_s):
            return False
        self._tokens -= 1
        return True

    def is_spent(self, now_s: float) -> bool:
        """Return whether `may` would refuse; takes no token."""
        grown = self._tokens + (now_s - self._seen_s) * self._rate.per_s
        self._tokens = min(self._rate.burst, grown)
        self._seen_s = now_s
        return self._tokens < 1


class Buckets:
    """One bucket per client; the least recently seen client is dropped first."""

    KEPT = 256
    """Clients kept; our choice: more than a home or a workshop has phones."""

    def __init__(self, rate: Rate) -> None:
        """Start without clients."""
        self._rate = rate
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def may(self, client: str, now_s: float) -> bool:
        """Take one token of this client, and return whether there was one."""
        bucket = self._buckets.setdefault(client, Bucket(self._rate, now_s))
        self._buckets.move_to_end(client)
        if len(self._buckets) > self.KEPT:
            self._buckets.popitem(last=False)
        return bucket.may(now_s)

    def is_spent(self, client: str, now_s: float) -> bool:
        """Return whether `may` would refuse; takes no token."""
        bucket = self._buckets.get(client)
        return bucket is not None and bucket.is_spent(now_s)


class RateLimit:
    """Rate limit per address, and over all addresses together."""

    def __init__(
        self, each: Rate, total: Rate, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with full buckets; `now_s` is a monotonic clock."""
        self._each = Buckets(each)
        self._total = Bucket(total, now_s())
        self._now_s = now_s

    def take(self, address: str) -> bool:
        """Count one, and return whether it is within both limits."""
        now_s = self._now_s()
        return self._each.may(address, now_s) and self._total.may(now_s)

    def is_spent(self, address: str) -> bool:
        """Return whether `take` would refuse; counts nothing."""
        now_s = self._now_s()
        return self._each.is_spent(address, now_s) or self._total.is_spent(now_s)


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
