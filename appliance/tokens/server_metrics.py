"""Counters of the token server, for the log and for `GET /metrics`."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from appliance.net.minute_log import MinuteLog
from appliance.net.rate_limit import Bucket, Rate
from appliance.tokens.server_fields import Reason

LINES: Final = Rate(burst=20, per_s=0.2)
"""Log lines for issued tokens; tokens beyond the rate are only counted."""

_log = logging.getLogger(__name__)


class Counts:
    """Counts of issued tokens and refusals, with a rate-limited log of them."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start at zero; `now_s` is a monotonic clock."""
        self.issued = 0
        self.refused: Counter[Reason] = Counter()
        self._lines = Bucket(LINES, now_s())
        self._now_s = now_s
        self._further = MinuteLog(_log_further)
        self._refusals = {
            reason: MinuteLog(partial(_log_refused, reason)) for reason in Reason
        }

    def note_issued(self, room: str, identity: str) -> None:
        """Count and log that a token was issued."""
        self.issued += 1
        if self._lines.may(self._now_s()):
            _log.info("token issued  room=%s identity=%.6s", room, identity)
            return
        self._further.note()

    def note_refused(self, reason: Reason) -> None:
        """Count and log that a request was refused, one line a minute and reason."""
        self.refused[reason] += 1
        self._refusals[reason].note()


class CountsCollector(Collector):
    """Collector of the counts for Prometheus."""

    def __init__(self, counts: Counts) -> None:
        """Read `counts` at each request."""
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, also those at zero."""
        counts = self._counts
        yield CounterMetricFamily("ptt_tokens_issued", "Tokens issued.", counts.issued)
        refused = CounterMetricFamily(
            "ptt_token_requests_refused", "Requests refused.", labels=["reason"]
        )
        for reason in Reason:
            refused.add_metric([reason], counts.refused[reason])
        yield refused


def metrics_registry(counts: Counts) -> CollectorRegistry:
    """Return a registry with the counts, and memory and CPU of the process."""
    registry = CollectorRegistry()
    registry.register(CountsCollector(counts))
    ProcessCollector(registry=registry)
    return registry


def metrics_text(registry: CollectorRegistry) -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(registry)


def _log_further(count: int) -> None:
    _log.info("further tokens issued  count=%d", count)


def _log_refused(reason: Reason, count: int) -> None:
    _log.info("requests refused  reason=%s count=%d", reason, count)
