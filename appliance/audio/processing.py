"""What is done to the microphone's sound, and when: each part only while it is of use.

The echo canceller delays what passes it by 9 ms and takes half of the processing's CPU.
It has something to do only while the speaker is heard, which in push-to-talk is hardly
ever while one talks oneself. So it listens whenever the speaker plays, and the sound
goes through it from the speaker's first moment until there is a pause afterwards.
Noise suppression and the rest have something to do only while somebody speaks here; in
silence they follow the room's noise, which costs little because few blocks come then.
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
"""What the canceller gives first is of when it was used last, or it has just begun. An
echo comes later: it takes 20 ms through the card alone."""
_RISING: Final[Samples] = np.linspace(0.0, 1.0, BLOCK_FRAMES, dtype=np.float32)


class CaptureProcessing:
    """Cleans the microphone's blocks in place, one after the other.

    Thread: the uplink's.
    """

    def __init__(
        self, canceller: EchoCanceller | None, cleaner: NoiseSuppressor | None
    ) -> None:
        """Start in a room that nobody knows.

        Args:
            canceller: takes the speaker's sound out; None leaves it in.
            cleaner: does the rest; None leaves the sound as it is.
        """
        self._canceller = canceller
        self._cleaner = cleaner
        self._activity = Activity()
        self._delay_ms = 0
        self._cancelled_blocks = self._quiet_blocks = 0
        self._is_through = False
        self._is_at_work = False

    def restart(self, delay_ms: int) -> None:
        """A card was opened: take how long it is from its speaker to its microphone."""
        self._delay_ms = delay_ms
        self._activity.restart()

    @property
    def has_echo(self) -> bool:
        """Whether the speaker plays, or its echo may still be heard."""
        return self._activity.has_echo

    @property
    def is_at_work(self) -> bool:
        """Whether the newest block was of use for anything."""
        return self._is_at_work

    def clean(
        self, microphone: Block, played: Block, *, is_wanted: bool, is_voice: bool
    ) -> None:
        """Clean one block in place.

        Args:
            microphone: what was heard.
            played: what the speaker was given meanwhile.
            is_wanted: whether anybody hears the result.
            is_voice: whether somebody spoke here, when last looked at.
        """
        self._activity.take(played)
        is_of_use = is_wanted or is_voice or self._activity.is_learning_noise
        if self._canceller is not None:
            self._cancel(self._canceller, microphone, played, is_wanted=is_wanted)
        if self._cleaner is not None:
            self._clean(self._cleaner, microphone, is_of_use=is_of_use)
        self._is_at_work = is_of_use or self.has_echo or self._is_through

    def _clean(
        self, cleaner: NoiseSuppressor, microphone: Block, *, is_of_use: bool
    ) -> None:
        """Clean the block, or only let the cleaner follow the room's noise.

        Without that, noise that began while the gate was shut is sent up to 11 dB
        louder for the first two seconds of the next talk. One packet in ten comes in
        silence, so new noise is known after half a minute.
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
        was_through = self._is_through
        is_learning = self.has_echo or self._activity.is_learning_noise
        if not is_learning and not was_through:
            self._cancelled_blocks = 0
            return
        past = microphone.copy()
        canceller.cancel(microphone, played, self._delay_ms)
        self._cancelled_blocks += 1
        self._is_through = self._goes_through(past, is_wanted=is_wanted)
        if not was_through and not self._is_through:
            microphone[:] = past
        elif was_through != self._is_through:
            share = _RISING if self._is_through else _RISING[::-1]
            microphone[:] = to_block(past * (1 - share) + microphone * share)

    def _goes_through(self, heard: Block, *, is_wanted: bool) -> bool:
        if self.has_echo:
            self._quiet_blocks = 0
            return self._cancelled_blocks > STALE_BLOCKS
        is_quiet = level_dbfs(heard) < VOICE_DBFS
        self._quiet_blocks = self._quiet_blocks + 1 if is_quiet else 0
        is_pause = not is_wanted or self._quiet_blocks >= SILENT_BLOCKS
        return self._is_through and not is_pause
