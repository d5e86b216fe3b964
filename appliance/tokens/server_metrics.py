"""Counters of the token server, for the log and for `GET /metrics`."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from appliance.process.logs import LogLimit
from appliance.tokens.server_fields import Reason

LINES: Final = 20
"""Log lines a minute for issued tokens; further ones are only counted."""

_log = logging.getLogger(__name__)


class Counts:
    """Counts of issued tokens and refusals, with a rate-limited log of them."""

    def __init__(self) -> None:
        """Start at zero."""
        self.issued = 0
        self.refused: Counter[Reason] = Counter()
        self._issued_log = LogLimit(LINES)
        self._refused_log = LogLimit(1)

    def note_issued(self, room: str, identity: str) -> None:
        """Count and log that a token was issued."""
        self.issued += 1
        message = "token issued  room=%s identity=%.6s"
        self._issued_log.log(_log, logging.INFO, message, room, identity)

    def note_refused(self, reason: Reason) -> None:
        """Count and log that a request was refused, one line a minute and reason."""
        self.refused[reason] += 1
        message = f"requests refused for {reason}"
        self._refused_log.log(_log, logging.INFO, message)


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
