"""What the callbacks leave for others to read."""

import time
from collections.abc import Callable
from typing import Final

from appliance.sound.dsp import RATE_HZ

SLOWEST: Final = 5e-4
"""By how much a card's clock may be slower than ours; twice what bad ones are."""


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
        self.lost_frames = 0
        """By the last loss, at 48 kHz; as exact as the callbacks are punctual."""
        # When the first frame must have been heard, if no callback were ever late.
        self._origin_s = self.at_s

    def note(self, frames: int, status: int) -> int:
        """Note one callback, or several, and return how long it is at 48 kHz."""
        if self.rate_hz != RATE_HZ:
            frames = frames * RATE_HZ // self.rate_hz
        is_first = not self.frames
        before_s, self.at_s = self.at_s, self._now_s()
        self.frames += frames
        origin_s = self.at_s - self.frames / RATE_HZ
        known_s = self._origin_s + SLOWEST * (self.at_s - before_s)
        if status:
            self.xruns += 1
            lost_s = 0.0 if is_first else max(0.0, origin_s - known_s)
            self.lost_frames = round(lost_s * RATE_HZ)
        is_known = not (is_first or status)
        self._origin_s = min(origin_s, known_s) if is_known else origin_s
        return frames
