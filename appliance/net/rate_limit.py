"""Rate limits: token buckets per client, for HTTP clients and people in a room."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


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

    def may(self, now_s: float, tokens: float = 1) -> bool:
        """Take one token or a part of one, and return whether there was a whole one."""
        if self.is_spent(now_s):
            return False
        self._tokens -= tokens
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
    """Clients kept; our choice: more than a workshop has phones, or a room people."""

    def __init__(self, rate: Rate) -> None:
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
