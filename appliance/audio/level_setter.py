"""Setting of the levels that `sound.mixer` names, whenever a card is opened."""

import logging
import threading
from collections.abc import Mapping

from appliance.audio.alsa_mixer import opened
from appliance.audio.card_levels import OpenMixer, facts, of_direction
from appliance.audio.devices import Device, Direction
from appliance.config import MixerConfig
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.fault_report import FaultLog
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit

_log = logging.getLogger(__name__)


class LevelSetter:
    """Setter of the configured levels; the card's driver cannot block the caller."""

    def __init__(self, config: MixerConfig, open_mixer: OpenMixer = opened) -> None:
        """Set nothing yet.

        Args:
            config: percent for each direction; None: left as it is.
            open_mixer: opens the mixer of a card.
        """
        self._percents: dict[Direction, int | None] = {
            "microphone": config.microphone,
            "speaker": config.speaker,
        }
        self._open_mixer = open_mixer
        self._thread: threading.Thread | None = None
        self._fault = FaultLog(_log, "level of the card not set")
        self._limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)

    def set(self, devices: Mapping[Direction, Device]) -> None:
        """Set the levels of these devices on a thread of its own.

        While an earlier call has not ended, because a driver does not answer, nothing
        is done.

        Thread: any, one at a time.
        """
        wanted = [
            (device.card_id, direction, percent)
            for direction, device in devices.items()
            if device.card_id and (percent := self._percents.get(direction)) is not None
        ]
        if not wanted:
            return
        if self._thread is not None and self._thread.is_alive():
            self._fault.failed("the card's mixer does not answer")
            return
        self._thread = threading.Thread(
            target=self._set_all, args=(wanted,), name="card levels", daemon=True
        )
        self._thread.start()

    def _set_all(self, wanted: list[tuple[str, Direction, int]]) -> None:
        try:
            for card_id, direction, percent in wanted:
                self._set_one(card_id, direction, percent)
        except SoundError as exc:
            self._fault.failed(exc)
        else:
            self._fault.worked()

    def _set_one(self, card_id: str, direction: Direction, percent: int) -> None:
        with self._open_mixer(card_id) as mixer:
            controls = of_direction(mixer.controls(), direction)
            if not controls:
                raise SoundError(
                    card_id, fault_table.NO_LEVEL.text(direction=direction)
                )
            for control in controls:
                if mixer.set(control, percent):
                    line = 'level of the card set  card=%s percent=%d was="%s"'
                    was = facts(control)
                    self._limit.log(_log, logging.INFO, line, card_id, percent, was)
