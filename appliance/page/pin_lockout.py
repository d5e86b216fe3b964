"""How long the PIN form stays shut after wrong PINs."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from math import ceil

from appliance.page.pairing_file import Guesses, Guest

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
        return Lockout(failures, now_s + _longest_wait_s(failures))


class Lockouts:
    """One lock-out per guest, and a budget for all of them together."""

    def __init__(self) -> None:
        """Remember no wrong PIN yet."""
        self._each: OrderedDict[str, Lockout] = OrderedDict()
        self._all_s: deque[float] = deque(maxlen=TRIES_OF_ALL)

    @classmethod
    def kept(cls, guesses: Guesses, now_s: float, wall_s: float) -> "Lockouts":
        """Return what was kept over a restart.

        Args:
            guesses: with times of the wall clock. It may have been set back since: what
                lies in the future counts as if it happened now.
            now_s: monotonic clock.
            wall_s: seconds since the epoch.
        """
        lockouts = cls()
        for at_s in guesses.recent_s:
            if wall_s - at_s < WINDOW_S:
                lockouts._all_s.append(now_s - max(0.0, wall_s - at_s))
        for address, guest in guesses.guests.items():
            left_s = min(guest.until_s - wall_s, _longest_wait_s(guest.failures))
            until_s = now_s + left_s if left_s > 0 else 0.0
            lockouts._each[address] = Lockout(guest.failures, until_s)
        return lockouts

    def to_keep(self, now_s: float, wall_s: float) -> Guesses:
        """Return what must outlive a restart; see `kept`."""
        shift_s = wall_s - now_s
        return Guesses(
            tuple(at_s + shift_s for at_s in self._all_s),
            {
                address: Guest(each.failures, each.until_s + shift_s)
                for address, each in self._each.items()
            },
        )

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


def _longest_wait_s(failures: int) -> int:
    """Return the wait after so many wrong PINs."""
    if failures < FREE_TRIES:
        return 0
    # Bounded before it is a power: the count may grow for months.
    doublings = min(failures - FREE_TRIES, 10)
    return min(FIRST_WAIT_S << doublings, LONGEST_WAIT_S)


def _whole_s(left_s: float) -> int:
    return max(0, ceil(left_s - SLACK_S))
