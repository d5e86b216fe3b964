"""Volumes and switches of a card's own mixer: what is wrong, remedy and supervisor.

A card may be muted or quiet after a start of the system, which Debian's alsa-utils
does to new cards (the speaker is then at -20 dB).
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit
from appliance.sound_cards.alsa_mixer import WORDS, Control, opened
from appliance.sound_cards.devices import ALSA_CARDS, Device, Direction, kernel_text

if TYPE_CHECKING:
    # It imports msgspec, which the command `devices` does not need.
    from appliance.config import MixerConfig

FAINT_DB: Final = -15.0
"""A speaker at this volume or below is hard to hear; our choice."""
ADVISED_PERCENT: Final[dict[Direction, int]] = {"microphone": 80, "speaker": 90}
"""Our choice: loud, and with some headroom."""
AGAIN_S: Final = 2.0
"""Time after which a volume with a fault is examined again; our choice, so that the
fault ends soon after somebody has raised the volume."""
LATER_S: Final = 60.0
"""Time between two later looks, at volumes without a fault; our choice: a card has
buttons of its own, and a person who muted it by mistake waits that long."""
LOOKS: Final = 16
"""Looks at a device that was opened, also without a fault: after plugging in and at
boot, `alsactl restore` may change the volume up to half a minute later than the box."""
_OTHER: Final = re.compile(
    r"sidetone|side tone|loopback|boost|beep|monitor|bypass|mixer|tone|bass|treble|3d"
    r"|deemphasis|zc|auto.?mute|auto gain|agc|alc|iec958|effect|surround|center|lfe",
    re.IGNORECASE,
)
"""Elements that are not the volume of a microphone or speaker."""
_INPUT: Final = re.compile(
    r"\b(mic|microphone|line(?! ?out)|aux|cd|input|capture)\b", re.IGNORECASE
)
_UNUSED_INPUT: Final = re.compile(r"\b(line|aux|cd|mix|phone)\b", re.IGNORECASE)
_SERIES: Final = re.compile(
    r"^(master|pcm|digital|playback|dac|wave|capture|adc|adc pcm)$", re.IGNORECASE
)
"""Elements that the whole sound passes; the others are inputs or outputs beside each
other, one of which may be muted because another is in use."""
_LEVEL: Final = re.compile(
    r"(mic|microphone|capture|adc|master|pcm|speaker|head(phone|set)|front)\b",
    re.IGNORECASE,
)
"""Beginnings of the names of elements that matter even without a volume."""
_log = logging.getLogger(__name__)


class SettableMixer(Protocol):
    """Open mixer of a card, as this module uses it."""

    def controls(self) -> tuple[Control, ...]:
        """Return every volume and switch."""

    def set(self, wanted: Control, percent: int) -> bool:
        """Set a volume and switch it on; return whether anything was changed."""


OpenMixer = Callable[[str], AbstractContextManager[SettableMixer]]


def device_volumes(device: Device) -> str:
    """Return the volumes of a device's directions in words; empty: none are known."""
    if not device.card_id:
        return ""
    try:
        with opened(device.card_id) as mixer:
            controls = mixer.controls()
    except SoundError:
        return ""
    found = {way: of_direction(controls, way) for way in sorted(device.directions)}
    return "; ".join(f"{way} level {described(x)}" for way, x in found.items() if x)


def controls_of(
    card_id: str, direction: Direction, open_mixer: OpenMixer
) -> tuple[Control, ...]:
    """Return the controls of a card that decide about the volume of a direction.

    Raises:
        SoundError: its mixer cannot be opened or read.
    """
    with open_mixer(card_id) as mixer:
        return of_direction(mixer.controls(), direction)


def of_direction(
    controls: Iterable[Control], direction: Direction
) -> tuple[Control, ...]:
    """Return the controls that decide about the volume of a direction."""
    return tuple(x for x in controls if x.direction == direction and _is_on_path(x))


def described(controls: Iterable[Control]) -> str:
    """Return name, percent, decibels and switch of each control."""
    return "; ".join(map(facts, controls))


def facts(control: Control) -> str:
    """Return name, percent, decibels and switch in words."""
    level = "" if control.percent is None else f" {control.percent} %"
    db = "" if control.db is None else f" ({control.db:.0f} dB)"
    switch = {True: " on", False: " switched off", None: ""}[control.is_on]
    return f"{control.name}{level}{db}{switch}"


def faults(controls: tuple[Control, ...]) -> tuple[Control, ...]:
    """Return those controls of one direction that let little or nothing be heard."""
    whole = [x for x in controls if _SERIES.match(x.name)]
    branches = [x for x in controls if x not in whole]
    found = [x for x in whole if _is_bad(x)]
    if branches and all(map(_is_bad, branches)):
        found += branches
    return tuple(found)


def _remedy(
    card_id: str, found: tuple[Control, ...], direction: Direction
) -> dict[str, object]:
    """Return the facts of the remedy in the fault table."""
    percent = ADVISED_PERCENT[direction]
    commands = " && ".join(_command(card_id, control, percent) for control in found)
    return {"commands": commands, "direction": direction, "percent": percent}


