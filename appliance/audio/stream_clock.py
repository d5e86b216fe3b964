"""What the callbacks leave for others to read, and whose clock is faster."""

import time
from collections.abc import Callable
from typing import Final

from appliance.audio.dsp import RATE_HZ

SLOWEST: Final = 5e-4
"""By how much a card's clock may be slower than ours; twice what bad ones are."""
LEARNING_FRAMES: Final = RATE_HZ
"""1 s, in which some callback is punctual."""
GONE_S: Final = 0.06
"""A card of which nothing comes for so long has been away, whatever it says of it."""


class StreamClock:
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
        self.lost_s = 0.0
        """By the last loss; as exact as the callbacks are punctual."""
        self._learned_frames = LEARNING_FRAMES
        # When the first frame must have been heard, if no callback were ever late: now,
        # and when the clocks were compared first or what was amiss was corrected.
        self._origin_s = self._right_s = self.at_s
        self.ahead_s = 0.0
        """How much more sound came than our clock says, or less: negative.

        Because the card's clock is another, or because of what it has lost.
        """

    def note(self, frames: int, status: int) -> int:
        """Note one callback, or several, and return how long it is at 48 kHz."""
        if self.rate_hz != RATE_HZ:
            frames = frames * RATE_HZ // self.rate_hz
        before_s, self.at_s = self.at_s, self._now_s()
        passed_s = self.at_s - before_s
        known_s = self._origin_s + SLOWEST * passed_s
        is_first = not self.frames
        self.frames += frames
        origin_s = self.at_s - self.frames / RATE_HZ
        if status:
            self.xruns += 1
            self.lost_s = 0.0 if is_first else max(0.0, origin_s - known_s)
        elif passed_s - frames / RATE_HZ > GONE_S:
            self._learned_frames = self.frames + LEARNING_FRAMES
        elif not is_first:
            origin_s = min(origin_s, known_s)
        self._origin_s = origin_s
        if self.frames < self._learned_frames:
            self._right_s = origin_s
        self.ahead_s = self._right_s - origin_s
        return frames

    def correct(self, seconds: float) -> None:
        """Take note that so much was added, or left out: negative."""
        self._right_s += seconds
        self.ahead_s += seconds

    def resync(self) -> None:
        """Take it as it is, and compare from now on."""
        self._right_s = self._origin_s
        self.ahead_s = 0.0
