"""Timing of one audio stream: last callback, frames, xruns, drift against our clock."""

import time
from collections.abc import Callable
from typing import Final

from appliance.audio.dsp import RATE_HZ

MAX_DRIFT: Final = 5e-4
"""Largest assumed drift of a card's clock; twice that of bad ones."""
LEARNING_FRAMES: Final = RATE_HZ
"""1 s, long enough to contain a callback that is on time."""
GONE_S: Final = 0.06
"""A card without callbacks for this long was interrupted, with or without a flag."""


class StreamClock:
    """Timing written by the callback; single numbers, so that reading needs no lock."""

    def __init__(
        self, rate_hz: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start now.

        Args:
            rate_hz: rate of the card.
            now_s: monotonic clock.
        """
        self.rate_hz = rate_hz
        self._now_s = now_s
        self.at_s = now_s()
        self.frames = 0
        """Frames so far, converted to 48 kHz."""
        self.xruns = 0
        self.delay_ms = 0
        self.lost_s = 0.0
        """Duration of the last loss; as exact as the callbacks are on time."""
        self._learned_frames = LEARNING_FRAMES
        # Time at which the first frame must have been captured, if no callback were
        # ever late: the present estimate, and the one that counts as correct.
        self._origin_s = self._reference_origin_s = self.at_s
        self.ahead_s = 0.0
        """Offset of the captured sound against our clock; negative: less than due.

        It results from drift of the card's clock and from losses.
        """

    def note(self, frames: int, status: int) -> int:
        """Record one callback, or several, and return the frames at 48 kHz."""
        if self.rate_hz != RATE_HZ:
            frames = frames * RATE_HZ // self.rate_hz
        before_s, self.at_s = self.at_s, self._now_s()
        passed_s = self.at_s - before_s
        known_s = self._origin_s + MAX_DRIFT * passed_s
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
            self._reference_origin_s = origin_s
        self.ahead_s = self._reference_origin_s - origin_s
        return frames

    def correct(self, seconds: float) -> None:
        """Record a correction: sound that was inserted, or dropped if negative."""
        self._reference_origin_s += seconds
        self.ahead_s += seconds

    def resync(self) -> None:
        """Accept the present offset as 0."""
        self._reference_origin_s = self._origin_s
        self.ahead_s = 0.0
