"""Detection of blocks from which echo canceller and noise suppressor can adapt."""

from typing import Final

from appliance.pcm import SILENCE, Block

WARM_UP_BLOCKS: Final = 300
"""3 s, so that the noise estimate has converged before the first word."""
HANGOVER_BLOCKS: Final = 60
"""600 ms after playback ends, which covers the decay of a room's echo."""


class Activity:
    """State of the echo and of the noise estimate, updated with each played block.

    Thread: the sender's.
    """

    def __init__(self) -> None:
        """Start with the warm-up."""
        self._warm_up_blocks = 0
        self._echo_blocks = 0
        self.restart()

    def restart(self) -> None:
        """Begin the warm-up again: the card was opened."""
        self._warm_up_blocks = WARM_UP_BLOCKS

    @property
    def has_echo(self) -> bool:
        """Whether the speaker plays or its echo may still be audible."""
        return self._echo_blocks > 0

    @property
    def is_learning_noise(self) -> bool:
        """Whether the noise estimate is still warming up."""
        return self._warm_up_blocks > 0

    def take(self, played: Block) -> None:
        """Take the block played during the same 10 ms as the captured one."""
        if played is not SILENCE and played.any():
            self._echo_blocks = HANGOVER_BLOCKS
        elif self._echo_blocks:
            self._echo_blocks -= 1
        self._warm_up_blocks = max(0, self._warm_up_blocks - 1)
