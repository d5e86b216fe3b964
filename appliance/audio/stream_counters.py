"""Heartbeat and counters of one stream."""

import math
import time
from collections.abc import Callable
from typing import Final

from appliance.metrics.counters import AudioFault
from appliance.sound_cards.devices import Direction

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
ADC_VALUES: Final = 10
"""The converter's time is compared by the earliest of so many values, because
some drivers report it up to 12 ms late. Of 10, one is nearly always in time."""
ADC_RATE_ERROR: Final = 0.001
"""The converter's clock may be slower than the nominal rate by this."""


class StreamCounters:
    """Heartbeat and counters of one stream, written by its callback.

    Single numbers, so that reading needs no lock.
    """

    def __init__(
        self, rate_hz: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start now, for a card that runs at this rate."""
        self.rate_hz = rate_hz
        self._now_s = now_s
        self.at_s = now_s()
        """Time of the last callback, or of the start."""
        self.blocks = 0
        """Periods of 10 ms so far."""
        self.xruns = 0
        """Callbacks with a flag for lost samples; of a duplex stream in either
        direction, because PortAudio then starts both again."""
        self.missing = 0
        """Periods without captured samples, of a microphone that went on."""
        self.drops = 0
        """Captured periods that PortAudio discarded without reporting it, which it does
        when the speaker is not ready in time."""
        self.delay_ms = 0
        self.has_sound = False
        """Whether anything but zeros was captured."""
        self.zeros_since_s: float | None = None
        """Time since which only zeros are captured; None: there is sound."""
        self.no_samples_since_s: float | None = None
        """Time since which PortAudio has had no captured samples for any callback; it
        passes zeros in their place. None: there are samples."""
        self._missed = 0
        # Periods by which the converter's time is ahead of the callbacks: at the last
        # comparison, and the least value since.
        self._ahead: float | None = None
        self._least_ahead = 0.0
        self._compared_blocks = self._values = 0

    def begin(self) -> None:
        """Wait for the first callback from now on: opening a card may take seconds."""
        self.at_s = self._now_s()

    def note(self, status: int, adc_s: float = 0.0) -> None:
        """Record one callback.

        Args:
            status: PortAudio's flags; not 0 after an xrun.
            adc_s: time at which the first captured frame was converted; 0, or not a
                finite number: unknown.
        """
        adc_s = adc_s if math.isfinite(adc_s) else 0.0
        self.at_s = self._now_s()
        self.blocks += 1
        if status & INPUT_UNDERFLOW:
            self._note_missed()
            return
        # More are a microphone that had stopped.
        self.missing += self._missed if self._missed < STALL_S * BLOCKS_PER_S else 0
        self._missed, self.no_samples_since_s = 0, None
        if status:
            self.xruns += 1
        if status or not adc_s:
            self._ahead = None
        if adc_s:
            self._note_drops(adc_s * BLOCKS_PER_S - self.blocks)

    def note_sound(self, *, is_zero: bool) -> None:
        """Record whether all samples of a captured block are 0."""
        if not is_zero:
            self.has_sound, self.zeros_since_s = True, None
        elif self.zeros_since_s is None:
            self.zeros_since_s = self.at_s

    def _note_drops(self, ahead: float) -> None:
        """Count the periods that stay missing in the converter's time."""
        if self._ahead is None:
            self._ahead = self._least_ahead = ahead
            self._compared_blocks, self._values = self.blocks, 0
        self._least_ahead = min(self._least_ahead, ahead)
        # In idle mode one period in eight has a value.
        self._values += 1
        if self._values <= ADC_VALUES:
            return
        passed = self.blocks - self._compared_blocks
        missing = max(0, int(self._least_ahead - self._ahead + ADC_CERTAINTY))
        if missing >= STALL_S * BLOCKS_PER_S:
            # With a sound server it is the wall clock, which has been set.
            self._ahead = None
            return
        self.drops += missing
        latest = self._ahead + missing + passed * ADC_RATE_ERROR
        self._ahead = min(latest, self._least_ahead)
        self._least_ahead, self._compared_blocks = math.inf, self.blocks
        self._values = 1

    def _note_missed(self) -> None:
        """Record a callback without captured samples.

        It counts if the microphone goes on, and not if it has stopped.
        """
        self._missed += 1
        self._ahead = None
        if self.no_samples_since_s is None:
            self.no_samples_since_s = self.at_s

    def count(self, direction: Direction, kind: AudioFault) -> int:
        """Return the number of xruns or drops in this direction; 0 for other faults."""
        is_microphone = direction == "microphone"
        if kind is AudioFault.XRUN:
            return self.xruns + (self.missing if is_microphone else 0)
        return self.drops if kind is AudioFault.DROP and is_microphone else 0

    def losses(self, direction: Direction) -> int:
        """Return the number of losses of every kind in this direction."""
        kinds = AudioFault.XRUN, AudioFault.DROP
        return sum(self.count(direction, kind) for kind in kinds)

    def skip(self, blocks: int) -> None:
        """Record callbacks that were skipped in idle mode, which had no flags."""
        self.no_samples_since_s = None
        self.at_s = self._now_s()
        self.blocks += blocks
