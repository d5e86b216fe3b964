"""Supervisor of the cards' own volumes: sets configured ones, examines the others."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
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
LATER_S: Final = 60.0
"""Time between two later looks, at volumes without a fault; our choice: a card has
buttons of its own, and a person who muted it by mistake waits that long."""
LOOKS: Final = 16
"""Looks at a device that was opened, also without a fault: after plugging in and at
boot, `alsactl restore` may change the volume up to half a minute later than the box."""
_log = logging.getLogger(__name__)


class CardVolumeSupervisor:
    """Thread that sets and examines the volumes of devices that were opened.

    A driver that hangs blocks this thread only. Half a minute after a card has come its
    volume is only examined: a person may have changed it on the card.
    """

    def __init__(
        self,
        config: MixerConfig | None,
        open_mixer: OpenMixer = opened,
    ) -> None:
        """Start without devices; `apply` starts the thread.

        Without a configuration all volumes are left as they are.
        """
        config = config or MixerConfig()
        self._percents: dict[Direction, int | None] = {
            "microphone": config.microphone,
            "speaker": config.speaker,
        }
        self._open_mixer = open_mixer
        self._looks_left: dict[Direction, int] = {}
        self._changed = threading.Condition()
        self._card_ids: dict[Direction, str] = {}
        """Cards of the newest devices."""
        self._new: set[Direction] = set()
        """Directions whose card was not among those before; the thread takes them."""
        self._opened: Mapping[Direction, Device] | None = None
        """Devices that the thread takes next; None: it has taken them."""
        self._is_running = False
        self._is_settled = True
        self._were_set: set[Direction] = set()
        """Directions whose configured volume has been set for long enough."""
        # Replaced as a whole, so that reading needs no lock.
        self._notices: dict[Direction, tuple[str, str]] = {}
        """Name of the device examined last, and the notice about it."""
        self._limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)

    def apply(self, devices: Mapping[Direction, Device]) -> None:
        """Set or examine the volumes of the open devices, without waiting for it.

        A card that was among those of the last call is not set again: a person may have
        muted it. While a driver does not answer, only the newest devices are kept.

        Thread: any.
        """
        with self._changed:
            self._opened = dict(devices)
            card_ids = {way: device.card_id for way, device in devices.items()}
            new = {way for way, _ in card_ids.items() - self._card_ids.items()}
            self._new |= new
            self._looks_left |= dict.fromkeys(new, LOOKS)
            self._card_ids = card_ids
            self._is_settled = False
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

    @property
    def is_settled(self) -> bool:
        """Whether all volumes are set and without a fault, so that looks are rare.

        Thread: any.
        """
        with self._changed:
            return self._is_settled

    def _run(self) -> None:
        devices: Mapping[Direction, Device] = {}
        while devices := self._next(devices):
            for direction, device in devices.items():
                notice = self._done(direction, device)
                self._notices = {
                    **self._notices,
                    direction: (device.stable_name, notice),
                }
                if self._looks_left[direction] <= 0 and not notice:
                    self._were_set.add(direction)
            devices = {way: x for way, x in devices.items() if x.card_id}

    def _next(self, again: Mapping[Direction, Device]) -> Mapping[Direction, Device]:
        """Return devices that were opened, or after a while those that are due again.

        Args:
            again: devices that are due again; none: there is nothing to wait for.
        """
        with self._changed:
            if self._opened is None:
                is_bad = any(self._notices[direction][1] for direction in again)
                is_early = any(self._looks_left[direction] > 0 for direction in again)
                self._is_settled = not (is_bad or is_early)
                if again:
                    self._changed.wait(LATER_S if self._is_settled else AGAIN_S)
            devices = again
            if self._opened is not None:
                devices = self._opened
                self._were_set -= self._new
                self._new.clear()
            self._opened = None
            for direction in devices:
                self._looks_left[direction] -= 1
            self._is_running = bool(devices)
            self._is_settled = self._is_settled or not devices
        return devices

    def _done(self, direction: Direction, device: Device) -> str:
        """Set or examine a volume; return the notice about it."""
        percent, card_id = self._percents[direction], device.card_id
        if not card_id:
            fault = fault_table.NO_MIXER
            return "" if percent is None else fault.text(direction=direction)
        is_examined = percent is None or direction in self._were_set
        try:
            if percent is not None and not is_examined:
                return self._set(direction, card_id, percent)
            return self._examined(direction, card_id, is_set=percent is not None)
        except SoundError as exc:
            reason = exc.reason
        except OSError as exc:
            reason = fault_table.MIXER_FAILED.text(error=exc.strerror or exc)
        # A card without a mixer needs none, unless a volume is to be set.
        return "" if is_examined else reason

    def _examined(self, direction: Direction, card_id: str, *, is_set: bool) -> str:
        """Return the notice about a volume; one that was set may be low on purpose."""
        controls = controls_of(card_id, direction, self._open_mixer)
        if is_set:
            controls = tuple(replace(x, percent=None, db=None) for x in controls)
        return card_volume_notice(card_id, controls, direction)

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
