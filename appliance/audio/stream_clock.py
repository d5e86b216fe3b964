"""Heartbeat and counters of one audio stream, written by its callback."""

import time
from collections.abc import Callable
from typing import Final

STALL_S: Final = 1.0
"""Time without callbacks, or without captured samples, after which a stream counts as
stopped."""
INPUT_UNDERFLOW: Final = 1
"""PortAudio's flag for a callback without captured samples. Source: portaudio.h,
`paInputUnderflow`."""
BLOCKS_PER_S: Final = 100
ADC_CERTAINTY: Final = 0.25
"""A period counts as discarded if three quarters of it are missing in the converter's
time, which is not exact."""


class StreamClock:
    """Heartbeat and counters of one stream, written by its callback.

    Single numbers, so that reading needs no lock.
    """

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
        """Time of the last callback."""
        self.blocks = 0
        """Periods of 10 ms so far."""
        self.xruns = 0
        self.drops = 0
        """Captured periods that PortAudio discarded without reporting it, which it does
        when the speaker is not ready in time."""
        self.delay_ms = 0
        self.has_sound = False
        """Whether anything but zeros was captured."""
        self.zeros_since_s: float | None = None
        """Time since which only zeros are captured; None: there is sound."""
        self.deaf_since_s: float | None = None
        """Time since which PortAudio has had no captured samples for any callback; it
        passes zeros in their place. None: there are samples."""
        self._missed = 0
        self._adc_s = 0.0
        self._adc_blocks = 0

    def note(self, status: int, adc_s: float = 0.0) -> None:
        """Record one callback.

        Args:
            status: PortAudio's flags; not 0 after an xrun.
            adc_s: time at which the first captured frame was converted; 0: unknown.
        """
        self.at_s = self._now_s()
        self.blocks += 1
        if status & INPUT_UNDERFLOW:
            self._note_missed()
            return
        # More are a microphone that had stopped.
        self.xruns += self._missed if self._missed < STALL_S * BLOCKS_PER_S else 0
        self._missed, self.deaf_since_s = 0, None
        if status:
            self.xruns += 1
        elif adc_s and self._adc_s:
            passed = (adc_s - self._adc_s) * BLOCKS_PER_S
            missing = int(passed - (self.blocks - self._adc_blocks) + ADC_CERTAINTY)
            self.drops += max(0, missing)
        self._adc_s, self._adc_blocks = adc_s, self.blocks

    def note_sound(self, *, is_zero: bool) -> None:
        """Record whether all samples of a captured block are 0."""
        if not is_zero:
            self.has_sound, self.zeros_since_s = True, None
        elif self.zeros_since_s is None:
            self.zeros_since_s = self.at_s

    def _note_missed(self) -> None:
        """Record a callback without captured samples.

        It is an xrun if the microphone goes on, and not if it has stopped.
        """
        self._missed += 1
        self._adc_s = 0.0
        if self.deaf_since_s is None:
            self.deaf_since_s = self.at_s

    def skip(self, blocks: int) -> None:
        """Record callbacks that were skipped in idle mode, which had no flags."""
        self.deaf_since_s = None
        self.at_s = self._now_s()
        self.blocks += blocks
