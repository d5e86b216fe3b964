"""Echo cancellation and noise suppression of captured blocks, each only when needed.

The echo canceller delays its output by 9 ms and takes half of the processing's CPU
time. It is needed only while there is an echo, which in push-to-talk is rare while
talking. So it adapts whenever the speaker plays, and its output is used from the
beginning of playback until the first pause afterwards. Noise suppression and gain
control are needed only while somebody speaks here; in silence they track the room's
noise, which costs little because few blocks are processed then. The processing itself
is LiveKit's, set up in `room.apm`.

With two cards `EchoReference` brings what is played to the clock of the microphone.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from appliance.audio.dsp import (
    BLOCK_FRAMES,
    RATE_HZ,
    Samples,
    interpolated,
    is_loud,
    level_dbfs,
    to_block,
)
from appliance.audio.meter import VOICE_DBFS
from appliance.audio.ring_buffer import SIZE_FRAMES, RingBuffer
from appliance.pcm import SILENCE, Block
from appliance.ports import EchoCanceller, NoiseSuppressor

WARM_UP_BLOCKS: Final = 300
"""3 s, so that the noise estimate has converged before the first word."""
HANGOVER_BLOCKS: Final = 60
"""600 ms after playback ends, which covers the decay of a room's echo."""
STALE_BLOCKS: Final = 2
"""First blocks of the canceller's output, which are discarded: they contain sound from
its last use. No echo arrives that early: the card alone delays it by 20 ms."""
PAUSE_BLOCKS: Final = 6
"""60 ms below the level of a voice, in which the switch back is inaudible."""
TONE_FRAMES: Final = BLOCK_FRAMES // 2
"""Length in which the tone's amplitude counts as constant."""
DELAY_FRAMES: Final = BLOCK_FRAMES + 240
"""One block and 5 ms for late callbacks. No echo arrives that early: the card alone
delays it by 20 ms."""
MOST_DELAY_FRAMES: Final = 3 * BLOCK_FRAMES
CALM_WINDOWS: Final = 60
"""A minute, in which the delay was longer than needed, before it is shortened."""
SHORTEN_FRAMES: Final = 24
"""Shortening per second, by resampling: the canceller's filter follows."""
WINDOW_BLOCKS: Final = 100
"""1 s: of so many callbacks one is in time."""
JUMP_FRAMES: Final = 240
"""A larger error is no drift: blocks were lost. The delay is then set at once."""
PROPORTIONAL: Final = 0.2
INTEGRAL: Final = 0.01
"""Part of the error that is corrected in a second, and that is added to the drift each
second: 300 ppm are found within 20 s, with an error of 1 ms meanwhile."""
RATE_MOST: Final = 0.001
STILL_FRAMES: Final = RATE_HZ // 5
_SPARE: Final = 6
"""Extra samples fetched for the spline."""
_RISING: Final[Samples] = np.linspace(0.0, 1.0, BLOCK_FRAMES, dtype=np.float32)


