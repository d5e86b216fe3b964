"""Callbacks of the PortAudio streams, and their counters: a period is a block of 10 ms.

They copy, mix and hand over; they do not log and hold locks only for moments. They work
on bytes where possible: with cold caches each NumPy call has a noticeable cost.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from appliance.audio.driver import IDLE_PERIODS, SAMPLE_BYTES, Raw
from appliance.audio.dsp import SILENT_PEAK, faded_in, resampler, to_block
from appliance.audio.echo_reference import EchoReference
from appliance.audio.mixer import Mixer
from appliance.metrics.counters import AudioFault
from appliance.pcm import RATE_HZ, SILENCE, Block
from appliance.sound_cards.devices import Direction

STALL_S: Final = 1.0
"""Time without callbacks, or captured samples, after which a stream has stopped."""
INPUT_UNDERFLOW: Final = 1
"""`paInputUnderflow` of portaudio.h: a callback without captured samples."""
BLOCKS_PER_S: Final = 100
ADC_CERTAINTY: Final = 0.25
"""A period counts as discarded if three quarters of it are missing in the converter's
time, which is not exact."""
ADC_VALUES: Final = 10
"""The converter's time is compared by the earliest of so many values, because
some drivers report it up to 12 ms late. Of 10, one is nearly always in time."""
ADC_RATE_ERROR: Final = 0.001
"""The converter's clock may be slower than the nominal rate by this."""
CLOCK_STEP: Final = 5.0
"""The converter's clock was set if its time jumps by so many periods more than that of
the callbacks, which come later after discarded periods. With a sound server it is the
wall clock. Our choice: 50 ms, less than a clock is usually set by."""
COMPARE_BLOCKS: Final = 20
"""The two channels of a microphone are compared five times a second, and in every block
while the chosen one is silent, so that no first word is lost."""
SILENT_POWER: Final = float(SILENT_PEAK**2)
"""Power of a sample, up to which a channel counts as silent."""
LOUDER: Final = 4.0
"""Ratio of powers, 6 dB, from which the other channel is taken instead: one of the two
may have no microphone, but both have one in most cards."""
FLUSH_BLOCKS: Final = 12
"""Blocks of silence after which nothing is left in a resampler but its dither of 1.
Measured: 2 at 44.1 kHz, 5 at 16 kHz, 11 at 8 kHz."""


class StreamCounters:
    """Counters of a stream, written by its callback; reading them needs no lock."""

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
        """Captured periods that PortAudio discarded silently: the speaker was late."""
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
        # The same for the times of the callbacks.
        self._late = self._least_late = 0.0
        self._compared_blocks = self._values = 0

    def begin(self) -> None:
        """Wait for the first callback from now on: opening a card may take seconds."""
        self.at_s = self._now_s()

    def note(self, status: int, adc_s: float = 0.0) -> None:
        """Record one callback with PortAudio's flags, which are not 0 after an xrun.

        `adc_s` is the time at which the first captured frame was converted; 0, or not a
        finite number: unknown.
        """
        adc_s = adc_s if math.isfinite(adc_s) else 0.0
        self.at_s = self._now_s()
        self.blocks += 1
        if status & INPUT_UNDERFLOW:
            self._missed += 1
            self._ahead = None
            if self.no_samples_since_s is None:
                self.no_samples_since_s = self.at_s
            return
        # They count if the microphone goes on; more are one that had stopped.
        self.missing += self._missed if self._missed < STALL_S * BLOCKS_PER_S else 0
        self._missed, self.no_samples_since_s = 0, None
        if status:
            self.xruns += 1
        if status or not adc_s:
            self._ahead = None
        if adc_s:
            late = self.at_s * BLOCKS_PER_S - self.blocks
            self._note_drops(adc_s * BLOCKS_PER_S - self.blocks, late)

    def note_sound(self, *, is_zero: bool) -> None:
        """Record whether all samples of a captured block are 0."""
        if not is_zero:
            self.has_sound, self.zeros_since_s = True, None
        elif self.zeros_since_s is None:
            self.zeros_since_s = self.at_s

    def _note_drops(self, ahead: float, late: float) -> None:
        """Count the periods that stay missing in the converter's time."""
        if self._ahead is None:
            self._ahead = self._least_ahead = ahead
            self._late = self._least_late = late
            self._compared_blocks, self._values = self.blocks, 0
        self._least_ahead = min(self._least_ahead, ahead)
        self._least_late = min(self._least_late, late)
        # In idle mode one period in eight has a value.
        self._values += 1
        if self._values <= ADC_VALUES:
            return
        passed = self.blocks - self._compared_blocks
        missing = max(0, int(self._least_ahead - self._ahead + ADC_CERTAINTY))
        later = max(0.0, self._least_late - self._late)
        if missing >= min(later + CLOCK_STEP, STALL_S * BLOCKS_PER_S):
            self._ahead = None
            return
        self.drops += missing
        most = missing + passed * ADC_RATE_ERROR
        self._ahead = min(self._ahead + most, self._least_ahead)
        self._late = min(self._late + most, self._least_late)
        self._least_ahead = self._least_late = math.inf
        self._compared_blocks = self.blocks
        self._values = 1

    def losses(self, direction: Direction) -> Counter[AudioFault]:
        """Return the numbers of xruns and drops in this direction."""
        if direction == "speaker":
            return Counter({AudioFault.XRUN: self.xruns})
        xruns = self.xruns + self.missing
        return Counter({AudioFault.XRUN: xruns, AudioFault.DROP: self.drops})

    def skip(self, blocks: int) -> None:
        """Record callbacks that were skipped in idle mode, which had no flags."""
        self.no_samples_since_s = None
        self.at_s = self._now_s()
        self.blocks += blocks


