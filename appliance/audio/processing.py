"""Echo cancellation and noise suppression of captured blocks, each only when needed.

The echo canceller delays its output by 9 ms and takes half of the processing's CPU
time. It is needed only while there is an echo, which in push-to-talk is rare while
talking. So it adapts whenever the speaker plays, and its output is used from the
beginning of playback until the first pause afterwards. Noise suppression and gain
control are needed only while somebody speaks here; in silence they track the room's
noise, which costs little because few blocks are processed then.
"""

from typing import Final

import numpy as np

from appliance.audio.activity import Activity
from appliance.audio.dsp import BLOCK_FRAMES, Samples, level_dbfs, to_block
from appliance.audio.gate import SILENT_BLOCKS
from appliance.audio.meter import VOICE_DBFS
from appliance.pcm import Block
from appliance.ports import EchoCanceller, NoiseSuppressor

STALE_BLOCKS: Final = 2
"""First blocks of the canceller's output, which are discarded: they contain sound from
its last use. No echo arrives that early: the card alone delays it by 20 ms."""
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
        self._activity = Activity()
        self._delay_ms = 0
        self._cancelled_blocks = self._quiet_blocks = 0
        self._is_output_used = False
        self._is_at_work = False

    def restart(self, delay_ms: int) -> None:
        """Adapt again to a card with this delay from speaker to microphone."""
        self._delay_ms = delay_ms
        self._activity.restart()

    @property
    def has_echo(self) -> bool:
        """Whether the speaker plays or its echo may still be audible."""
        return self._activity.has_echo

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
        self._activity.take(played)
        is_of_use = is_wanted or is_voice or self._activity.is_learning_noise
        if self._canceller is not None:
            self._cancel(self._canceller, microphone, played, is_wanted=is_wanted)
        if self._cleaner is not None:
            self._clean(self._cleaner, microphone, is_of_use=is_of_use)
        self._is_at_work = is_of_use or self.has_echo or self._is_output_used

    def _clean(
        self, cleaner: NoiseSuppressor, microphone: Block, *, is_of_use: bool
    ) -> None:
        """Clean the block, or only let the noise suppressor adapt to a copy.

        Without adaptation, noise that began while the gate was closed is sent up to
        11 dB louder for the first two seconds of the next talk. One packet in ten is
        processed in silence, so the estimate of new noise takes half a minute.
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
        is_learning = self.has_echo or self._activity.is_learning_noise
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
        is_pause = not is_wanted or self._quiet_blocks >= SILENT_BLOCKS
        return self._is_output_used and not is_pause
