"""What the speaker played, kept until the microphone of another card has caught up.

Two cards call back in periods and at moments of their own; the echo canceller wants to
know, for each stretch that was heard, as long a stretch of what was played.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.audio.dsp import BLOCK_FRAMES

SIZE_FRAMES: Final = 16 * BLOCK_FRAMES
MOST_FRAMES: Final = 4 * BLOCK_FRAMES
"""40 ms apart, and the two have drifted: start again with the newest."""


class EchoReference:
    """A bounded stock of played samples.

    Thread: `put` the speaker's, `take` the microphone's.
    """

    def __init__(self) -> None:
        """Start with silence."""
        self._ring = np.zeros(SIZE_FRAMES, np.int16)
        self._written = 0
        self._at = 0

    def put(self, played: NDArray[np.int16] | None, frames: int) -> None:
        """Add what was played.

        Args:
            played: int16, shape (frames,), 48 kHz; None for silence.
            frames: 1-480.
        """
        where = np.arange(self._written, self._written + frames) % SIZE_FRAMES
        self._ring[where] = 0 if played is None else played
        self._written += frames

    def skip(self, frames: int) -> None:
        """Take note that so much was heard, and nobody looked at it."""
        self._at += frames

    def take(self, frames: int) -> NDArray[np.int16]:
        """Return as much of it as was heard meanwhile.

        Returns:
            int16, shape (frames,); silence where nothing was played.
        """
        ahead = self._written - self._at
        if not frames <= ahead <= MOST_FRAMES:
            self._at = max(0, self._written - frames)
        where = np.arange(self._at, self._at + frames) % SIZE_FRAMES
        self._at += frames
        return self._ring[where]
