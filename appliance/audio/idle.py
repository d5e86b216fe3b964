"""A while in which nobody speaks, here or there."""


class IdleWindow:
    """Periods of the card that nobody has to look at.

    To look at a period takes Python 40 µs, 200 times a second: most of what a box does
    that nobody speaks into. In a lull its callbacks only count.

    Thread: `end` any; everything else the callback's.
    """

    __slots__ = ("_periods", "is_over", "left")

    def __init__(self) -> None:
        """Start without one."""
        self._periods = 0
        self.left = 0
        """Periods that may still be passed over, unless `is_over`."""
        self.is_over = True
        """Whether somebody has spoken, or is about to."""

    def end(self) -> None:
        """Have the next period looked at, after whatever is to be seen is there."""
        self.is_over = True

    def open(self) -> None:
        """Allow one to begin; ask who could speak only after this.

        Whoever speaks later ends it, whoever spoke before is seen.
        """
        self.is_over = False

    def begin(self, periods: int) -> None:
        """Pass over that many periods from the next on."""
        self._periods = self.left = periods

    def passes(self, status: int) -> bool:
        """Return whether to pass over this period; then it is counted.

        PortAudio's callback does the same without a call.
        """
        if self.is_over or status or not self.left:
            return False
        self.left -= 1
        return True

    def taken(self) -> int:
        """Return how many periods were passed over, and forget them."""
        passed = self._periods - self.left
        self._periods = self.left = 0
        return passed
