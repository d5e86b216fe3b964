"""Rate limit for log lines that strangers can cause as often as they like."""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

LINES: Final = 3
"""Lines of one kind per window; our choice: a fault that repeats is noticed."""
WINDOW_S: Final = 60.0
FAULT_LINES: Final = 10
FAULT_WINDOW_S: Final = 3600.0
"""Lines about the losses of a part in an hour, and as many about its returns."""


@dataclass(slots=True)
class _Window:
    """Lines of one kind since a point in time."""

    since_s: float
    lines: int = 0
    left_out: int = 0
    timer: asyncio.TimerHandle | None = None


class LogLimit:
    """Rate limiter that admits a few lines of each kind and counts the others.

    A kind is a place in the code, never text that somebody else chooses: the number of
    kinds is bounded as well.

    Thread: one; that of the event loop, if the count is to be logged in time.
    """

    def __init__(
        self,
        lines: int = LINES,
        *,
        window_s: float = WINDOW_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing counted.

        Args:
            lines: lines of one kind per window.
            window_s: length of a window.
            now_s: the clock.
        """
        self._lines = lines
        self._window_s = window_s
        self._now_s = now_s
        self._windows: dict[Hashable, _Window] = {}

    def admitted(self, kind: Hashable) -> int | None:
        """Return how many lines were left out before this one; None: leave it out."""
        now_s = self._now_s()
        window = self._windows.setdefault(kind, _Window(now_s))
        if now_s - window.since_s >= self._window_s:
            window.since_s, window.lines = now_s, 0
        window.lines += 1
        if window.lines > self._lines:
            window.left_out += 1
            return None
        left_out, window.left_out = window.left_out, 0
        return left_out

    def log(
        self, logger: logging.Logger, level: int, message: str, *facts: object
    ) -> None:
        """Log the message, at DEBUG once there were too many of its kind.

        The number of lines left out is logged at the end of the window, or with the
        next line of the kind where no event loop runs.

        Args:
            logger: of the module.
            level: for the lines that are admitted.
            message: a constant; it is the kind.
            facts: fill its placeholders.
        """
        left_out = self.admitted(message)
        if left_out is None:
            logger.log(logging.DEBUG, message, *facts)
            sentence = message.partition("  ")[0]
            count = partial(logger.log, level, f"{sentence}  left_out=%d")
            self._count_later(self._windows[message], count)
            return
        if left_out:
            message, facts = f"{message}  left_out=%d", (*facts, left_out)
        logger.log(level, message, *facts)

    def _count_later(self, window: _Window, write: Callable[[int], None]) -> None:
        """Pass the count to `write` at the end of the window."""
        if window.timer is not None:
            return
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            rest_s = max(0.0, window.since_s + self._window_s - self._now_s())
            window.timer = loop.call_later(rest_s, _write_count, window, write)


def _write_count(window: _Window, write: Callable[[int], None]) -> None:
    window.timer = None
    left_out, window.left_out = window.left_out, 0
    if left_out:
        write(left_out)
