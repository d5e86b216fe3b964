"""How often something may be done: token buckets, one for all and one per guest."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and then so many per second."""

    burst: float
    per_s: float


class Bucket:
    """Counts for one guest."""

    def __init__(self, rate: Rate, now_s: float) -> None:
        """Start full."""
        self._rate = rate
        self._left = rate.burst
        self._seen_s = now_s

    def may(self, now_s: float) -> bool:
        """Take one, if there is one left."""
        if self.is_spent(now_s):
            return False
        self._left -= 1
        return True

    def is_spent(self, now_s: float) -> bool:
        """Return whether `may` would refuse; takes nothing."""
        grown = self._left + (now_s - self._seen_s) * self._rate.per_s
        self._left = min(self._rate.burst, grown)
        self._seen_s = now_s
        return self._left < 1


class Buckets:
    """One bucket per guest; the guest not seen for longest is forgotten first."""

    KEPT = 256
    """Guests remembered; our choice: more than a home or a workshop has phones."""

    def __init__(self, rate: Rate) -> None:
        """Remember nobody yet."""
        self._rate = rate
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def may(self, guest: str, now_s: float) -> bool:
        """Take one from this guest's bucket, if there is one left."""
        bucket = self._buckets.setdefault(guest, Bucket(self._rate, now_s))
        self._buckets.move_to_end(guest)
        if len(self._buckets) > self.KEPT:
            self._buckets.popitem(last=False)
        return bucket.may(now_s)

    def is_spent(self, guest: str, now_s: float) -> bool:
        """Return whether `may` would refuse; takes nothing."""
        bucket = self._buckets.get(guest)
        return bucket is not None and bucket.is_spent(now_s)


class RateLimit:
    """Limit per address, and over all addresses together."""

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
