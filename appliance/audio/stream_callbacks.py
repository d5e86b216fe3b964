"""Callbacks of the PortAudio streams, and their counters: a period is a block of 10 ms.

They copy, mix and hand over; they do not log and hold locks only for moments.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.audio.driver import IDLE_PERIODS, SAMPLE_BYTES, Raw
from appliance.audio.dsp import faded_in, resampler, to_block
from appliance.audio.echo_cancellation import EchoReference
from appliance.audio.sender import Sender
from appliance.metrics.counters import AudioFault
from appliance.pcm import RATE_HZ, SILENCE, Block
from appliance.sound_cards.devices import Direction

STALL_S: Final = 1.0
"""Time without callbacks, or captured samples, after which a stream has stopped."""
INPUT_UNDERFLOW: Final = 1
"""`paInputUnderflow` of portaudio.h: a callback without captured samples."""
BLOCKS_PER_S: Final = 100
ADC_VALUES: Final = 10
"""The converter's time is compared by the earliest of so many values, because
some drivers report it up to 12 ms late. Of 10, one is nearly always in time."""
ADC_CERTAINTY: Final = 0.25
"""A period counts as discarded if three quarters of it are missing in the converter's
time, which is not exact."""
ADC_DRIFT: Final = 0.1
"""Periods by which a slow converter's time may grow more in `ADC_VALUES`."""
LOUDER: Final = 4.0
"""Ratio of powers, 6 dB, from which the other channel is taken instead: one of the two
may have no microphone, but both have one in most cards."""
FLUSH_BLOCKS: Final = 12
"""Blocks of silence after which nothing is left in a resampler but its dither of 1.
Measured: 2 at 44.1 kHz, 5 at 16 kHz, 11 at 8 kHz."""


@dataclass(slots=True)
class Totals:
    """Counts of one direction over all its streams, written by their callbacks."""

    blocks: int = 0
    """Periods of 10 ms."""
    faults: Counter[AudioFault] = field(default_factory=Counter)

    @property
    def losses(self) -> int:
        """Number of xruns and drops."""
        return self.faults[AudioFault.XRUN] + self.faults[AudioFault.DROP]


