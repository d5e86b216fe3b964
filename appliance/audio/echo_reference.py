"""Played blocks as the echo canceller needs them, for streams of two cards.

With one card, played and captured blocks come in pairs. With two, `EchoReference`
brings what is played to the clock of the microphone.
"""

import time
from collections.abc import Callable
from typing import Final

from appliance.audio.dsp import SILENT_PEAK, WINDOW_FRAMES, peak, to_block
from appliance.audio.jitter_buffer import SIZE_FRAMES, RingBuffer
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE, Block

JUMP_FRAMES: Final = 240
"""A larger error is no drift: blocks were lost. The delay is then set at once."""
CORRECTED_PER_S: Final = 0.2
"""Part of the error that is corrected in a second. A drift of 300 ppm leaves a constant
error of 1.5 ms, which does not matter."""
IDLE_FRAMES: Final = RATE_HZ // 5


class _SampleClock:
    """Time of a stream's samples, from the earliest callback of each second."""

    def __init__(self) -> None:
        self.frames = 0
        self.offset_s = 0.0
        """Time of sample 0 by the last complete second."""
        self._least_s = float("inf")

    def note(self, now_s: float) -> None:
        """Record a callback, with which one more block is complete."""
        self.frames += BLOCK_FRAMES
        self._least_s = min(self._least_s, now_s - self.frames / RATE_HZ)
        if self.frames % RATE_HZ == 0:
            self.offset_s, self._least_s = self._least_s, float("inf")


class EchoReference:
    """Buffer of played blocks, read at the microphone's clock: for two cards.

    The echo canceller needs a constant delay: while it changes, the filter does not
    converge. So it is controlled slowly, by resampling, and not set anew before each
    word as a jitter buffer does. Callbacks come late, never early: the earliest one of
    a second shows the time of the samples to a tenth of a millisecond.

    Thread: `put` the speaker's, everything else the microphone's.
    """

    def __init__(
        self, latency_s: float, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`latency_s` is that of each stream; the echo is later than one of them."""
        self._now_s = now_s
        self._delay = BLOCK_FRAMES + round(latency_s * RATE_HZ)
        self._ring = RingBuffer()
        self._speaker = _SampleClock()
        self._microphone = _SampleClock()
        # More than the ring holds before the first sample: silence until it is set.
        self._at = float(-RATE_HZ)
        self._loud_until_frame = -RATE_HZ - IDLE_FRAMES
        self._rate = 0.0

    def put(self, played: Block | None) -> None:
        """Add a played block; None is silence."""
        block = SILENCE if played is None else played
        if block is not SILENCE and peak(block) > SILENT_PEAK:
            self._loud_until_frame = self._ring.written + BLOCK_FRAMES
        self._ring.write(block)
        self._speaker.note(self._now_s())

    def take(self) -> Block | None:
        """Return the block played while one was captured.

        None is silence, also in the first second, in which both clocks are measured.
        """
        self._microphone.note(self._now_s())
        self._control()
        at, rate = self._at, self._rate
        self._at += BLOCK_FRAMES * (1.0 + rate)
        is_silent = self._loud_until_frame <= at - BLOCK_FRAMES
        if is_silent or not WINDOW_FRAMES <= self._ring.written - at <= SIZE_FRAMES:
            return None
        return to_block(self._ring.block(int(at), at % 1.0, rate))

    @property
    def is_idle(self) -> bool:
        """Whether there has been nothing to take for a while."""
        return self._loud_until_frame + IDLE_FRAMES <= self._at

    def _control(self) -> None:
        """Correct the delay once a second."""
        speaker, microphone = self._speaker, self._microphone
        if speaker.frames < RATE_HZ or microphone.frames % RATE_HZ:
            return
        # Samples played until the captured block ended, by both clocks.
        lead_s = microphone.offset_s - speaker.offset_s
        played = microphone.frames + lead_s * RATE_HZ
        error = played - self._at - BLOCK_FRAMES - self._delay
        if abs(error) > JUMP_FRAMES:
            self._at += round(error)
        else:
            self._rate = CORRECTED_PER_S * error / RATE_HZ
