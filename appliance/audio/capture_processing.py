"""Processing of captured blocks: echo, noise and gain, each only when needed.

The echo canceller delays its output by 9 ms and takes half of the processing's CPU
time. It is needed only while there is an echo, which in push-to-talk is rare while
talking. So it adapts, and its output is used, only while the speaker plays, and until
the next pause of a talk. Noise suppression and gain control are needed only while
somebody speaks here; in silence they track the room's noise. The processing itself is
LiveKit's, set up in `room.apm`.
"""

from typing import Final

import numpy as np

from appliance.audio.dsp import Samples, level_dbfs, to_block
from appliance.audio.meter import VOICE_DBFS
from appliance.pcm import BLOCK_FRAMES, SILENCE, Block
from appliance.ports import EchoCanceller, NoiseSuppressor

WARM_UP_BLOCKS: Final = 300
"""3 s, so that the noise estimate has converged before the first word."""
HANGOVER_BLOCKS: Final = 60
"""600 ms after playback ends, which covers the decay of a room's echo."""
STALE_BLOCKS: Final = 2
"""First blocks of the canceller's output, which are discarded: they contain sound from
its last use. No echo arrives that early: the card alone delays it by 20 ms."""
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
        if self._canceller is not None:
            self._cancel(self._canceller, microphone, played, is_wanted=is_wanted)
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

    def _cancel(
        self,
        canceller: EchoCanceller,
        microphone: Block,
        played: Block,
        *,
        is_wanted: bool,
    ) -> None:
        """Adapt the canceller, and fade over to its output or back to the input."""
        was_used = self._is_output_used
        if not (self.has_echo or self._warm_up_blocks or was_used):
            self._cancelled_blocks = 0
            return
        heard = microphone.copy()
        canceller.cancel(microphone, played, self._delay_ms)
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
