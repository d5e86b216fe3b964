"""How loud it is, five times a second, for people and for the noise suppression."""

from typing import Final

from appliance.audio.dsp import SILENCE_DBFS, level_dbfs
from appliance.audio.mixer import Mixer
from appliance.core.events import LevelsMeasured
from appliance.pcm import Block
from appliance.ports import Post

METER_BLOCKS: Final = 20
EVERY_BLOCKS: Final = 10
"""One block in ten is looked at: a syllable lasts longer than 100 ms. In a lull one in
twenty, which is when nobody needs to see more than that there is a voice."""
STEP_DB: Final = 3
FLOOR_DBFS: Final = -60
"""Quieter is shown as silence: a room's noise would keep the page and screen busy."""
VOICE_DBFS: Final = -45.0


class Meter:
    """Posts `LevelsMeasured` whenever people would see a difference.

    Thread: the uplink's.
    """

    def __init__(self, post: Post) -> None:
        """Start with silence."""
        self._post = post
        self._loudest_dbfs: float = SILENCE_DBFS
        self._blocks = 0
        self._unseen = 0
        self._told = LevelsMeasured(SILENCE_DBFS, SILENCE_DBFS, is_voice=False)

    @property
    def is_voice(self) -> bool:
        """Whether somebody seems to be speaking into the microphone."""
        return self._told.is_voice

    def skip(self, blocks: int) -> None:
        """Pass over blocks that came and were not looked at."""
        self._blocks += blocks
        self._unseen += blocks

    def take(self, microphone: Block, mixer: Mixer) -> None:
        """Take what the microphone heard; `mixer` knows how loud the speaker is."""
        self._blocks += 1
        self._unseen += 1
        if self._unseen >= EVERY_BLOCKS:
            self._unseen = 0
            self._loudest_dbfs = max(self._loudest_dbfs, level_dbfs(microphone))
        if self._blocks < METER_BLOCKS:
            return
        levels = LevelsMeasured(
            _coarse(self._loudest_dbfs),
            _coarse(mixer.level_dbfs),
            is_voice=self._loudest_dbfs > VOICE_DBFS,
        )
        self._blocks = 0
        self._loudest_dbfs = SILENCE_DBFS
        if levels != self._told:
            self._told = levels
            self._post(levels)


def _coarse(dbfs: float) -> int:
    """Return the level in steps that people see; the noise floor is one of them."""
    return SILENCE_DBFS if dbfs < FLOOR_DBFS else STEP_DB * round(dbfs / STEP_DB)