def _command(card_id: str, control: Control, percent: int) -> str:
    """Return the line that sets a control and switches it on; see amixer(1), `sset`."""
    name = f"{control.name},{control.index}" if control.index else control.name
    words = ["amixer", "-c", card_id, "sset", f"'{name}'", WORDS[control.direction]]
    if control.percent is not None:
        words.append(f"{percent}%")
    if control.is_on is not None:
        words.append("cap" if control.direction == "microphone" else "unmute")
    return " ".join(words)


def card_volume_found(
    device: Device, direction: Direction, open_mixer: OpenMixer = opened
) -> tuple[str, str]:
    """Return the volumes of a device in words, and advice; empty: nothing is wrong."""
    if not device.card_id:
        return f"{device.stable_name} has none of its own", ""
    try:
        controls = controls_of(device.card_id, direction, open_mixer)
    except SoundError as exc:
        return f"unknown, {exc.reason}", ""
    if not controls:
        return f"{device.card_id} has none", ""
    bad = faults(controls)
    remedy = _remedy(device.card_id, bad, direction)
    advice = fault_table.CARD_VOLUME.advice(**remedy) if bad else ""
    return f"{device.card_id}: {described(controls)}", advice


def _is_on_path(control: Control) -> bool:
    if _OTHER.search(control.name):
        return False
    if control.percent is None and not _LEVEL.match(control.name):
        return False
    if control.direction == "microphone":
        return not _UNUSED_INPUT.search(control.name)
    # The volume of an input in the speaker is a sidetone.
    return not control.is_both and not _INPUT.search(control.name)


def _is_bad(control: Control) -> bool:
    if control.is_on is False or control.percent == 0:
        return True
    is_speaker = control.direction == "speaker"
    return is_speaker and control.db is not None and control.db <= FAINT_DB


class CardVolumeSupervisor:
    """Thread that sets and examines the volumes of devices that were opened.

    A driver that hangs blocks this thread only. Half a minute after a card has come its
    volume is only examined: a person may have changed it on the card. Any thread may
    call its public methods.
    """

    def __init__(
        self,
        config: "MixerConfig | None",
        open_mixer: OpenMixer = opened,
        cards: Path = ALSA_CARDS,
    ) -> None:
        """Without a configuration all volumes are left as they are."""
        self._percents: dict[Direction, int | None] = {
            "microphone": config.microphone if config else None,
            "speaker": config.speaker if config else None,
        }
        self._open_mixer = open_mixer
        self._cards = cards
        self._looks_left: dict[Direction, int] = {}
        self._changed = threading.Condition()
        self._known: set[tuple[Direction, str, str]] = set()
        """Each card since the sound was opened, with its plugging in."""
        self._new: set[Direction] = set()
        """Directions whose card was not known; the thread takes them."""
        self._opened: Mapping[Direction, Device] | None = None
        """Devices that the thread takes next; None: it has taken them."""
        self._is_running = False
        self._is_settled = True
        self._were_set: set[Direction] = set()
        """Directions whose configured volume has been set for long enough."""
        self._notices: dict[Direction, tuple[str, str]] = {}
        """Name of the device examined last, and the notice about it; read unlocked."""
        self._limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)

    def apply(self, devices: Mapping[Direction, Device]) -> None:
        """Set or examine the volumes of the open devices, without waiting for it.

        A card that is opened again is not set again, because a person may have muted
        it, unless another one was opened in the half minute before. No devices mean
        that the sound was closed, after which each card is set. While a driver does not
        answer, only the newest devices are kept.
        """
        cards = {(way, *self._plugged_in(device)) for way, device in devices.items()}
        with self._changed:
            self._opened = dict(devices)
            new = {way for way, *_ in cards - self._known}
            self._new |= new
            self._looks_left |= dict.fromkeys(new, LOOKS)
            self._known = self._known | cards if cards else set()
            self._is_settled = False
            self._changed.notify()
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._run, name="card levels", daemon=True).start()

    def _plugged_in(self, device: Device) -> tuple[str, str]:
        """Return a card's id, and its number on the USB, new at each plugging in.

        Source: Linux, sound/usb/proc.c, `proc_audio_usbbus_read`.
        """
        card_id = device.card_id
        return card_id, kernel_text(self._cards / card_id / "usbbus")

    def notice(self, direction: Direction, name: str) -> str:
        """Return the notice about the volume of a device; empty: there is none."""
        examined, notice = self._notices.get(direction, ("", ""))
        return notice if examined == name else ""

    @property
    def is_settled(self) -> bool:
        """Whether all volumes are set and without a fault, so that looks are rare."""
        with self._changed:
            return self._is_settled

    def _run(self) -> None:
        devices: Mapping[Direction, Device] = {}
        while devices := self._next(devices):
            for direction, device in devices.items():
                notice = self._done(direction, device)
                self._notices[direction] = device.stable_name, notice
                if self._looks_left[direction] <= 0 and not notice:
                    self._were_set.add(direction)
            devices = {way: x for way, x in devices.items() if x.card_id}

    def _next(self, again: Mapping[Direction, Device]) -> Mapping[Direction, Device]:
        """Return devices that were opened, or later those that are due again."""
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
        if not (found := faults(controls)):
            return ""
        remedy = _remedy(card_id, found, direction)
        return fault_table.CARD_VOLUME.text(levels=described(found), **remedy)

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
