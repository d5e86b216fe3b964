"""How long the PIN form stays shut after wrong PINs."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from math import ceil

FREE_TRIES = 5
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 3600
TRIES_OF_ALL = 30
WINDOW_S = 3600
"""All addresses together may be wrong 30 times an hour: who has many of them needs two
years for half of all PINs, and who has one cannot shut the form for everybody."""
GUESTS = 256
"""Addresses remembered; our choice: more would only be one guest with many."""
SLACK_S = 0.001
"""What sums of floating point numbers may be off."""


@dataclass(frozen=True, slots=True)
class Lockout:
    """Wrong PINs so far, by one guest."""

    failures: int = 0
    until_s: float = 0.0
    """Monotonic clock; no PIN is looked at before."""

    def wait_s(self, now_s: float) -> int:
        """Return the whole seconds until a PIN is looked at again; 0: now."""
        return _whole_s(self.until_s - now_s)

    @property
    def tries_left(self) -> int:
        """Wrong PINs until the next wait."""
        return max(1, FREE_TRIES - self.failures)

    def failed(self, now_s: float) -> "Lockout":
        """Return the lock-out after one more wrong PIN: 1, 2, 4, … minutes."""
        failures = self.failures + 1
        if failures < FREE_TRIES:
            return Lockout(failures)
        # Bounded before it is a power: the count may grow for months.
        doublings = min(failures - FREE_TRIES, 10)
        wait_s = min(FIRST_WAIT_S * 2**doublings, LONGEST_WAIT_S)
        return Lockout(failures, now_s + wait_s)


class Lockouts:
    """One lock-out per guest, and a budget for all of them together."""

    def __init__(self) -> None:
        """Remember no wrong PIN yet."""
        self._each: OrderedDict[str, Lockout] = OrderedDict()
        self._all_s: deque[float] = deque(maxlen=TRIES_OF_ALL)

    def of(self, guest: str) -> Lockout:
        """Return the guest's own lock-out."""
        return self._each.get(guest, Lockout())

    def wait_s(self, guest: str, now_s: float) -> int:
        """Return the whole seconds until this guest's PIN is looked at; 0: now."""
        is_spent = len(self._all_s) == TRIES_OF_ALL
        all_s = _whole_s(self._all_s[0] + WINDOW_S - now_s) if is_spent else 0
        return max(self.of(guest).wait_s(now_s), all_s)

    def failed(self, guest: str, now_s: float) -> None:
        """Count one more wrong PIN."""
        self._all_s.append(now_s)
        self._each[guest] = self.of(guest).failed(now_s)
        self._each.move_to_end(guest)
        if len(self._each) > GUESTS:
            self._each.popitem(last=False)

    def passed(self, guest: str) -> None:
        """Forget the slips of a guest who knew the PIN after all."""
        self._each.pop(guest, None)


def _whole_s(left_s: float) -> int:
    return max(0, ceil(left_s - SLACK_S))
