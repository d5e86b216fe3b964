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

    def may(self, now_s: float) -> bool:
        """Take one token, and return whether there was one."""
        if self.wait_s(now_s) > 0:
            return False
        self._tokens -= 1
        return True

    def wait_s(self, now_s: float) -> float:
        """Return the time until `may` would return True; takes no token."""
        grown = self._tokens + (now_s - self._seen_s) * self._rate.per_s
        self._tokens = min(self._rate.burst, grown)
        self._seen_s = now_s
        return max(0.0, (1 - self._tokens) / self._rate.per_s)


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

    def wait_s(self, client: str, now_s: float) -> float:
        """Return the time until `may` would return True; takes no token."""
        bucket = self._buckets.get(client)
        return 0.0 if bucket is None else bucket.wait_s(now_s)

    def forget(self, client: str) -> None:
        """Give this client a full bucket."""
        self._buckets.pop(client, None)


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

    def wait_s(self, address: str) -> float:
        """Return the time until `take` would return True; counts nothing."""
        now_s = self._now_s()
        return max(self._each.wait_s(address, now_s), self._total.wait_s(now_s))
