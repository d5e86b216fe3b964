"""Buffer of played samples, as echo reference where the microphone is another card.

Two cards call back at different moments and with different periods; the echo canceller
needs as many played samples as captured ones.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.audio.dsp import BLOCK_FRAMES

SIZE_FRAMES: Final = 16 * BLOCK_FRAMES
MOST_FRAMES: Final = 4 * BLOCK_FRAMES
"""40 ms: with more, the two cards have drifted apart: reading skips to the newest."""


class EchoReference:
    """Bounded buffer of played samples.

    Thread: `put` the speaker's, `take` the microphone's.
    """

    def __init__(self) -> None:
        """Start with silence."""
        self._ring = np.zeros(SIZE_FRAMES, np.int16)
        self._written = 0
        self._at = 0

    def put(self, played: NDArray[np.int16] | None, frames: int) -> None:
        """Add played samples.

        Args:
            played: int16, shape (frames,), 48 kHz; None for silence.
            frames: 1-480.
        """
        where = np.arange(self._written, self._written + frames) % SIZE_FRAMES
        self._ring[where] = 0 if played is None else played
        self._written += frames

    def skip(self, frames: int) -> None:
        """Skip the samples that belong to frames captured but not processed."""
        self._at += frames

    def take(self, frames: int) -> NDArray[np.int16]:
        """Return the next samples, as many as were captured.

        Returns:
            int16, shape (frames,); silence where nothing was played.
        """
        ahead = self._written - self._at
        if not frames <= ahead <= MOST_FRAMES:
            self._at = max(0, self._written - frames)
        where = np.arange(self._at, self._at + frames) % SIZE_FRAMES
        self._at += frames
        return self._ring[where]