class CaptureProcessing:
    """Processing of captured blocks, in place.

    Thread: the sender's.
    """

    def __init__(
        self, canceller: EchoCanceller | None, cleaner: NoiseSuppressor | None
    ) -> None:
        """Start unadapted.

        Args:
            canceller: removes the echo of the speaker; None leaves it in.
            cleaner: suppresses noise and controls the gain; None: no such processing.
        """
        self._canceller = canceller
        self._cleaner = cleaner
        self._is_off = canceller is None and cleaner is None
        self._delay_ms = 0
        self._warm_up_blocks = WARM_UP_BLOCKS
        self._echo_blocks = 0
        self._cancelled_blocks = self._quiet_blocks = 0
        self._is_output_used = False
        self._is_at_work = False

    def restart(self, delay_ms: int) -> None:
        """Adapt again to a card with this delay from speaker to microphone."""
        self._delay_ms = delay_ms
        self._warm_up_blocks = WARM_UP_BLOCKS

    @property
    def has_echo(self) -> bool:
        """Whether the speaker plays or its echo may still be audible."""
        return self._echo_blocks > 0

    @property
    def is_at_work(self) -> bool:
        """Whether the newest block was needed for output or adaptation."""
        return self._is_at_work

    def clean(
        self, microphone: Block, played: Block, *, is_wanted: bool, is_voice: bool
    ) -> None:
        """Process one block in place.

        Args:
            microphone: captured block.
            played: block played meanwhile.
            is_wanted: whether the result is sent.
            is_voice: whether the meter last detected a voice.
        """
        if played is not SILENCE and played.any():
            self._echo_blocks = HANGOVER_BLOCKS
        elif self._echo_blocks:
            self._echo_blocks -= 1
        self._warm_up_blocks = max(0, self._warm_up_blocks - 1)
        is_of_use = is_wanted or is_voice or self._warm_up_blocks > 0
        if self._canceller is not None:
            self._cancel(self._canceller, microphone, played, is_wanted=is_wanted)
        if self._cleaner is not None:
            self._clean(self._cleaner, microphone, is_of_use=is_of_use)
        is_of_use = is_of_use and not self._is_off
        self._is_at_work = is_of_use or self.has_echo or self._is_output_used

    def adapt(self, microphone: Block) -> None:
        """Let the noise suppressor adapt to this block in place of a skipped one."""
        if self._cleaner is not None and not self.has_echo:
            self._cleaner.clean(microphone.copy())

    def _clean(
        self, cleaner: NoiseSuppressor, microphone: Block, *, is_of_use: bool
    ) -> None:
        """Clean the block, or only let the noise suppressor adapt to a copy.

        Without adaptation, noise that began while the gate was closed is sent up to
        11 dB louder for the first two seconds of the next talk. In idle mode one block
        in eight is processed, and `adapt` passes it twice. Measured in the first second
        after a press, against a gate that was always open: noise that began 10 s before
        the press is sent 10 dB louder, 30 s before it 2 dB, 60 s before it 1 dB. If a
        block is passed more often, it is worse: the gain control takes the repetition
        for a voice.
        """
        if is_of_use:
            cleaner.clean(microphone)
        elif not self.has_echo:
            cleaner.clean(microphone.copy())

    def _cancel(
        self,
        canceller: EchoCanceller,
        microphone: Block,
        played: Block,
        *,
        is_wanted: bool,
    ) -> None:
        was_output_used = self._is_output_used
        is_learning = self.has_echo or self._warm_up_blocks > 0
        if not is_learning and not was_output_used:
            self._cancelled_blocks = 0
            return
        past = microphone.copy()
        canceller.cancel(microphone, played, self._delay_ms)
        self._cancelled_blocks += 1
        self._is_output_used = self._uses_output(past, is_wanted=is_wanted)
        if not was_output_used and not self._is_output_used:
            microphone[:] = past
        elif was_output_used != self._is_output_used:
            share = _RISING if self._is_output_used else _RISING[::-1]
            microphone[:] = to_block(past * (1 - share) + microphone * share)

    def _uses_output(self, heard: Block, *, is_wanted: bool) -> bool:
        if self.has_echo:
            self._quiet_blocks = 0
            return self._cancelled_blocks > STALE_BLOCKS
        is_quiet = level_dbfs(heard) < VOICE_DBFS
        self._quiet_blocks = self._quiet_blocks + 1 if is_quiet else 0
        is_pause = not is_wanted or self._quiet_blocks >= PAUSE_BLOCKS
        return self._is_output_used and not is_pause


class ToneRemover:
    """Removes an earcon of one known pitch from the captured sound.

    The echo canceller does not know the earcons: it would take the first syllable after
    the permit tone for its echo. The part of each 5 ms that a tone of this pitch can
    explain is subtracted, whatever its delay and loudness; of speech 100 Hz to each
    side are missing meanwhile.
    """

    def __init__(self, hz: float, until_s: float) -> None:
        """Prepare for a tone of this frequency, to be removed until a time."""
        self.until_s = until_s
        angle = 2 * np.pi * hz / RATE_HZ * np.arange(TONE_FRAMES)
        waves, _ = np.linalg.qr(np.stack((np.sin(angle), np.cos(angle)), axis=1))
        self._waves: Samples = waves.astype(np.float32)

    def apply(self, block: Block) -> None:
        """Remove the tone from the block, in place."""
        samples = block.astype(np.float32).reshape(-1, TONE_FRAMES)
        samples -= samples @ self._waves @ self._waves.T
        block[:] = to_block(samples.reshape(-1))