class BlockSink(Protocol):
    """Consumer of captured blocks."""

    def put(self, microphone: Block, played: Block) -> None:
        """Take 10 ms and the voices played meanwhile; the blocks are not reused.

        A microphone that is `SILENCE` itself stands for a skipped period.
        """

    def skip_packets(self, packets: int) -> None:
        """Account for packets of 20 ms that were skipped in silence."""

    @property
    def is_idle(self) -> bool:
        """Whether the next periods may be skipped."""


class Capture:
    """Converts periods into mono blocks at 48 kHz for a sink. Thread: the card's."""

    def __init__(self, block_sink: BlockSink, counters: StreamCounters) -> None:
        """Start with the first channel; `counters` takes whether there is sound."""
        rate_hz = counters.rate_hz
        self._block_sink = block_sink
        self._counters = counters
        self._period_bytes = rate_hz // 100 * SAMPLE_BYTES
        self._convert = resampler(rate_hz, RATE_HZ)
        self._channel = 0
        self._blocks_to_compare = 0
        self._is_after_gap = False

    def skip(self, blocks: int) -> None:
        """Account for skipped blocks, beginning at a packet boundary."""
        packets, half = divmod(blocks, 2)
        if packets:
            self._block_sink.skip_packets(packets)
        if half:
            # Speech that ended the skipping began after this half of a packet.
            self._block_sink.put(SILENCE, SILENCE)
            self._is_after_gap = True

    def add(self, heard: Raw | bytes, played: Block | None) -> None:
        """Take one captured period and the voices played in it, at 48 kHz."""
        # The sink keeps the block, so each needs memory of its own.
        block = np.frombuffer(bytearray(heard), np.int16)
        if len(heard) > self._period_bytes:
            block = self._louder(block.reshape(-1, len(heard) // self._period_bytes))
        self._counters.note_sound(is_zero=not block.any())
        if self._convert is not None:
            block = self._convert(block)
        if self._is_after_gap:
            self._is_after_gap = False
            block = to_block(faded_in(block.astype(np.float32)))
        self._block_sink.put(block, SILENCE if played is None else played)

    def _louder(self, frames: Block) -> Block:
        """Return the louder channel of a stereo microphone."""
        self._blocks_to_compare -= 1
        if self._blocks_to_compare <= 0:
            samples = frames.astype(np.float32)
            power = np.einsum("ij,ij->j", samples, samples) / len(frames)
            loudest = int(power.argmax())
            if power[loudest] > LOUDER * power[self._channel]:
                self._channel = loudest
            is_silent = power[self._channel] <= SILENT_POWER
            self._blocks_to_compare = 1 if is_silent else COMPARE_BLOCKS
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
        """Write the block to every channel; None is silence.

        With a resampler, the end of a sound is written with the silence after it.
        """
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

    A duplex stream has one clock, so the echo's delay is constant. Two streams share an
    `EchoReference`.
    """

    def __init__(
        self,
        directions: set[Direction],
        mixer: Mixer,
        block_sink: BlockSink,
        reference: EchoReference,
        counters: StreamCounters,
    ) -> None:
        """Start with silence; `reference` is for streams of one direction."""
        captures = "microphone" in directions
        plays = "speaker" in directions
        self.idle_window = mixer.idle_window if captures else mixer.playback_window
        # Reset what earlier streams have left.
        self.idle_window.taken()
        self._mixer = mixer
        self._block_sink = block_sink
        self._counters = counters
        self._capture = Capture(block_sink, counters) if captures else None
        self._output = OutputBuffer(counters.rate_hz) if plays else None
        self._reference = None if captures and plays else reference

    def call(self, heard: Raw, played: Raw, status: int, adc_s: float) -> None:
        """Take one captured period and fill one for playback."""
        capture, output, reference = self._capture, self._output, self._reference
        if skipped := self.idle_window.taken():
            self._skip(skipped)
        self._counters.note(status, adc_s)
        if output is not None:
            block = self._mixer.next()
            if reference is not None:
                reference.put(self._mixer.reference)
            output.fill(played, block)
        if capture is not None:
            voices = reference.take() if reference else self._mixer.reference
            capture.add(heard, voices)
        self.idle_window.open()
        if self._is_idle():
            self.idle_window.begin(IDLE_PERIODS)

    def _skip(self, blocks: int) -> None:
        """Account for blocks that were skipped in idle mode."""
        self._counters.skip(blocks)
        if self._reference is not None:
            for _ in range(blocks):
                if self._output is not None:
                    self._reference.put(None)
                else:
                    self._reference.take()
        if self._capture is not None:
            self._capture.skip(blocks)

    def _is_idle(self) -> bool:
        if self._capture is not None and not self._block_sink.is_idle:
            return False
        rest = self._output or self._reference
        return self._mixer.is_idle and (rest is None or rest.is_idle)
