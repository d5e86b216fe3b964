"""Short delays at the far ends, by leaving out 10 ms of silence now and then."""

from typing import Final

from appliance.block import SILENCE, Block
from appliance.sound.dsp import BLOCK_FRAMES, level_dbfs
from appliance.sound.gate import SILENT_DBFS

FIRST_BLOCKS: Final = 200
"""2 s after joining: by then NetEQ has forgotten what was uneven while the box started.
It compares with the last 2 s, so 10 ms on top of that would look like 20 ms of jitter,
and be answered with 20 ms more delay instead of 10 less."""
LATER_BLOCKS: Final = 6000
"""Once a minute at most: in a box that is spoken into all day, the track's clock falls
behind by 0.17 ‰, which is what bad crystals do."""


class Trim:
    """Decides which blocks are left out.

    A jitter buffer that came to hold up to 20 ms more than it needs keeps them: it
    reads faster only beyond that. Which it is, 15 or 35 ms, is decided by chance when
    the first packets come. Sound that comes 10 ms later than before, in a pause, uses
    up 10 of them. Not 20: a buffer that had little then runs dry, and asks for more
    (measured, six starts of each in turn, five times, both ways: with a second step 30
    of 60 ways were 10 ms slower or more at the end of the first talk than at its
    beginning, with one step 11).

    Source: WebRTC, `decision_logic.cc`: speeding up begins 20 ms above three quarters
    of the wanted level, and the wanted level is 20 ms where nothing jitters.

    Thread: one at a time.
    """

    def __init__(self) -> None:
        """Start as if a track had just been published."""
        self._left_blocks = 0
        self._has_spoken = True
        self.restart()

    def restart(self) -> None:
        """Another track: nobody has heard of it yet."""
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
        self._rest()
        return True

    def lose(self, frames: int) -> None:
        """Take note that the card has lost about so much.

        To far ends it is the same as leaving it out. Less than a block is no loss, but
        a callback that was late.
        """
        if frames >= BLOCK_FRAMES:
            self._rest()

    def _rest(self) -> None:
        self._left_blocks = LATER_BLOCKS
        self._has_spoken = False
