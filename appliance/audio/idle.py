"""Idle window: periods of silence that the audio callback skips."""


class IdleWindow:
    """Number of periods that the callback may still skip while both sides are silent.

    Processing a period takes 40 µs of Python, 200 times a second: most of the CPU time
    of an idle box. Within the window the callback only counts.

    Thread: `end` any; everything else the callback's.
    """

    __slots__ = ("_periods", "is_over", "left")

    def __init__(self) -> None:
        """Start closed."""
        self._periods = 0
        self.left = 0
        """Periods that may still be skipped, unless `is_over`."""
        self.is_over = True
        """Whether speech has begun or is about to begin."""

    def end(self) -> None:
        """End the window, after writing the sound: the next period is processed."""
        self.is_over = True

    def open(self) -> None:
        """Allow a window to begin; check for speech only after this call.

        Speech that begins later ends the window; earlier speech is seen by the check.
        """
        self.is_over = False

    def begin(self, periods: int) -> None:
        """Skip that many periods, beginning with the next one."""
        self._periods = self.left = periods

    def passes(self, status: int) -> bool:
        """Return whether to skip this period; if so, it is counted.

        The callback in `portaudio` contains the same code without a call.
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
