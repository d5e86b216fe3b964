"""Rate limit for log lines that strangers can cause as often as they like."""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

LINES: Final = 3
"""Lines of one kind per `WINDOW_S`; our choice: a fault that repeats is seen to."""
WINDOW_S: Final = 60.0


@dataclass(slots=True)
class _Window:
    """Lines of one kind since a point in time."""

    since_s: float
    lines: int = 0
    left_out: int = 0


class LogLimit:
    """Rate limiter that admits a few lines of each kind and counts the others.

    A kind is a place in the code, never text that somebody else chooses: the number of
    kinds is bounded as well.

    Thread: one.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing counted.

        Args:
            now_s: the clock.
        """
        self._now_s = now_s
        self._windows: dict[Hashable, _Window] = {}

    def admitted(self, kind: Hashable) -> int | None:
        """Return how many lines were left out before this one; None: leave it out."""
        now_s = self._now_s()
        window = self._windows.setdefault(kind, _Window(now_s))
        if now_s - window.since_s >= WINDOW_S:
            window.since_s, window.lines = now_s, 0
        window.lines += 1
        if window.lines > LINES:
            window.left_out += 1
            return None
        left_out, window.left_out = window.left_out, 0
        return left_out

    def log(
        self, logger: logging.Logger, level: int, message: str, *facts: object
    ) -> None:
        """Log the message, at DEBUG once there were too many of its kind.

        Args:
            logger: of the module.
            level: for the lines that are admitted.
            message: a constant; it is the kind.
            facts: fill its placeholders.
        """
        left_out = self.admitted(message)
        if left_out is None:
            level = logging.DEBUG
        elif left_out:
            message, facts = f"{message} left_out=%d", (*facts, left_out)
        logger.log(level, message, *facts)
