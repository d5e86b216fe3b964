"""How often something may be done: token buckets, one for all and one per guest."""

from collections import OrderedDict
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
        grown = self._left + (now_s - self._seen_s) * self._rate.per_s
        self._left = min(self._rate.burst, grown)
        self._seen_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


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
