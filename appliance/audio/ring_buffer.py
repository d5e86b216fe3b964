"""The newest stretch of an endless row of samples."""

from typing import Final

import numpy as np

from appliance.audio.dsp import BLOCK_FRAMES, Samples
from appliance.pcm import SILENCE, Block

SIZE_BLOCKS: Final = 16
"""Room for 160 ms; more would be delay, and a burst longer than this is an outage."""
SIZE_FRAMES: Final = SIZE_BLOCKS * BLOCK_FRAMES


class RingBuffer:
    """Samples by their place in the row, as far as they are not overwritten yet.

    Thread: `write` from one, `stretch` from another; neither waits for the other.
    """

    def __init__(self) -> None:
        """Start with silence."""
        # Everything is written twice, so that any stretch can be read in one piece.
        self._samples = np.zeros(2 * SIZE_FRAMES, np.float32)
        # It holds nothing else from `SIZE_BLOCKS` on: no need to write it again.
        self._silent_blocks = SIZE_BLOCKS
        self.written = 0
        """Place of the next sample to be written."""

    def write(self, block: Block) -> None:
        """Add one block; it is copied."""
        if block is not SILENCE or self._silent_blocks < SIZE_BLOCKS:
            start = self.written % SIZE_FRAMES
            self._samples[start : start + BLOCK_FRAMES] = block
            second = start + SIZE_FRAMES
            self._samples[second : second + BLOCK_FRAMES] = block
        self._silent_blocks = self._silent_blocks + 1 if block is SILENCE else 0
        # Last, so that the reader never sees a block that is half there.
        self.written += BLOCK_FRAMES

    def stretch(self, first: int, frames: int) -> Samples:
        """Return the samples from this place on, not to be changed.

        They are the ring's own: to be used up before they are overwritten.
        """
        start = first % SIZE_FRAMES
        return self._samples[start : start + frames]
