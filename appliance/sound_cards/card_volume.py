"""Volumes and switches of a card's own mixer: what is wrong, remedy and supervisor.

A card may be muted or quiet after a start of the system, which Debian's alsa-utils
does to new cards (the speaker is then at -20 dB).
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from appliance.config import MixerConfig
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit
from appliance.sound_cards.alsa_mixer import WORDS, CardMixer, Control, opened
from appliance.sound_cards.devices import ALSA_CARDS, Device, Direction, kernel_text

FAINT_DB: Final = -15.0
"""A speaker at this volume or below is hard to hear; our choice."""
ADVISED_PERCENT: Final[dict[Direction, int]] = {"microphone": 80, "speaker": 90}
"""Our choice: loud, and with some headroom."""
NEW_S: Final = 32.0
"""Time for which the volume of a new card is set again and again: after plugging in and
at boot, `alsactl restore` may change it up to half a minute later than the box."""
AGAIN_S: Final = 2.0
"""Time between two looks at a new card or a volume with a fault; our choice, so that
the fault ends soon after somebody has raised the volume."""
LATER_S: Final = 60.0
"""Time between two other looks; our choice: a card has buttons of its own, and a person
who muted it by mistake waits that long."""
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


OpenMixer = Callable[[str], AbstractContextManager[CardMixer]]


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
        with open_mixer(device.card_id) as mixer:
            controls = of_direction(mixer.controls(), direction)
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
    """Thread that sets and examines the volumes of the open devices.

    A driver that hangs blocks this thread only. Half a minute after a card has come its
    volume is only examined: a person may have changed it on the card. Any thread may
    call the public methods.
    """

    def __init__(
        self,
        config: MixerConfig | None,
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
        self._inbox: SimpleQueue[Mapping[Direction, Device] | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name="card volumes", daemon=True
        )
        self._known: dict[tuple[Direction, str], tuple[str, float]] = {}
        """Plugging in of each card, and the time at which it was first opened."""
        self._notices: dict[Direction, tuple[str, str]] = {}
        """Name of the device examined last, and the notice about it; read unlocked."""
        self._limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Stop the thread, without waiting for a driver that hangs."""
        self._inbox.put(None)
        self._thread.join(AGAIN_S)

    def apply(self, devices: Mapping[Direction, Device]) -> None:
        """Set and examine the volumes of these devices from now on.

        A card that is opened again is not set again, because a person may have muted
        it. No devices mean that the sound was closed, after which each card is set.
        While a driver does not answer, only the newest devices are kept.
        """
        if not devices:
            self._known.clear()
        self._inbox.put(devices)

    def notice(self, direction: Direction, name: str) -> str:
        """Return the notice about the volume of a device; empty: there is none."""
        examined, notice = self._notices.get(direction, ("", ""))
        return notice if examined == name else ""

    def _run(self) -> None:
        devices: Mapping[Direction, Device] | None = {}
        wait_s = None
        while devices is not None:
            with suppress(Empty):
                devices = self._inbox.get(timeout=wait_s)
            while devices is not None and not self._inbox.empty():
                devices = self._inbox.get()
            wait_s = self._look(devices) if devices else None

    def _look(self, devices: Mapping[Direction, Device]) -> float:
        """Set or examine the volumes; return the time until the next look."""
        wait_s = LATER_S
        for direction, device in devices.items():
            is_new = self._is_new(direction, device.card_id)
            notice = self._done(direction, device, is_new=is_new)
            self._notices[direction] = device.stable_name, notice
            if notice or is_new:
                wait_s = AGAIN_S
            if notice and is_new:
                # It counts as new until its volume was set.
                self._known.pop((direction, device.card_id), None)
        return wait_s

    def _is_new(self, direction: Direction, card_id: str) -> bool:
        """Return whether a card was plugged in in the last `NEW_S`.

        Its number on the USB is another one at each plugging in.

        Source: Linux, sound/usb/proc.c, `proc_audio_usbbus_read`.
        """
        number, now_s = kernel_text(self._cards / card_id / "usbbus"), time.monotonic()
        known = self._known.get((direction, card_id))
        if known is None or known[0] != number:
            known = self._known[direction, card_id] = number, now_s
        return now_s - known[1] <= NEW_S

    def _done(self, direction: Direction, device: Device, *, is_new: bool) -> str:
        """Set or examine a volume; return the notice about it."""
        percent, card_id = self._percents[direction], device.card_id
        if not card_id:
            fault = fault_table.NO_MIXER
            return "" if percent is None else fault.text(direction=direction)
        try:
            with self._open_mixer(card_id) as mixer:
                controls = of_direction(mixer.controls(), direction)
                if percent is None or not is_new:
                    return self._examined(controls, direction, card_id)
                if not controls:
                    return fault_table.NO_CARD_VOLUME.text(direction=direction)
                for control in controls:
                    if mixer.set(control, percent):
                        line = 'level of the card set  card=%s percent=%d was="%s"'
                        arguments = line, card_id, percent, facts(control)
                        self._limit.log(_log, logging.INFO, *arguments)
                return ""
        except SoundError as exc:
            reason = exc.reason
        except OSError as exc:
            reason = fault_table.MIXER_FAILED.text(error=exc.strerror or exc)
        # A card without a mixer needs none, unless a volume is to be set.
        return "" if percent is None or not is_new else reason

    def _examined(
        self, controls: tuple[Control, ...], direction: Direction, card_id: str
    ) -> str:
        """Return the notice about a volume; one that was set may be low on purpose."""
        if self._percents[direction] is not None:
            controls = tuple(replace(x, percent=None, db=None) for x in controls)
        if not (found := faults(controls)):
            return ""
        remedy = _remedy(card_id, found, direction)
        return fault_table.CARD_VOLUME.text(levels=described(found), **remedy)
