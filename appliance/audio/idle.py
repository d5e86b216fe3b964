"""Idle mode: while both sides are silent, the audio callback skips most periods.

Saves CPU time: without it, processing silence would take most of what an idle box
uses. The callback in the sound process only counts the skipped periods; the next
processed one accounts for them. Speech, a press or an earcon ends the skipping.
"""

from collections.abc import Callable
from typing import Final

from appliance.audio.stream_counters import StreamCounters

IDLE_PERIODS: Final = 7
"""Periods skipped in a row; with the processed one they are four whole packets."""


class IdleWindow:
    """Number of periods that the callback may still skip while both sides are silent.

    Thread: `end` any; everything else the callback's.
    """

    __slots__ = ("_flag", "_periods", "left")

    def __init__(self) -> None:
        """Start closed."""
        self._periods = 0
        self.left = 0
        """Periods that may still be skipped, unless `is_over`."""
        self._flag = memoryview(bytearray(b"\1"))

    @property
    def is_over(self) -> bool:
        """Whether speech has begun or is about to begin."""
        return bool(self._flag[0])

    def share(self, flag: memoryview) -> None:
        """Keep `is_over` in this byte, which another process reads."""
        flag[0] = self._flag[0]
        self._flag = flag

    def end(self) -> None:
        """End the window, after writing the sound: the next period is processed."""
        self._flag[0] = 1

    def open(self) -> None:
        """Allow a window to begin; check for speech only after this call.

        Speech that begins later ends the window; earlier speech is seen by the check.
        """
        self._flag[0] = 0

    def begin(self, periods: int) -> None:
        """Skip that many periods, beginning with the next one."""
        self._periods = self.left = periods

    def skips(self, status: int) -> bool:
        """Return whether to skip this period; if so, it is counted.

        The callback in the sound process contains the same code without a call.
        """
        if self.is_over or status or not self.left:
            return False
        self.left -= 1
        return True

    def taken(self) -> int:
        """Return the number of skipped periods and reset it."""
        skipped = self._periods - self.left
        self._periods = self.left = 0
        return skipped


class IdleMode:
    """Opens idle windows and counts the skipped periods.

    Thread: the callback's.
    """

    def __init__(
        self,
        window: IdleWindow,
        counters: StreamCounters,
        is_silent: Callable[[], bool],
    ) -> None:
        """Start without skipping.

        Args:
            window: window that is checked before each period.
            counters: counts the skipped periods.
            is_silent: returns whether the next periods need no processing.
        """
        # Reset what earlier streams have left.
        window.taken()
        self._window = window
        self._counters = counters
        self._is_silent = is_silent

    def skipped(self) -> int:
        """Return how many periods were skipped before this one, and count them."""
        if skipped := self._window.taken():
            self._counters.skip(skipped)
        return skipped

    def begin(self) -> None:
        """Open an idle window with the next period, if there is only silence."""
        self._window.open()
        if self._is_silent():
            self._window.begin(IDLE_PERIODS)
