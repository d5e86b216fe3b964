"""Limits of the token server: connections, requests and log lines."""

import logging
import time
from collections.abc import Callable

from starlette.responses import JSONResponse

from appliance.net.http_limits import ConnectionLimits, ServerLimits
from appliance.net.minute_log import MinuteLog
from appliance.net.rate_limit import Bucket, Rate, RateLimit

CONNECTIONS = ConnectionLimits(
    total=64,
    each=16,
    rate=Rate(burst=100, per_s=50),
    rate_each=Rate(burst=40, per_s=10),
)
"""Our choice: many boxes in one building request a token every few minutes."""
REQUESTS_EACH = Rate(burst=40, per_s=2)
"""Per address; many boxes behind one router may start at the same time."""
REQUESTS = Rate(burst=100, per_s=20)
LINES = Rate(burst=20, per_s=0.2)
"""Log lines for issued tokens; tokens beyond the rate are only counted."""

_log = logging.getLogger(__name__)


def limits(
    connections: ConnectionLimits = CONNECTIONS, requests: RateLimit | None = None
) -> ServerLimits:
    """Return the limits on clients of the server."""
    sentence = "too many requests; wait a few seconds."
    headers = {"retry-after": "5", "connection": "close"}
    return ServerLimits(
        connections=connections,
        requests=requests or RateLimit(REQUESTS_EACH, REQUESTS),
        refusal=JSONResponse({"error": sentence}, 429, headers),
    )


class IssueLog:
    """Rate-limited log of issued tokens."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start with a full bucket; `now_s` is a monotonic clock."""
        self._lines = Bucket(LINES, now_s())
        self._now_s = now_s
        self._further = MinuteLog(_log_further)

    def note(self, room: str, identity: str) -> None:
        """Log that a token was issued, or only count it."""
        if self._lines.may(self._now_s()):
            _log.info("token issued  room=%s identity=%.6s", room, identity)
            return
        self._further.note()


def _log_further(count: int) -> None:
    _log.info("further tokens issued  count=%d", count)
