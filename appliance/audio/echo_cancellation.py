"""Echo cancellation, noise suppression and gain of captured blocks, when needed.

The echo canceller delays its output by 9 ms and takes half of the processing's CPU
time. It is needed only while there is an echo, which in push-to-talk is rare while
talking. So it adapts, and its output is used, only while the speaker plays, and until
the next pause of a talk. Noise suppression and gain control are needed only while
somebody speaks here; in silence they track the room's noise. The processing itself is
LiveKit's, set up in `room.apm`.

The canceller needs what was played while a block was captured. With one card both come
in pairs; with two cards `EchoReference` brings the played blocks to the microphone's
clock.
"""

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from appliance.audio.dsp import (
    VOICE_DBFS,
    WINDOW_FRAMES,
    Samples,
    level_dbfs,
    to_block,
)
from appliance.audio.jitter_buffer import SIZE_FRAMES, RingBuffer
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE, Block
from appliance.ports import EchoCanceller, NoiseSuppressor

WARM_UP_BLOCKS: Final = 300
"""3 s, so that the noise estimate has converged before the first word."""
HANGOVER_BLOCKS: Final = 60
"""600 ms after playback ends, which covers the decay of a room's echo."""
STALE_BLOCKS: Final = 2
"""First blocks of the canceller's output, which are discarded: they contain sound from
its last use. No echo arrives that early: the card alone delays it by 20 ms."""
_RISING: Final[Samples] = np.linspace(0.0, 1.0, BLOCK_FRAMES, dtype=np.float32)
JUMP_FRAMES: Final = 240
"""A larger error is no drift: blocks were lost. The delay is then set at once."""
CORRECTED_PER_S: Final = 0.2
"""Part of the error that is corrected in a second. A drift of 300 ppm leaves a constant
error of 1.5 ms, which does not matter."""


class CaptureProcessing:
    """Processing of captured blocks, in place. Thread: the sender's."""

    def __init__(
        self, canceller: EchoCanceller | None, cleaner: NoiseSuppressor | None
    ) -> None:
        """Start unadapted; None leaves the echo in, or noise and gain as they are."""
        self._canceller = canceller
        self._cleaner = cleaner
        self._is_off = canceller is None and cleaner is None
        self.restart(delay_ms=0)
        self._echo_blocks = 0
        self._cancelled_blocks = 0
        self._is_output_used = False
        self.is_at_work = False
        """Whether the newest block was needed for output or adaptation."""

    def restart(self, delay_ms: int) -> None:
        """Adapt again to a card with this delay from speaker to microphone."""
        self._delay_ms = delay_ms
        self._warm_up_blocks = WARM_UP_BLOCKS

    @property
    def has_echo(self) -> bool:
        """Whether the speaker plays or its echo may still be audible."""
        return self._echo_blocks > 0

    def clean(
        self, microphone: Block, played: Block, *, is_wanted: bool, is_voice: bool
    ) -> None:
        """Process a captured block; `is_wanted`: it is sent; `is_voice`: so loud."""
        if played is not SILENCE and played.any():
            self._echo_blocks = HANGOVER_BLOCKS
        elif self._echo_blocks:
            self._echo_blocks -= 1
        self._warm_up_blocks = max(0, self._warm_up_blocks - 1)
        is_of_use = is_wanted or is_voice or self._warm_up_blocks > 0
        self._cancel(microphone, played, is_wanted=is_wanted)
        if not is_of_use:
            self.adapt(microphone)
        elif self._cleaner is not None:
            self._cleaner.clean(microphone)
        self.is_at_work = self.has_echo or (is_of_use and not self._is_off)

    def adapt(self, microphone: Block) -> None:
        """Let the noise suppressor adapt to a block that is not sent.

        Otherwise new noise is sent 11 dB louder for the first two seconds of a talk. In
        idle mode each block stands for eight and is passed twice; more often, and the
        gain control takes the repetition for a voice.
        """
        if self._cleaner is not None and not self.has_echo:
            self._cleaner.clean(microphone.copy())

    def _cancel(self, microphone: Block, played: Block, *, is_wanted: bool) -> None:
        """Adapt the canceller, and fade over to its output or back to the input."""
        was_used = self._is_output_used
        is_needed = self.has_echo or self._warm_up_blocks or was_used
        if self._canceller is None or not is_needed:
            self._cancelled_blocks = 0
            return
        heard = microphone.copy()
        self._canceller.cancel(microphone, played, self._delay_ms)
        self._cancelled_blocks += 1
        if self.has_echo:
            self._is_output_used = self._cancelled_blocks > STALE_BLOCKS
        elif was_used:
            # In the middle of a word, 9 ms would be lost on the way back.
            loudest_dbfs = max(level_dbfs(heard), level_dbfs(microphone))
            self._is_output_used = is_wanted and loudest_dbfs >= VOICE_DBFS
        if was_used != self._is_output_used:
            share = _RISING if self._is_output_used else _RISING[::-1]
            microphone[:] = to_block(heard * (1 - share) + microphone * share)
        elif not was_used:
            microphone[:] = heard


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
        self._rate = 0.0

    def put(self, played: Block | None) -> None:
        """Add a played block; None is silence."""
        self._ring.write(SILENCE if played is None else played)
        self._speaker.note(self._now_s())

    def take(self) -> Block | None:
        """Return the block played while one was captured.

        None is silence, also in the first second, in which both clocks are measured.
        """
        self._microphone.note(self._now_s())
        self._control()
        at, rate = self._at, self._rate
        self._at += BLOCK_FRAMES * (1.0 + rate)
        is_there = WINDOW_FRAMES <= self._ring.written - at <= SIZE_FRAMES
        if self._ring.is_silent or not is_there:
            return None
        return to_block(self._ring.block(int(at), at % 1.0, rate))

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
