"""Rate-limited logging of events that any client can cause."""

import asyncio
from collections.abc import Callable

EVERY_S = 60.0


class MinuteLog:
    """Counter of occurrences that logs at most one line a minute.

    The first occurrence is logged at once, later ones together after a minute.

    Thread: the loop's.
    """

    def __init__(
        self, write: Callable[[int], None], *, every_s: float = EVERY_S
    ) -> None:
        """Pass the count since the last line to `write`."""
        self._write = write
        self._every_s = every_s
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def note(self) -> None:
        """Count one occurrence."""
        self._count += 1
        if self._timer is None:
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        if not self._count:
            return
        count, self._count = self._count, 0
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._every_s, self._flush)
        self._write(count)
