"""Level meter, updated five times a second, with a voice detector."""

from typing import Final

from appliance.audio.dsp import SILENCE_DBFS, level_dbfs
from appliance.audio.mixer import Mixer
from appliance.core.events import LevelsMeasured
from appliance.pcm import Block
from appliance.ports import Post

METER_BLOCKS: Final = 20
EVERY_BLOCKS: Final = 10
"""One block in ten is measured: a syllable lasts longer than 100 ms. While periods are
skipped it is one in twenty, which is enough to detect a voice."""
STEP_DB: Final = 3
HOLD_DB: Final = 2.5
"""A smaller difference to the displayed step changes nothing; beside a border between
two steps, room noise would redraw page and screen five times a second."""
FLOOR_DBFS: Final = -60
"""Lower levels are shown as silence, because noise would redraw page and screen."""
VOICE_DBFS: Final = -45.0


class Meter:
    """Posts `LevelsMeasured` when a displayed level changes. Thread: the sender's."""

    def __init__(self, post: Post, mixer: Mixer) -> None:
        """Start with silence; the playback level is read from `mixer`."""
        self._post = post
        self._mixer = mixer
        self._loudest_dbfs: float = SILENCE_DBFS
        self._blocks = 0
        self._unmeasured = 0
        self._posted = LevelsMeasured(SILENCE_DBFS, SILENCE_DBFS, is_voice=False)

    @property
    def is_voice(self) -> bool:
        """Whether the microphone's level is that of a voice."""
        return self._posted.is_voice

    def skip(self, blocks: int) -> None:
        """Count blocks that were skipped without being measured."""
        self._blocks += blocks
        self._unmeasured += blocks

    def take(self, microphone: Block) -> None:
        """Take a captured block."""
        self._unmeasured += 1
        if self._unmeasured >= EVERY_BLOCKS:
            self._unmeasured = 0
            self._loudest_dbfs = max(self._loudest_dbfs, level_dbfs(microphone))
        self._advance(1)

    def take_playback(self, blocks: int) -> None:
        """Measure playback alone, because no sound is captured and none is sent."""
        self._unmeasured = 0
        self._loudest_dbfs = SILENCE_DBFS
        self._advance(blocks)

    def _advance(self, blocks: int) -> None:
        """Count blocks, and post the levels if a change is due."""
        self._blocks += blocks
        if self._blocks < METER_BLOCKS:
            return
        levels = LevelsMeasured(
            _coarse(self._loudest_dbfs, self._posted.microphone_dbfs),
            _coarse(self._mixer.level_dbfs, self._posted.speaker_dbfs),
            is_voice=self._loudest_dbfs > VOICE_DBFS,
        )
        self._blocks = 0
        self._loudest_dbfs = SILENCE_DBFS
        if levels != self._posted:
            self._posted = levels
            self._post(levels)


def _coarse(dbfs: float, displayed_dbfs: int) -> int:
    """Return the level rounded to the displayed steps."""
    if abs(dbfs - displayed_dbfs) <= HOLD_DB:
        return displayed_dbfs
    return SILENCE_DBFS if dbfs < FLOOR_DBFS else STEP_DB * round(dbfs / STEP_DB)
