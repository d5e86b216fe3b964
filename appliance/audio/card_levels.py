"""Levels and switches of a card's hardware mixer: what is wrong, and the remedy.

A card may be muted or quiet after a start of the system, which Debian's alsa-utils
does to new cards (the speaker is then at -20 dB).
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeAlias

from appliance.audio.alsa_mixer import Control, opened
from appliance.audio.devices import Device, Direction
from appliance.config import MixerConfig
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.fault_report import FaultLog
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit

QUIET_DB: Final = -15.0
"""A speaker at this level or below is hard to hear; our choice."""
ADVISED_PERCENT: Final[dict[Direction, int]] = {"microphone": 80, "speaker": 90}
"""Our choice: loud, and with some room above."""
_WORDS: Final[dict[Direction, tuple[str, str]]] = {
    "microphone": ("capture", "cap"),
    "speaker": ("playback", "unmute"),
}
"""amixer's words for a direction and for switching it on.

Source: amixer(1), `sset`."""
_OTHER: Final = re.compile(
    r"sidetone|side tone|loopback|boost|beep|monitor|bypass|mixer|tone|bass|treble|3d"
    r"|deemphasis|zc|auto.?mute|auto gain|agc|alc|iec958|effect|surround|center|lfe",
    re.IGNORECASE,
)
"""Elements that are not the level of a microphone or speaker."""
_INPUT: Final = re.compile(
    r"\b(mic|microphone|line(?! ?out)|aux|cd|input|capture)\b", re.IGNORECASE
)
_UNUSED_INPUT: Final = re.compile(r"\b(line|aux|cd|mix|phone)\b", re.IGNORECASE)
_SERIES: Final = re.compile(
    r"^(master|pcm|digital|playback|dac|wave|capture|adc|adc pcm)$", re.IGNORECASE
)
"""Elements that the whole sound passes; the others are inputs or outputs beside each
other, one of which may be muted because another is in use."""

_log = logging.getLogger(__name__)
Levels: TypeAlias = list[tuple[str, Direction, int]]
"""Card, direction and percent of each level to set."""


class SettableMixer(Protocol):
    """Open mixer of a card, as this module uses it."""

    def controls(self) -> tuple[Control, ...]:
        """Return every level and switch."""

    def set(self, wanted: Control, percent: int) -> bool:
        """Set a level and switch it on; return whether anything was changed."""


OpenMixer = Callable[[str], AbstractContextManager[SettableMixer]]


def device_levels(device: Device, open_mixer: OpenMixer = opened) -> str:
    """Return the levels of a device's directions in words; empty: none are known."""
    if not device.card_id:
        return ""
    try:
        with open_mixer(device.card_id) as mixer:
            controls = mixer.controls()
    except SoundError:
        return ""
    ways: tuple[Direction, ...] = ("microphone", "speaker")
    words = (
        f"{way} level {described(of_direction(controls, way))}"
        for way in ways
        if device.channels(way) and of_direction(controls, way)
    )
    return "; ".join(words)


def of_direction(
    controls: Iterable[Control], direction: Direction
) -> tuple[Control, ...]:
    """Return the controls that decide about the level of a direction."""
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
    """Return the controls because of which nothing or little is heard.

    Args:
        controls: those of one direction.
    """
    whole = [x for x in controls if _SERIES.match(x.name)]
    branches = [x for x in controls if x not in whole]
    found = [x for x in whole if _is_bad(x)]
    if branches and all(map(_is_bad, branches)):
        found += branches
    return tuple(found)


def advice(card_id: str, found: tuple[Control, ...], direction: Direction) -> str:
    """Return how to repair the controls, now and for the box at each start."""
    percent = ADVISED_PERCENT[direction]
    commands = (command(card_id, control, percent) for control in found)
    return fault_table.CARD_LEVELS.advice(
        commands=" && ".join(commands), direction=direction, percent=percent
    )


def command(card_id: str, control: Control, percent: int) -> str:
    """Return the line that sets a control and switches it on."""
    direction, on = _WORDS[control.direction]
    name = f"{control.name},{control.index}" if control.index else control.name
    words = ["amixer", "-c", card_id, "sset", f"'{name}'", direction]
    if control.percent is not None:
        words.append(f"{percent}%")
    if control.is_on is not None:
        words.append(on)
    return " ".join(words)


def levels_found(
    device: Device, direction: Direction, open_mixer: OpenMixer = opened
) -> tuple[str, str]:
    """Return the levels of a device in words, and advice; empty: nothing is wrong."""
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
    return (
        f"{device.card_id}: {described(controls)}",
        advice(device.card_id, bad, direction) if bad else "",
    )


def _is_on_path(control: Control) -> bool:
    if _OTHER.search(control.name):
        return False
    if control.percent is None and not _has_level_name(control):
        return False
    if control.direction == "microphone":
        return not _UNUSED_INPUT.search(control.name)
    # The level of an input in the speaker is a sidetone.
    return not control.is_both and not _INPUT.search(control.name)


def _has_level_name(control: Control) -> bool:
    known = r"^(mic|microphone|capture|adc|master|pcm|speaker|head(phone|set)|front)\b"
    return bool(re.search(known, control.name, re.IGNORECASE))


def _is_bad(control: Control) -> bool:
    if control.is_on is False or control.percent == 0:
        return True
    is_speaker = control.direction == "speaker"
    return is_speaker and control.db is not None and control.db <= QUIET_DB


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
        self._changing = threading.Lock()
        # What the thread sets next; None: it has ended, or is about to.
        self._wanted: Levels | None = None
        self._fault = FaultLog(_log, "level of the card not set")
        self._limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)

    def set(self, devices: Mapping[Direction, Device]) -> None:
        """Set the levels of these devices on a thread of its own.

        While an earlier call has not ended, because a driver is slow or does not
        answer, they wait for its end; only the newest ones are kept.

        Thread: any.
        """
        wanted = [
            (device.card_id, direction, percent)
            for direction, device in devices.items()
            if device.card_id and (percent := self._percents.get(direction)) is not None
        ]
        if not wanted:
            return
        with self._changing:
            is_running, self._wanted = self._wanted is not None, wanted
        if is_running:
            self._fault.failed("the card's mixer does not answer")
            return
        threading.Thread(target=self._run, name="card levels", daemon=True).start()

    def _run(self) -> None:
        while wanted := self._wanted:
            self._set_all(wanted)
            with self._changing:
                if self._wanted is wanted:
                    self._wanted = None

    def _set_all(self, wanted: Levels) -> None:
        try:
            for card_id, direction, percent in wanted:
                self._set_one(card_id, direction, percent)
        except (SoundError, OSError) as exc:
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
