"""Idle mode: while both sides are silent, the audio callback only counts periods.

An optimisation of CPU time, which most of the CPU time of an idle box would otherwise
go into. Without it every period is processed, as in a stream that only plays.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from appliance.audio.stream_clock import StreamClock

if TYPE_CHECKING:
    # The driver's interface, which it needs, has an idle window itself.
    from appliance.audio.capture import Capture


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


class IdleMode:
    """Opens idle windows of whole packets and accounts for the skipped periods.

    Thread: the callback's.
    """

    def __init__(
        self,
        window: IdleWindow,
        capture: "Capture",
        stream_clock: StreamClock,
        is_still: Callable[[], bool],
    ) -> None:
        """Start without skipping.

        Args:
            window: window that the callback checks before each period.
            capture: limits the window and accounts for what was skipped.
            stream_clock: counts the skipped periods.
            is_still: returns whether there is nothing to play.
        """
        # Reset what earlier streams have left.
        window.taken()
        self._window = window
        self._capture = capture
        self._stream_clock = stream_clock
        self._is_still = is_still

    def skips(self, status: int) -> bool:
        """Account for skipped periods, and return whether this one is skipped too."""
        skipped = self._window.taken()
        if not skipped:
            return False
        is_calm = not status and not self._window.is_over
        skipped += is_calm
        self._stream_clock.skip(skipped)
        self._capture.skip(skipped)
        if is_calm:
            self.begin()
        return is_calm

    def begin(self) -> None:
        """Open an idle window with the next period, if both sides are silent."""
        self._window.open()
        packets = self._capture.idle_packets
        if packets and self._is_still():
            # The last period is processed, and with it all skipped ones are counted.
            self._window.begin(2 * packets - 1)
