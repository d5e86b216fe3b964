"""Whether there is something to learn for the audio processing, though nobody talks."""

from typing import Final

from appliance.pcm import SILENCE, Block

WARM_UP_BLOCKS: Final = 300
"""3 s: the noise suppression shall know the room before the first word."""
HANGOVER_BLOCKS: Final = 60
"""The canceller hears 600 ms on after the speaker fell silent: a room's echo."""


class Activity:
    """Looks at what the speaker plays, block by block.

    Thread: the uplink's.
    """

    def __init__(self) -> None:
        """Start in a room that nobody knows."""
        self._warm_up_blocks = 0
        self._echo_blocks = 0
        self.restart()

    def restart(self) -> None:
        """The card was opened: learn its room."""
        self._warm_up_blocks = WARM_UP_BLOCKS

    @property
    def has_echo(self) -> bool:
        """Whether the speaker plays, or its echo may still be heard."""
        return self._echo_blocks > 0

    @property
    def is_learning_noise(self) -> bool:
        """Whether the room's noise is not known yet."""
        return self._warm_up_blocks > 0

    def take(self, played: Block) -> None:
        """Take what is played."""
        if played is not SILENCE and played.any():
            self._echo_blocks = HANGOVER_BLOCKS
        elif self._echo_blocks:
            self._echo_blocks -= 1
        self._warm_up_blocks = max(0, self._warm_up_blocks - 1)
