"""Short delays at the far ends, by leaving out 10 ms of silence now and then."""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final

from appliance.block import SILENCE, Block
from appliance.sound.dsp import level_dbfs
from appliance.sound.gate import SILENT_DBFS

FIRST_BLOCKS: Final = 50
"""0.5 s after joining: the first packets have arrived everywhere."""
AGAIN_BLOCKS: Final = 220
"""NetEQ compares with the last 2 s: two steps within them would look like 20 ms of
jitter, and be answered with more delay instead of less. Measured: 15 ms more."""
LATER_BLOCKS: Final = 6000
"""Once a minute at most: in a box that is spoken into all day, the track's clock falls
behind by 0.17 ‰, which is what bad crystals do."""


class Trim:
    """Decides which blocks are left out.

    A jitter buffer that came to hold up to 20 ms more than it needs keeps them: it
    reads faster only beyond that. Which it is, 15 or 35 ms, is decided by chance when
    the first packets come. Sound that comes 10 ms later than before, in a pause, uses
    up 10 of them. Medians of five starts, both ways: 51-63 ms from mouth to ear instead
    of 53-70, 57 in the middle instead of 63.

    Source: WebRTC, `decision_logic.cc`: speeding up begins 20 ms above three quarters
    of the wanted level, and the wanted level is 20 ms where nothing jitters.

    Thread: one at a time.
    """

    def __init__(self) -> None:
        """Start as if a track had just been published."""
        self._waits: Iterator[int] = iter(())
        self._left_blocks = 0
        self._has_spoken = True
        self.restart()

    def restart(self) -> None:
        """Another track: nobody has heard of it yet."""
        self._waits = chain((AGAIN_BLOCKS,), repeat(LATER_BLOCKS))
        self._left_blocks = FIRST_BLOCKS
        self._has_spoken = True

    def leaves_out(self, block: Block) -> bool:
        """Return whether this block, the next in the row, is not to be sent."""
        self._left_blocks -= 1
        if block is not SILENCE:
            self._has_spoken = True
        if self._left_blocks > 0 or not self._has_spoken:
            return False
        if block is not SILENCE and level_dbfs(block) >= SILENT_DBFS:
            return False
        self._left_blocks = next(self._waits)
        # The second comes in any case, the later ones after somebody has spoken.
        self._has_spoken = self._left_blocks == AGAIN_BLOCKS
        return True
