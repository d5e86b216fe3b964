"""Monotonic clock that a test moves."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Clock for objects that take one as a function."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        """Return the time that the test has set."""
        return self.now_s
