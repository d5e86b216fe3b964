"""Rate limiter for PIN attempts: lock-out per address, budget over all addresses."""

from collections import OrderedDict, deque
from math import ceil

import msgspec

FREE_TRIES = 5
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 3600
TRIES_ALL_ADDRESSES = 30
WINDOW_S = 3600
"""At most 30 wrong PINs per hour over all addresses: about two years for a 50 % chance
of guessing one. An address is locked out long before it uses up this budget."""
ADDRESSES = 256
"""Addresses kept; our choice: more would be one attacker with many addresses."""
ROUNDING_S = 0.001
"""Rounding error of sums of floating point numbers."""


class Lockout(msgspec.Struct, frozen=True):
    """Wrong PINs from one address so far."""

    failures: int = 0
    until_s: float = 0.0
    """PINs are not checked before; of the monotonic clock, in the file since the
    epoch."""

    def wait_s(self, now_s: float) -> int:
        """Return the whole seconds until a PIN is checked again; 0: now."""
        return _whole_s(self.until_s - now_s)

    def failed(self, now_s: float) -> "Lockout":
        """Return the lock-out after one more wrong PIN: 1, 2, 4, … minutes."""
        failures = self.failures + 1
        return Lockout(failures, now_s + _longest_wait_s(failures))


class StoredLockouts(msgspec.Struct, frozen=True):
    """Wrong PINs, stored so that a restart does not reset the lock-out."""

    recent_s: tuple[float, ...] = ()
    """Times of those from all addresses, in seconds since the epoch."""
    by_address: dict[str, Lockout] = msgspec.field(name="guests", default_factory=dict)
    """`guests` in the file: the name stays for installed boxes."""


class Lockouts:
    """Lock-outs per address, and the budget of all addresses."""

    def __init__(self) -> None:
        self._each: OrderedDict[str, Lockout] = OrderedDict()
        self._all_s: deque[float] = deque(maxlen=TRIES_ALL_ADDRESSES)

    @classmethod
    def restored(
        cls, stored: StoredLockouts, now_s: float, wall_s: float
    ) -> "Lockouts":
        """Return the lock-outs that were stored before a restart.

        `now_s` is of the monotonic clock, `wall_s` and the stored times since the
        epoch. That clock may have been set back: times in the future count as now.
        """
        lockouts = cls()
        for at_s in stored.recent_s:
            if wall_s - at_s < WINDOW_S:
                lockouts._all_s.append(now_s - max(0.0, wall_s - at_s))
        for address, each in stored.by_address.items():
            left_s = min(each.until_s - wall_s, _longest_wait_s(each.failures))
            until_s = now_s + left_s if left_s > 0 else 0.0
            lockouts._each[address] = Lockout(each.failures, until_s)
        return lockouts

    def stored(self, now_s: float, wall_s: float) -> StoredLockouts:
        """Return what to store for a restart; see `restored`."""
        shift_s = wall_s - now_s
        return StoredLockouts(
            tuple(at_s + shift_s for at_s in self._all_s),
            {
                address: Lockout(each.failures, each.until_s + shift_s)
                for address, each in self._each.items()
            },
        )

    def of(self, address: str) -> Lockout:
        """Return the lock-out of one address."""
        return self._each.get(address, Lockout())

    def wait_s(self, address: str, now_s: float) -> int:
        """Return the whole seconds until this address may try a PIN; 0: now."""
        is_used_up = len(self._all_s) == TRIES_ALL_ADDRESSES
        all_s = _whole_s(self._all_s[0] + WINDOW_S - now_s) if is_used_up else 0
        return max(self.of(address).wait_s(now_s), all_s)

    def failed(self, address: str, now_s: float) -> None:
        """Count one more wrong PIN."""
        self._all_s.append(now_s)
        self._each[address] = self.of(address).failed(now_s)
        self._each.move_to_end(address)
        if len(self._each) > ADDRESSES:
            self._each.popitem(last=False)

    def passed(self, address: str) -> None:
        """Reset the lock-out of an address that sent the right PIN."""
        self._each.pop(address, None)


def _longest_wait_s(failures: int) -> int:
    """Return the wait after this many wrong PINs."""
    if failures < FREE_TRIES:
        return 0
    # Bounded before the shift: the count may grow for months.
    doublings = min(failures - FREE_TRIES, 10)
    return min(FIRST_WAIT_S << doublings, LONGEST_WAIT_S)


def _whole_s(left_s: float) -> int:
    return max(0, ceil(left_s - ROUNDING_S))
