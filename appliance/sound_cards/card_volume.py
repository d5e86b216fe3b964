"""Volumes and switches of a card's own mixer: what is wrong, and the remedy.

A card may be muted or quiet after a start of the system, which Debian's alsa-utils
does to new cards (the speaker is then at -20 dB).
"""

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.alsa_mixer import Control, opened
from appliance.sound_cards.devices import Device, Direction

FAINT_DB: Final = -15.0
"""A speaker at this volume or below is hard to hear; our choice."""
ADVISED_PERCENT: Final[dict[Direction, int]] = {"microphone": 80, "speaker": 90}
"""Our choice: loud, and with some headroom."""
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


class SettableMixer(Protocol):
    """Open mixer of a card, as this module uses it."""

    def controls(self) -> tuple[Control, ...]:
        """Return every volume and switch."""

    def set(self, wanted: Control, percent: int) -> bool:
        """Set a volume and switch it on; return whether anything was changed."""


OpenMixer = Callable[[str], AbstractContextManager[SettableMixer]]


def device_volumes(device: Device, open_mixer: OpenMixer = opened) -> str:
    """Return the volumes of a device's directions in words; empty: none are known."""
    if not device.card_id:
        return ""
    try:
        found = {
            way: controls_of(device.card_id, way, open_mixer)
            for way in sorted(device.directions)
        }
    except SoundError:
        return ""
    return "; ".join(
        f"{way} level {described(controls)}"
        for way, controls in found.items()
        if controls
    )


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


def card_volume_notice(
    card_id: str, controls: tuple[Control, ...], direction: Direction
) -> str:
    """Return the notice that little or nothing is heard; empty: all is well."""
    found = faults(controls)
    if not found:
        return ""
    remedy = _remedy(card_id, found, direction)
    return fault_table.CARD_VOLUME.text(levels=described(found), **remedy)


def _remedy(
    card_id: str, found: tuple[Control, ...], direction: Direction
) -> dict[str, object]:
    """Return the facts of the remedy in the fault table."""
    percent = ADVISED_PERCENT[direction]
    commands = " && ".join(_command(card_id, control, percent) for control in found)
    return {"commands": commands, "direction": direction, "percent": percent}


def _command(card_id: str, control: Control, percent: int) -> str:
    """Return the line that sets a control and switches it on."""
    direction, on = _WORDS[control.direction]
    name = f"{control.name},{control.index}" if control.index else control.name
    words = ["amixer", "-c", card_id, "sset", f"'{name}'", direction]
    if control.percent is not None:
        words.append(f"{percent}%")
    if control.is_on is not None:
        words.append(on)
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
    return (
        f"{device.card_id}: {described(controls)}",
        fault_table.CARD_VOLUME.advice(**remedy) if bad else "",
    )


def _is_on_path(control: Control) -> bool:
    if _OTHER.search(control.name):
        return False
    if control.percent is None and not _has_level_name(control):
        return False
    if control.direction == "microphone":
        return not _UNUSED_INPUT.search(control.name)
    # The volume of an input in the speaker is a sidetone.
    return not control.is_both and not _INPUT.search(control.name)


def _has_level_name(control: Control) -> bool:
    known = r"^(mic|microphone|capture|adc|master|pcm|speaker|head(phone|set)|front)\b"
    return bool(re.search(known, control.name, re.IGNORECASE))


def _is_bad(control: Control) -> bool:
    if control.is_on is False or control.percent == 0:
        return True
    is_speaker = control.direction == "speaker"
    return is_speaker and control.db is not None and control.db <= FAINT_DB
