"""Bounds of the token server: connections, requests and lines in the journal."""

import logging
import time
from collections.abc import Callable

from starlette.responses import JSONResponse

from appliance.net.acceptor import ConnectionLimits
from appliance.net.http_server import ServerLimits
from appliance.net.minute_log import MinuteLog
from appliance.net.rate_limit import Bucket, Rate, RateLimit

CONNECTIONS = ConnectionLimits(
    total=64,
    each=16,
    rate=Rate(burst=100, per_s=50),
    rate_each=Rate(burst=40, per_s=10),
)
"""Our choice: a house full of boxes asks once in minutes."""
REQUESTS_EACH = Rate(burst=40, per_s=2)
"""Per address; many boxes behind one router may start at the same time."""
REQUESTS = Rate(burst=100, per_s=20)
LINES = Rate(burst=20, per_s=0.2)
"""Of issued tokens in the journal; those beyond are only counted."""

_log = logging.getLogger(__name__)


def limits(
    connections: ConnectionLimits = CONNECTIONS, requests: RateLimit | None = None
) -> ServerLimits:
    """Return what clients may take of the server."""
    sentence = "too many requests; wait a few seconds."
    headers = {"retry-after": "5", "connection": "close"}
    return ServerLimits(
        connections=connections,
        requests=requests or RateLimit(REQUESTS_EACH, REQUESTS),
        refusal=JSONResponse({"error": sentence}, 429, headers),
    )


class IssueLog:
    """Log of issued tokens, at a bounded rate."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start with a full bucket of lines."""
        self._lines = Bucket(LINES, now_s())
        self._now_s = now_s
        self._unnamed = MinuteLog(_log_unnamed)

    def note(self, room: str, identity: str) -> None:
        """Write that a token was issued, or only count it."""
        if self._lines.may(self._now_s()):
            _log.info("token issued  room=%s identity=%.6s", room, identity)
            return
        self._unnamed.note()


def _log_unnamed(count: int) -> None:
    _log.info("further tokens issued  count=%d", count)
