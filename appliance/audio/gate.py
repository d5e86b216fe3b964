"""Talk gate: passes the microphone's blocks or silence, with pre-roll and tail."""

from collections import deque
from typing import Final

import numpy as np

from appliance.audio.dsp import cut, faded_in, faded_out, level_dbfs, to_block
from appliance.pcm import BLOCK_FRAMES, BLOCK_MS, SILENCE, Block

SILENT_DBFS: Final = -50.0
"""Quieter than a whisper into a close microphone: the end of speech."""
SILENT_BLOCKS: Final = 15
"""150 ms of silence. The closure of a final p, t or k lasts up to 130 ms, and the sound
after it belongs to the word."""


class Gate:
    """Gate that returns one block for each block, the sound itself or silence.

    The pre-roll is a delay line: the sound from before the press is sent first, and
    everything after it is delayed by as much until the gate has closed.

    Thread: `open`, `close` and `clear` from any, `apply` from the sender's.
    """

    def __init__(self, pre_roll_ms: int) -> None:
        self._held_blocks = pre_roll_ms // BLOCK_MS
        self.has_pre_roll = self._held_blocks > 0
        """Whether a pre-roll is configured, for which every block is needed."""
        self.clear()
        self._is_wanted = self._was_open = False
        self._tail_blocks = self._silent_blocks = 0
        self._last_sample = 0

    @property
    def is_open(self) -> bool:
        """Whether sound passes: the gate was opened, or its tail is not over."""
        return self._is_wanted or self._tail_blocks > 0

    def open(self) -> None:
        """Pass sound from the next block on."""
        self._is_wanted = True
        self._tail_blocks = 0

    def close(self, tail_ms: int) -> None:
        """Pass the tail, pre-roll included, until it is over or silent, then silence.

        0: only a fade to zero is sent.
        """
        blocks = -(-tail_ms // BLOCK_MS)
        self._tail_blocks = blocks if self._is_wanted else 0
        self._silent_blocks = 0
        self._is_wanted = False

    def clear(self) -> None:
        """Replace what was captured so far by silence, so that no pre-roll has it."""
        blocks = self._held_blocks + 1
        # As a whole, because `apply` may be running.
        self._delay_line = deque([SILENCE] * blocks, maxlen=blocks)

    def apply(self, block: Block) -> Block:
        """Return the block to send; the captured one is copied with a pre-roll."""
        self._delay_line.append(block.copy() if self.has_pre_roll else block)
        is_open = self.is_open
        if not is_open and not self._was_open:
            return SILENCE
        if not self._is_wanted and self._tail_blocks:
            self._count_tail(block)
        is_last = is_open and not self.is_open
        oldest = self._delay_line[0]
        was_open, self._was_open = self._was_open, is_open and not is_last
        if not is_open:
            # Nothing that was captured: the box may have been muted.
            level = np.full(BLOCK_FRAMES, self._last_sample, np.float32)
            return to_block(cut(level))
        if is_last:
            oldest = to_block(faded_out(oldest.astype(np.float32)))
        elif not was_open:
            oldest = to_block(faded_in(oldest.astype(np.float32)))
        self._last_sample = int(oldest[-1])
        return oldest

    def _count_tail(self, block: Block) -> None:
        self._tail_blocks -= 1
        is_silent = level_dbfs(block) < SILENT_DBFS
        self._silent_blocks = self._silent_blocks + 1 if is_silent else 0
        if self._silent_blocks >= SILENT_BLOCKS + self._held_blocks:
            self._tail_blocks = 0
