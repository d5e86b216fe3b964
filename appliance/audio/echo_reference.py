"""Played blocks as the echo canceller needs them, for streams of two cards.

With one card, played and captured blocks come in pairs. With two, `EchoReference`
brings what is played to the clock of the microphone.
"""

import time
from collections.abc import Callable
from typing import Final

from appliance.audio.dsp import WINDOW_FRAMES, is_loud, to_block
from appliance.audio.jitter_buffer import SIZE_FRAMES, RingBuffer
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE, Block

WINDOW_BLOCKS: Final = 100
"""1 s: of so many callbacks one is in time."""
JUMP_FRAMES: Final = 240
"""A larger error is no drift: blocks were lost. The delay is then set at once."""
PROPORTIONAL: Final = 0.2
INTEGRAL: Final = 0.01
"""Part of the error that is corrected in a second, and that is added to the drift each
second: 300 ppm are found within 20 s, with an error of 1 ms meanwhile."""
MAX_RATE: Final = 0.001
IDLE_FRAMES: Final = RATE_HZ // 5


class _SampleClock:
    """Time of a stream's samples, from the earliest callback of each second."""

    def __init__(self) -> None:
        self.frames = 0
        self.windows = 0
        """Seconds that are complete."""
        self.offset_s = 0.0
        """Time of sample 0 by the last complete second."""
        self._blocks = 0
        self._least_s = float("inf")

    def note(self, blocks: int, now_s: float) -> None:
        """Record a callback that brings the samples to the end of these blocks."""
        self.frames += blocks * BLOCK_FRAMES
        self._least_s = min(self._least_s, now_s - self.frames / RATE_HZ)
        self._blocks += blocks
        if self._blocks >= WINDOW_BLOCKS:
            self.offset_s, self._least_s = self._least_s, float("inf")
            self._blocks = 0
            self.windows += 1


class EchoReference:
    """Buffer of played blocks, read at the microphone's clock: for two cards.

    The echo canceller needs as many played samples as captured ones, and a constant
    delay between them: while it changes, the filter does not converge and the echo is
    sent. So the delay is controlled slowly, by resampling, and not set anew before each
    word as a jitter buffer does. Callbacks come late, never early: the earliest one of
    a second shows the time of the samples to a tenth of a millisecond, where a mean
    would show the load of the machine.

    Thread: `put` the speaker's, everything else the microphone's.
    """

    def __init__(
        self, latency_s: float, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`latency_s` is that of each stream.

        The delay is one block more: a callback that is later than that is an underrun
        anyway, and no echo comes so early, because both latencies delay it.
        """
        self._now_s = now_s
        self._delay = BLOCK_FRAMES + round(latency_s * RATE_HZ)
        self._ring = RingBuffer()
        self._speaker = _SampleClock()
        self._microphone = _SampleClock()
        self._loud_until_frame = -IDLE_FRAMES
        self._at = self._written = 0
        self._fraction = 0.0
        self._rate = self._drift = 0.0
        self._is_aligned = False
        self._windows = 0

    def put(self, played: Block | None) -> None:
        """Add a played block; None is silence."""
        block = SILENCE if played is None else played
        if block is not SILENCE and is_loud(block):
            self._loud_until_frame = self._ring.written + BLOCK_FRAMES
        self._ring.write(block)
        self._speaker.note(1, self._now_s())

    def put_silence(self, blocks: int) -> None:
        """Add silence for blocks that were skipped in idle mode."""
        for _ in range(blocks):
            self._ring.write(SILENCE)
        self._speaker.note(blocks, self._now_s())

    def take(self) -> Block | None:
        """Return the block played while one was captured; None is silence."""
        self._microphone.note(1, self._now_s())
        self._control()
        at, fraction, rate = self._at, self._fraction, self._rate
        self._advance(1)
        written = self._ring.written
        is_silent = self._loud_until_frame <= at - BLOCK_FRAMES
        if is_silent or not WINDOW_FRAMES <= written - at <= SIZE_FRAMES:
            return None
        return to_block(self._ring.block(at, fraction, rate))

    def skip(self, blocks: int) -> None:
        """Pass over blocks that were captured in idle mode."""
        self._microphone.note(blocks, self._now_s())
        self._advance(blocks)

    @property
    def is_idle(self) -> bool:
        """Whether there has been nothing to take for a while."""
        return self._loud_until_frame + IDLE_FRAMES <= self._at

    def _advance(self, blocks: int) -> None:
        moved = self._fraction + blocks * BLOCK_FRAMES * (1.0 + self._rate)
        whole = int(moved)
        self._at += whole
        self._fraction = moved - whole

    def _control(self) -> None:
        """Correct the delay once a second; before that, take the newest samples."""
        if not (self._speaker.windows and self._microphone.windows):
            # A speaker that has stopped writes nothing: its end is not taken again.
            if self._written != self._ring.written:
                self._written = self._ring.written
                self._at = max(0, self._written - self._delay)
                self._fraction = 0.0
            return
        if self._microphone.windows == self._windows:
            return
        self._windows = self._microphone.windows
        # Samples played until the captured block ended, by both clocks.
        lead_s = self._microphone.offset_s - self._speaker.offset_s
        played = self._microphone.frames + lead_s * RATE_HZ
        error = played - self._at - self._fraction - BLOCK_FRAMES - self._delay
        if not self._is_aligned or abs(error) > JUMP_FRAMES:
            self._is_aligned = True
            self._at += round(error)
            return
        self._drift += INTEGRAL * error / RATE_HZ
        wanted = self._drift + PROPORTIONAL * error / RATE_HZ
        self._rate = min(max(wanted, -MAX_RATE), MAX_RATE)
