"""Rate limit for log lines that other participants can cause."""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from appliance.room.chat_format import display_name

LINES: Final = 3
"""Of one kind within `WINDOW_S`; our choice: enough to see that it is not one only."""
WINDOW_S: Final = 60.0
_ID_CHARACTERS: Final = 6
"""Of an identity: enough to tell people apart, not enough to know them elsewhere."""


@dataclass(slots=True)
class _Window:
    """The lines of one kind."""

    since_s: float
    lines: int = 0
    left_out: int = 0


class LogLimit:
    """Admits a few lines of each kind per minute and counts the others.

    A kind is a place in the code, never text that somebody else chooses: the number of
    kinds is bounded as well.
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


def short_id(identity: str) -> str:
    """Return an identity as it may stand in a log: short, one line, printable."""
    return display_name("", identity)[:_ID_CHARACTERS]
