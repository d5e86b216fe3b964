"""Ring buffer of samples, addressed by their position in the stream."""

from typing import Final

import numpy as np

from appliance.audio.dsp import BLOCK_FRAMES, Samples
from appliance.pcm import SILENCE, Block

SIZE_BLOCKS: Final = 16
"""160 ms; a longer burst is an outage, and storing it would only add delay."""
SIZE_FRAMES: Final = SIZE_BLOCKS * BLOCK_FRAMES


class RingBuffer:
    """Lock-free ring for one writer and one reader.

    Thread: `write` from one, `stretch` from another.
    """

    def __init__(self) -> None:
        """Start with silence."""
        # Everything is written twice, so that any range is contiguous.
        self._samples = np.zeros(2 * SIZE_FRAMES, np.float32)
        # From `SIZE_BLOCKS` on the ring is all zeros: silence is not written again.
        self._silent_blocks = SIZE_BLOCKS
        self.written = 0
        """Position of the next sample to be written."""

    def write(self, block: Block) -> None:
        """Add one block; it is copied."""
        if block is not SILENCE or self._silent_blocks < SIZE_BLOCKS:
            start = self.written % SIZE_FRAMES
            self._samples[start : start + BLOCK_FRAMES] = block
            second = start + SIZE_FRAMES
            self._samples[second : second + BLOCK_FRAMES] = block
        self._silent_blocks = self._silent_blocks + 1 if block is SILENCE else 0
        # Last, so that the reader never sees a partly written block.
        self.written += BLOCK_FRAMES

    def view(self, first: int, frames: int) -> Samples:
        """Return a read-only view of the samples from this position on.

        It is valid until the ring overwrites them.
        """
        start = first % SIZE_FRAMES
        return self._samples[start : start + frames]
