"""How long the PIN form stays shut after wrong PINs."""

from dataclasses import dataclass

FREE_TRIES = 5
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 3600
"""At one try an hour, half of all PINs take 57 years."""


@dataclass(frozen=True, slots=True)
class Lockout:
    """Wrong PINs so far, by whomever: an attacker may have many addresses."""

    failures: int = 0
    until_s: float = 0.0
    """Monotonic clock; no PIN is looked at before."""

    def wait_s(self, now_s: float) -> int:
        """Return the whole seconds until a PIN is looked at again; 0: now."""
        left_s = self.until_s - now_s
        return int(left_s) + 1 if left_s > 0 else 0

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
