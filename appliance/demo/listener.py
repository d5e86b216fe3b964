"""Tells where a talk begins and ends, by level alone; pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from appliance.audio.dsp import level_dbfs
from appliance.demo.measure import Sound, TimedBlock, joined
from appliance.demo.phrase import Samples

VOICE_DBFS: Final = -45.0
"""Louder than a quiet room, quieter than a whisper into the microphone."""
BEFORE_BLOCKS: Final = 30
"""0.3 s from before the first loud block: soft beginnings belong to the talk."""
MARGIN_BLOCKS: Final = 10
"""Silence that is repeated too, before and after: no soft sound is cut off."""
SILENT_BLOCKS: Final = 55
"""0.55 s of silence end a talk; pauses between words are shorter."""
LONGEST_BLOCKS: Final = 3000
"""30 s; what is longer is repeated in two parts."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What somebody said, with some silence before and after."""

    sound: Sound
    first: int
    """Where to begin when it is repeated, in samples."""
    last: int
    """Where to end."""


class Listener:
    """Takes one person's blocks, one per 10 ms."""

    def __init__(self) -> None:
        """Hear nothing yet."""
        self._before: deque[TimedBlock] = deque(maxlen=BEFORE_BLOCKS)
        self._talk: list[TimedBlock] = []
        self._lead = 0
        self._silent = 0

    @property
    def is_in_talk(self) -> bool:
        """Whether somebody speaks."""
        return bool(self._talk)

    def take(self, block: Samples, at_s: float) -> Talk | None:
        """Take a block that arrived at this moment; return a talk that is over now."""
        is_loud = level_dbfs(block) > VOICE_DBFS
        if not self._talk:
            self._before.append((at_s, block))
            if is_loud:
                self._talk, self._silent = list(self._before), 0
                self._lead = len(self._talk) - 1
            return None
        self._talk.append((at_s, block))
        self._silent = 0 if is_loud else self._silent + 1
        if self._silent < SILENT_BLOCKS and len(self._talk) < LONGEST_BLOCKS:
            return None
        return self._ended()

    def _ended(self) -> Talk:
        blocks, self._talk = self._talk, []
        self._before.clear()
        sound = joined(blocks)
        length = len(blocks[0][1])
        first = length * max(0, self._lead - MARGIN_BLOCKS)
        spare = length * max(0, self._silent - MARGIN_BLOCKS)
        return Talk(sound, first, len(sound.samples) - spare)