class StreamCounters:
    """Timing of a stream, written by its callback; reading it needs no lock."""

    def __init__(
        self,
        rate_hz: int,
        totals: Mapping[Direction, Totals],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start now, for a card of this rate; `totals` are those of its directions.

        An xrun of a duplex stream counts for both: PortAudio then starts both again.
        """
        self.rate_hz = rate_hz
        self._totals = totals
        self._now_s = now_s
        self.at_s = now_s()
        """Time of the last callback, or of the start."""
        self.blocks = 0
        """Periods so far."""
        self.zeros_since_s: float | None = None
        """Time since which only zeros are captured; None: there is sound."""
        self.no_samples_since_s: float | None = None
        """Time since which PortAudio has had no captured samples for any callback; it
        passes zeros in their place. None: there are samples."""
        self._missed = 0
        # Periods by which the converter's time is ahead of the callbacks: what is
        # expected at least, and the values since the last comparison.
        self._expected: float | None = None
        self._ahead: list[float] = []

    @property
    def has_no_samples(self) -> bool:
        """Whether there have been no captured samples for a second."""
        since_s = self.no_samples_since_s
        return since_s is not None and self.at_s - since_s >= STALL_S

    def note(self, status: int, adc_s: float = 0.0) -> None:
        """Record one callback with PortAudio's flags, which are not 0 after an xrun.

        `adc_s` is the time at which the first captured frame was converted; 0, or not a
        finite number: unknown.
        """
        self._add_blocks(1)
        if status & INPUT_UNDERFLOW:
            self._missed += 1
            self._expected = None
            if self.no_samples_since_s is None:
                self.no_samples_since_s = self.at_s
            return
        # They count if the microphone goes on; more are one that had stopped.
        if 0 < self._missed < STALL_S * BLOCKS_PER_S:
            self._totals["microphone"].faults[AudioFault.XRUN] += self._missed
        self._missed, self.no_samples_since_s = 0, None
        if status:
            self._expected = None
            for totals in self._totals.values():
                totals.faults[AudioFault.XRUN] += 1
        if 0.0 < adc_s < math.inf:
            self._note_drops(adc_s * BLOCKS_PER_S - self.blocks)

    def note_sound(self, *, is_zero: bool) -> None:
        """Record whether all samples of a captured block are 0."""
        if not is_zero:
            self.zeros_since_s = None
        elif self.zeros_since_s is None:
            self.zeros_since_s = self.at_s

    def skip(self, blocks: int) -> None:
        """Record callbacks that were skipped in idle mode, which had no flags."""
        self.no_samples_since_s = None
        self._add_blocks(blocks)

    def _add_blocks(self, blocks: int) -> None:
        self.at_s = self._now_s()
        self.blocks += blocks
        for totals in self._totals.values():
            totals.blocks += blocks

    def _note_drops(self, ahead: float) -> None:
        """Count captured periods that PortAudio discarded: the speaker was late."""
        if self._expected is None:
            self._expected = ahead
            self._ahead.clear()
        self._ahead.append(ahead)
        if len(self._ahead) < ADC_VALUES:
            return
        least = min(self._ahead)
        self._ahead.clear()
        missing = max(0, int(least - self._expected + ADC_CERTAINTY))
        if missing >= STALL_S * BLOCKS_PER_S:
            # The clock was set: with a sound server it is the wall clock.
            self._expected = least
            return
        self._totals["microphone"].faults[AudioFault.DROP] += missing
        self._expected = min(self._expected + missing + ADC_DRIFT, least)


class Capture:
    """Converts periods into mono blocks at 48 kHz for the sender."""

    def __init__(self, sender: Sender, counters: StreamCounters) -> None:
        """Start with the first channel; `counters` takes whether there is sound."""
        rate_hz = counters.rate_hz
        self._sender = sender
        self._counters = counters
        self._period_bytes = rate_hz // 100 * SAMPLE_BYTES
        self._convert = resampler(rate_hz, RATE_HZ)
        self._channel = 0
        self._is_after_gap = False

    def skip(self, blocks: int) -> None:
        """Account for skipped blocks, beginning at a packet boundary."""
        packets, half = divmod(blocks, 2)
        if packets:
            self._sender.skip_packets(packets)
        if half:
            # Speech that ended the skipping began after this half of a packet.
            self._sender.put(SILENCE, SILENCE)
            self._is_after_gap = True

    def add(self, heard: Raw | bytes, played: Block | None) -> None:
        """Take one captured period and the voices played in it, at 48 kHz."""
        # The sender keeps the block, so each needs memory of its own.
        block = np.frombuffer(bytearray(heard), np.int16)
        if len(heard) > self._period_bytes:
            block = self._louder(block.reshape(-1, len(heard) // self._period_bytes))
        self._counters.note_sound(is_zero=not block.any())
        if self._convert is not None:
            block = self._convert(block)
        if self._is_after_gap:
            self._is_after_gap = False
            block = to_block(faded_in(block.astype(np.float32)))
        self._sender.put(block, SILENCE if played is None else played)

    def _louder(self, frames: Block) -> Block:
        """Return the louder channel of a stereo microphone."""
        samples = frames.astype(np.float32)
        power = np.einsum("ij,ij->j", samples, samples)
        loudest = int(power.argmax())
        if power[loudest] > LOUDER * power[self._channel]:
            self._channel = loudest
        return frames[:, self._channel].copy()


class OutputBuffer:
    """Writes mono blocks to the card's output buffer, at its rate and channels."""

    def __init__(self, rate_hz: int) -> None:
        self._period_bytes = rate_hz // 100 * SAMPLE_BYTES
        self._convert = resampler(RATE_HZ, rate_hz)
        self._blocks_to_flush = 0

    @property
    def is_idle(self) -> bool:
        """Whether no sound is left in the resampler."""
        return not self._blocks_to_flush

    def fill(self, outdata: Raw, block: Block | None) -> None:
        """Write the block to every channel; None is silence."""
        if block is not None:
            self._blocks_to_flush = 0 if self._convert is None else FLUSH_BLOCKS
        elif self._blocks_to_flush:
            self._blocks_to_flush -= 1
            block = SILENCE
        else:
            outdata[:] = bytes(len(outdata))
            return
        if self._convert is not None:
            block = self._convert(block)
        outdata[:] = block.repeat(len(outdata) // self._period_bytes).tobytes()


class StreamCallback:
    """Callback of a stream that captures, plays, or does both.

    Two streams share an `EchoReference`; a duplex stream, with one clock, needs none.
    """

    def __init__(
        self,
        directions: set[Direction],
        sender: Sender,
        reference: EchoReference,
        counters: StreamCounters,
    ) -> None:
        """Start with silence; `reference` is for streams of one direction."""
        captures = "microphone" in directions
        plays = "speaker" in directions
        self._mixer = mixer = sender.mixer
        self.idle_window = mixer.idle_window if captures else mixer.playback_window
        self._sender = sender
        self.counters = counters
        self._capture = Capture(sender, counters) if captures else None
        self._output = OutputBuffer(counters.rate_hz) if plays else None
        self.reference = None if captures and plays else reference
        """Replaced when another stream of one direction is opened."""

    def call(
        self, heard: Raw, played: Raw, status: int, adc_s: float, skipped: int
    ) -> int:
        """Take one captured period and fill one for playback."""
        capture, output, reference = self._capture, self._output, self.reference
        if skipped:
            self._skip(skipped)
        self.counters.note(status, adc_s)
        if output is not None:
            block = self._mixer.next()
            if reference is not None:
                reference.put(self._mixer.reference)
            output.fill(played, block)
        if capture is not None:
            voices = reference.take() if reference else self._mixer.reference
            capture.add(heard, voices)
        self.idle_window.open()
        return IDLE_PERIODS if self._is_idle() else 0

    def _skip(self, blocks: int) -> None:
        """Account for blocks that were skipped in idle mode."""
        self.counters.skip(blocks)
        if self.reference is not None:
            for _ in range(blocks):
                if self._output is not None:
                    self.reference.put(None)
                else:
                    self.reference.take()
        if self._capture is not None:
            self._capture.skip(blocks)

    def _is_idle(self) -> bool:
        if self._capture is not None and not self._sender.is_idle:
            return False
        return self._mixer.is_idle and (self._output is None or self._output.is_idle)