class _SampleClock:
    """Time of a stream's samples, from the earliest callback of each second."""

    def __init__(self) -> None:
        """Start without an estimate."""
        self.frames = 0
        """Samples so far."""
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

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start with silence; `now_s` is the monotonic clock."""
        self._now_s = now_s
        self._ring = RingBuffer()
        self._speaker = _SampleClock()
        self._microphone = _SampleClock()
        self._loud_until_frame = -STILL_FRAMES
        self._at = 0
        self._fraction = 0.0
        self._rate = self._drift = 0.0
        self._target = self._enough = DELAY_FRAMES
        # Longest delay that was needed in this second, and in each of the last minute
        # with sound.
        self._needed = 0
        self._needs: deque[int] = deque(maxlen=CALM_WINDOWS)
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
        if self._loud_until_frame <= at - BLOCK_FRAMES or written - at > SIZE_FRAMES:
            return None
        if not self._is_there(at + BLOCK_FRAMES + _SPARE - written):
            return None
        window = self._ring.view(at - 1, BLOCK_FRAMES + _SPARE)
        return to_block(interpolated(window, fraction, rate, BLOCK_FRAMES))

    def skip(self, blocks: int) -> None:
        """Pass over blocks that were captured in idle mode."""
        if blocks:
            self._microphone.note(blocks, self._now_s())
            self._advance(blocks)

    @property
    def is_still(self) -> bool:
        """Whether there has been nothing to take for a while."""
        return self._loud_until_frame + STILL_FRAMES <= self._at

    def _is_there(self, missing: int) -> bool:
        """Return whether no samples are missing; else lengthen the delay if that helps.

        A card that stands still for longer than a callback is ever late has lost
        samples, or brings them all at once: a longer delay would not have helped.
        """
        if missing <= 0:
            self._enough = self._target
        needed = self._enough + missing
        if needed <= MOST_DELAY_FRAMES:
            self._needed = max(self._needed, needed)
            self._target = max(self._enough, needed)
        else:
            self._target = self._enough
        return missing <= 0

    def _shorten(self) -> int:
        """Shorten the delay if less was enough for a minute; return by how much."""
        if not self._needed:
            return 0
        self._needs.append(self._needed)
        self._needed = 0
        if len(self._needs) < CALM_WINDOWS:
            return 0
        spare = self._target - max(*self._needs, DELAY_FRAMES)
        shortened = min(max(spare, 0), SHORTEN_FRAMES)
        self._target -= shortened
        return shortened

    def _advance(self, blocks: int) -> None:
        moved = self._fraction + blocks * BLOCK_FRAMES * (1.0 + self._rate)
        whole = int(moved)
        self._at += whole
        self._fraction = moved - whole

    def _control(self) -> None:
        """Correct the delay once a second; before that, take the newest samples."""
        if not (self._speaker.windows and self._microphone.windows):
            self._at = max(0, self._ring.written - DELAY_FRAMES)
            self._fraction = 0.0
            return
        if self._microphone.windows == self._windows:
            return
        self._windows = self._microphone.windows
        # Samples played until the captured block ended, by both clocks.
        lead_s = self._microphone.offset_s - self._speaker.offset_s
        played = self._microphone.frames + lead_s * RATE_HZ
        error = played - self._at - self._fraction - BLOCK_FRAMES - self._target
        if not self._is_aligned or abs(error) > JUMP_FRAMES:
            self._is_aligned = True
            self._at += round(error)
            return
        self._drift += INTEGRAL * error / RATE_HZ
        wanted = self._drift + (PROPORTIONAL * error + self._shorten()) / RATE_HZ
        self._rate = min(max(wanted, -RATE_MOST), RATE_MOST)
