"""Supervisor of the cards' own volumes: sets configured ones, examines the others."""

import logging
import threading
from collections.abc import Mapping
from typing import Final

from appliance.config import MixerConfig
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit
from appliance.sound_cards.alsa_mixer import opened
from appliance.sound_cards.card_volume import (
    OpenMixer,
    card_volume_notice,
    controls_of,
    facts,
    of_direction,
)
from appliance.sound_cards.devices import Device, Direction

AGAIN_S: Final = 2.0
"""Time after which a volume with a fault is examined again; our choice, so that the
fault ends soon after somebody has raised the volume."""
LOOKS: Final = 16
"""Looks at a device that was opened, also without a fault: after plugging in and at
boot, `alsactl restore` may change the volume up to half a minute later than the box."""
_log = logging.getLogger(__name__)


class CardVolumeSupervisor:
    """Thread that sets and examines the volumes of devices that were opened.

    A driver that hangs blocks this thread only. The thread ends after half a minute if
    no volume has a fault; one that is changed later is examined when the device is
    opened again.
    """

    def __init__(
        self,
        config: MixerConfig | None,
        open_mixer: OpenMixer = opened,
    ) -> None:
        """Start without devices; `apply` starts the thread.

        Args:
            config: percent for each direction; None: all volumes are left as they are.
            open_mixer: opens the mixer of a card.
        """
        config = config or MixerConfig()
        self._percents: dict[Direction, int | None] = {
            "microphone": config.microphone,
            "speaker": config.speaker,
        }
        self._open_mixer = open_mixer
        self._looks_left = 0
        self._changed = threading.Condition()
        self._opened: Mapping[Direction, Device] | None = None
        """Devices that the thread takes next; None: it has taken them."""
        self._is_running = False
        # Replaced as a whole, so that reading needs no lock.
        self._notices: dict[Direction, tuple[str, str]] = {}
        """Name of the device examined last, and the notice about it."""
        self._limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)

    def apply(self, devices: Mapping[Direction, Device]) -> None:
        """Set or examine the volumes of these devices, without waiting for it.

        While a driver does not answer, only the newest devices are kept.

        Thread: any.
        """
        with self._changed:
            self._opened = dict(devices)
            self._looks_left = LOOKS
            self._changed.notify()
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._run, name="card levels", daemon=True).start()

    def notice(self, direction: Direction, name: str) -> str:
        """Return the notice about the volume of a device; empty: there is none.

        Thread: any.
        """
        examined, notice = self._notices.get(direction, ("", ""))
        return notice if examined == name else ""

    def _run(self) -> None:
        devices: Mapping[Direction, Device] = {}
        while devices := self._next(devices):
            devices = {
                direction: device
                for direction, device in devices.items()
                if self._is_due_again(direction, device)
            }

    def _next(self, again: Mapping[Direction, Device]) -> Mapping[Direction, Device]:
        """Return devices that were opened, or after a while those that are due again.

        Args:
            again: devices that are due again; none: there is nothing to wait for.
        """
        with self._changed:
            if self._opened is None and again:
                self._changed.wait(AGAIN_S)
            devices = again if self._opened is None else self._opened
            self._opened = None
            self._looks_left -= 1
            self._is_running = bool(devices)
        return devices

    def _is_due_again(self, direction: Direction, device: Device) -> bool:
        """Set or examine a volume; return whether to do it again after a while."""
        notice = self._done(direction, device)
        self._notices = {**self._notices, direction: (device.stable_name, notice)}
        return bool(device.card_id) and (self._looks_left > 0 or bool(notice))

    def _done(self, direction: Direction, device: Device) -> str:
        """Set or examine a volume; return the notice about it."""
        percent, card_id = self._percents[direction], device.card_id
        if not card_id:
            fault = fault_table.NO_MIXER
            return "" if percent is None else fault.text(direction=direction)
        try:
            if percent is None:
                controls = controls_of(card_id, direction, self._open_mixer)
                return card_volume_notice(card_id, controls, direction)
            return self._set(direction, card_id, percent)
        except SoundError as exc:
            reason = exc.reason
        except OSError as exc:
            reason = fault_table.MIXER_FAILED.text(error=exc.strerror or exc)
        # A card without a mixer needs none, unless a volume is to be set.
        return "" if percent is None else reason

    def _set(self, direction: Direction, card_id: str, percent: int) -> str:
        with self._open_mixer(card_id) as mixer:
            controls = of_direction(mixer.controls(), direction)
            if not controls:
                return fault_table.NO_CARD_VOLUME.text(direction=direction)
            for control in controls:
                if mixer.set(control, percent):
                    line = 'level of the card set  card=%s percent=%d was="%s"'
                    was = facts(control)
                    self._limit.log(_log, logging.INFO, line, card_id, percent, was)
        return ""
