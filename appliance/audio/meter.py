"""Level meter, updated five times a second, with a voice detector."""

from typing import Final

from appliance.audio.dsp import SILENCE_DBFS, level_dbfs
from appliance.audio.mixer import Mixer
from appliance.core.events import LevelsMeasured
from appliance.pcm import Block
from appliance.ports import Post

UPDATE_S: Final = 0.2
MEASURE_S: Final = 0.05
"""Shortest time between two measurements; a syllable lasts longer than 100 ms."""
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
        self._measured_at_s = self._updated_at_s = 0.0
        self._posted = LevelsMeasured(SILENCE_DBFS, SILENCE_DBFS, is_voice=False)

    @property
    def is_voice(self) -> bool:
        """Whether the microphone's level is that of a voice."""
        return self._posted.is_voice

    def take(self, microphone: Block, now_s: float) -> None:
        """Take a captured block."""
        if now_s - self._measured_at_s >= MEASURE_S:
            self._measured_at_s = now_s
            self._loudest_dbfs = max(self._loudest_dbfs, level_dbfs(microphone))

    def update(self, now_s: float) -> None:
        """Post the levels if a change is due; without captured blocks it is silent."""
        if now_s - self._updated_at_s < UPDATE_S:
            return
        levels = LevelsMeasured(
            _coarse(self._loudest_dbfs, self._posted.microphone_dbfs),
            _coarse(self._mixer.level_dbfs, self._posted.speaker_dbfs),
            is_voice=self._loudest_dbfs > VOICE_DBFS,
        )
        self._updated_at_s = now_s
        self._loudest_dbfs = SILENCE_DBFS
        if levels != self._posted:
            self._posted = levels
            self._post(levels)


def _coarse(dbfs: float, displayed_dbfs: int) -> int:
    """Return the level rounded to the displayed steps."""
    if abs(dbfs - displayed_dbfs) <= HOLD_DB:
        return displayed_dbfs
    return SILENCE_DBFS if dbfs < FLOOR_DBFS else STEP_DB * round(dbfs / STEP_DB)
