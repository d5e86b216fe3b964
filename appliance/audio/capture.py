"""Capture: one period of the card becomes one block of 10 ms for the sender."""

from typing import Final, Protocol

import numpy as np

from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import RATE_HZ, faded_in, to_block
from appliance.audio.resample import resampler
from appliance.audio.stream_clock import StreamClock
from appliance.pcm import SILENCE, Block

COMPARE_BLOCKS: Final = 20
"""The two channels of a microphone are compared five times a second."""
LOUDER: Final = 4.0
"""Ratio of powers, 6 dB, from which the other channel is taken instead: one of the two
may have no microphone, but both have one in most cards."""


class BlockSink(Protocol):
    """Consumer of captured blocks."""

    def put(self, microphone: Block, played: Block) -> None:
        """Take 10 ms and the voices played meanwhile; the blocks are not reused."""

    def skip_packets(self, packets: int) -> None:
        """Account for packets of 20 ms that were skipped in silence."""

    @property
    def idle_packets(self) -> int:
        """How many of the next packets can be skipped."""


class Capture:
    """Converts periods of 10 ms into mono blocks at 48 kHz for a `BlockSink`.

    Thread: the card's.
    """

    def __init__(self, block_sink: BlockSink, stream_clock: StreamClock) -> None:
        """Start with the first channel.

        Args:
            block_sink: takes the blocks.
            stream_clock: takes whether there is sound.
        """
        rate_hz = stream_clock.rate_hz
        self._block_sink = block_sink
        self._stream_clock = stream_clock
        self._period_bytes = rate_hz // 100 * SAMPLE_BYTES
        self._convert = resampler(rate_hz, RATE_HZ)
        self._channel = 0
        self._compare_blocks = 0
        self._is_after_gap = False

    @property
    def idle_packets(self) -> int:
        """How many of the next packets can be skipped."""
        return self._block_sink.idle_packets

    def skip(self, blocks: int) -> None:
        """Account for skipped blocks, beginning at a packet boundary."""
        packets, half = divmod(blocks, 2)
        if packets:
            self._block_sink.skip_packets(packets)
        if half:
            # The speech that ended the skipping began after this half of a packet.
            self._block_sink.put(SILENCE.copy(), SILENCE)
            self._is_after_gap = True

    def add(self, heard: Raw | bytes, played: Block | None) -> None:
        """Take one captured period and the voices played in it, at 48 kHz."""
        # The sink keeps the block, so each needs memory of its own.
        block = np.frombuffer(bytearray(heard), np.int16)
        if len(heard) > self._period_bytes:
            block = self._louder(block.reshape(-1, len(heard) // self._period_bytes))
        self._stream_clock.note_sound(is_zero=not block.any())
        if self._convert is not None:
            block = self._convert(block)
        if self._is_after_gap:
            self._is_after_gap = False
            block = to_block(faded_in(block.astype(np.float32)))
        self._block_sink.put(block, SILENCE if played is None else played)

    def _louder(self, frames: Block) -> Block:
        """Return the louder channel of a stereo microphone."""
        self._compare_blocks += 1
        if self._compare_blocks >= COMPARE_BLOCKS:
            self._compare_blocks = 0
            samples = frames.astype(np.float32)
            power = np.einsum("ij,ij->j", samples, samples)
            loudest = int(power.argmax())
            if power[loudest] > LOUDER * power[self._channel]:
                self._channel = loudest
        return frames[:, self._channel].copy()
