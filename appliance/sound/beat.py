"""What the callbacks leave for others to read, and whose clock is faster."""

import time
from collections.abc import Callable
from typing import Final

from appliance.sound.dsp import RATE_HZ

SLOWEST: Final = 5e-4
"""By how much a card's clock may be slower than ours; twice what bad ones are."""
LEARNING_FRAMES: Final = RATE_HZ
"""1 s, in which some callback is punctual."""


class Beat:
    """Single numbers, so that no lock is needed."""

    def __init__(
        self, rate_hz: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start now.

        Args:
            rate_hz: the card's.
            now_s: monotonic clock.
        """
        self.rate_hz = rate_hz
        self._now_s = now_s
        self.at_s = now_s()
        self.frames = 0
        """At 48 kHz, whatever the card's rate is."""
        self.xruns = 0
        self.delay_ms = 0
        # When the first frame must have been heard, if no callback were ever late: now,
        # and when the clocks were compared first or what was amiss was corrected.
        self._origin_s = self._right_s = self.at_s

    def note(self, frames: int, status: int) -> int:
        """Note one callback, or several, and return how long it is at 48 kHz."""
        if self.rate_hz != RATE_HZ:
            frames = frames * RATE_HZ // self.rate_hz
        is_new = not self.frames or status
        before_s, self.at_s = self.at_s, self._now_s()
        self.frames += frames
        origin_s = self.at_s - self.frames / RATE_HZ
        if not is_new:
            known_s = self._origin_s + SLOWEST * (self.at_s - before_s)
            origin_s = min(origin_s, known_s)
        self._origin_s = origin_s
        if status:
            self.xruns += 1
        if self.frames < LEARNING_FRAMES:
            self.forgive()
        return frames

    @property
    def ahead_s(self) -> float:
        """How much more sound came than our clock says, or less: negative.

        Because the card's clock is another, or because of what it has lost. As exact as
        the callbacks are punctual.
        """
        return self._right_s - self._origin_s

    def correct(self, seconds: float) -> None:
        """Take note that so much was added, or left out: negative."""
        self._right_s += seconds

    def forgive(self) -> None:
        """Take it as it is, and compare from now on."""
        self._right_s = self._origin_s
