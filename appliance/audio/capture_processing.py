"""Processing of captured blocks: echo, noise, gain and earcons, each only when needed.

The echo canceller delays its output by 9 ms and takes half of the processing's CPU
time. It is needed only while there is an echo, which in push-to-talk is rare while
talking. So it adapts whenever the speaker plays, and its output is used from the
beginning of playback until the first pause afterwards. Noise suppression and gain
control are needed only while somebody speaks here; in silence they track the room's
noise, which costs little because few blocks are processed then. The processing itself
is LiveKit's, set up in `room.apm`.
"""

from typing import Final

import numpy as np

from appliance.audio.dsp import Samples, level_dbfs, to_block
from appliance.audio.meter import VOICE_DBFS
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE, Block
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
_RISING: Final[Samples] = np.linspace(0.0, 1.0, BLOCK_FRAMES, dtype=np.float32)


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
        self._cancelled_blocks = self._pause_blocks = 0
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
        """Process a captured block in place.

        `played` was played meanwhile; `is_wanted`: the result is sent; `is_voice`: the
        meter last detected a voice.
        """
        if played is not SILENCE and played.any():
            self._echo_blocks = HANGOVER_BLOCKS
        elif self._echo_blocks:
            self._echo_blocks -= 1
        self._warm_up_blocks = max(0, self._warm_up_blocks - 1)
        is_of_use = is_wanted or is_voice or self._warm_up_blocks > 0
        if self._canceller is not None:
            self._cancel(self._canceller, microphone, played, is_wanted=is_wanted)
        if not is_of_use:
            self.adapt(microphone)
        elif self._cleaner is not None:
            self._cleaner.clean(microphone)
        is_processed = is_of_use and not self._is_off
        self.is_at_work = is_processed or self.has_echo or self._is_output_used

    def adapt(self, microphone: Block) -> None:
        """Let the noise suppressor adapt to a block that is not sent.

        Without adaptation, noise that began while the gate was closed is sent up to
        11 dB louder for the first two seconds of the next talk. In idle mode one block
        in eight is processed, and the sender passes it here once more. If a block is
        passed more often, the gain control takes the repetition for a voice.
        """
        if self._cleaner is not None and not self.has_echo:
            self._cleaner.clean(microphone.copy())

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
            self._pause_blocks = 0
            return self._cancelled_blocks > STALE_BLOCKS
        is_quiet = level_dbfs(heard) < VOICE_DBFS
        self._pause_blocks = self._pause_blocks + 1 if is_quiet else 0
        is_pause = not is_wanted or self._pause_blocks >= PAUSE_BLOCKS
        return self._is_output_used and not is_pause


class ToneRemover:
    """Removes an earcon of one known pitch from the captured sound.

    The echo canceller does not know the earcons (`Mixer.reference`). The part of each
    5 ms that a tone of this pitch can explain is subtracted, whatever its delay and
    loudness; of speech 100 Hz to each side are missing meanwhile.
    """

    def __init__(self, hz: float, until_s: float) -> None:
        """Start with the tone's waveform; `until_s` is when it has faded."""
        self.until_s = until_s
        angle = 2 * np.pi * hz / RATE_HZ * np.arange(TONE_FRAMES)
        waves, _ = np.linalg.qr(np.stack((np.sin(angle), np.cos(angle)), axis=1))
        self._waves: Samples = waves.astype(np.float32)

    def apply(self, block: Block) -> None:
        """Remove the tone from the block, in place."""
        samples = block.astype(np.float32).reshape(-1, TONE_FRAMES)
        samples -= samples @ self._waves @ self._waves.T
        block[:] = to_block(samples.reshape(-1))
