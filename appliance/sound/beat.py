"""What the callbacks leave for others to read."""

import time

from appliance.sound.dsp import RATE_HZ


class Beat:
    """Single numbers, so that no lock is needed."""

    def __init__(self, rate_hz: int) -> None:
        """Start now.

        Args:
            rate_hz: the card's.
        """
        self.rate_hz = rate_hz
        self.at_s = time.monotonic()
        self.frames = 0
        """At 48 kHz, whatever the card's rate is."""
        self.xruns = 0
        self.delay_ms = 0

    def note(self, frames: int, status: int) -> int:
        """Note one callback, or several, and return how long it is at 48 kHz."""
        if self.rate_hz != RATE_HZ:
            frames = frames * RATE_HZ // self.rate_hz
        self.at_s = time.monotonic()
        self.frames += frames
        if status:
            self.xruns += 1
        return frames
