"""List of the sound cards, also of those that a program holds open.

PortAudio lists a card only while it can open it, so a card in use is not in its list.

Source: Linux, Documentation/sound/designs/procfile.rst: `cards`, `cardN/id`,
`cardN/usbid`, `cardN/pcmM{p,c}/info` and `.../subS/status`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from appliance.audio.devices import (
    ALSA_CARDS,
    Device,
    Direction,
    chosen,
    kernel_text,
    listed,
    not_the_first,
    usb_port,
)
from appliance.audio.driver import Driver
from appliance.audio.pcm_users import OURS, PROCESSES, is_allowed, user_of
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.group_access import join_group

_DIRECTIONS: Final[dict[str, Direction]] = {"c": "microphone", "p": "speaker"}
_ADDRESS: Final = re.compile(r"\(hw:(\d+),(\d+)\)")
"""End of the names that PortAudio gives to hardware devices."""


def unlisted(
    found: Iterable[Device], cards: Path = ALSA_CARDS, processes: Path = PROCESSES
) -> tuple[Device, ...]:
    """Return the directions of cards that PortAudio does not list, as devices.

    Args:
        found: devices listed by PortAudio.
        cards: where ALSA describes its cards.
        processes: where the kernel describes processes.
    """
    known: dict[tuple[str, str], set[Direction]] = defaultdict(set)
    for device in found:
        address = _ADDRESS.search(device.name)
        if address:
            known[address[1], address[2]] |= device.directions
    return tuple(
        device
        for card in sorted(cards.glob("card[0-9]*"))
        for number in _pcm_numbers(card)
        for device in _missing(card, number, known[card.name[4:], number], processes)
    )


def in_use(
    wishes: tuple[str, ...],
    found: Iterable[Device],
    direction: Direction,
    cards: Path = ALSA_CARDS,
    processes: Path = PROCESSES,
) -> SoundError | None:
    """Return the error for a wanted device that a program holds open, else None.

    Args:
        wishes: as for `chosen`.
        found: devices listed by PortAudio, without the wanted one.
        direction: direction that is needed.
        cards: where ALSA describes its cards.
        processes: where the kernel describes processes.
    """
    used = tuple(x for x in unlisted(found, cards, processes) if x.used_by)
    try:
        device = chosen(wishes, used, direction)
    except SoundError:
        return None
    reason = fault_table.CARD_IN_USE.text(user=device.used_by)
    return SoundError(device.stable_name, reason)


def all_devices(
    driver: Driver, cards: Path = ALSA_CARDS, processes: Path = PROCESSES
) -> tuple[Device, ...]:
    """Return the devices that PortAudio lists and those it cannot open now.

    Raises:
        SoundError: PortAudio cannot list its devices.
    """
    found = listed(driver.devices(), cards)
    return (*found, *unlisted(found, cards, processes))


def card_name(
    wishes: tuple[str, ...], direction: Direction, devices: tuple[Device, ...]
) -> str:
    """Return the name of the device in use, or of the one that would be used now.

    Raises:
        SoundError: there is none, or another program uses it.
    """
    device = chosen(wishes, devices, direction)
    if not device.obstacle or device.used_by.startswith(OURS):
        has_usb = any(x.is_usb for x in devices if x.channels(direction))
        notice = not_the_first(wishes, device, direction, has_usb=has_usb)
        return ", ".join(filter(None, (device.stable_name, device.obstacle, notice)))
    if device.used_by:
        reason = fault_table.CARD_IN_USE.text(user=device.used_by)
        raise SoundError(device.stable_name, reason)
    raise SoundError(device.stable_name, device.obstacle)


def _pcm_numbers(card: Path) -> list[str]:
    return sorted({path.name[3:-1] for path in card.glob("pcm*[cp]")})


def _missing(
    card: Path, number: str, known: set[Direction], processes: Path
) -> Iterator[Device]:
    """Yield the unlisted directions of one PCM as one device per program using it."""
    directions: dict[str, set[Direction]] = defaultdict(set)
    for letter, direction in _DIRECTIONS.items():
        pcm = card / f"pcm{number}{letter}"
        if direction not in known and pcm.is_dir():
            directions[user_of(pcm, processes)].add(direction)
    for user, missing in directions.items():
        yield Device(
            index=-1,
            name=_name(card, number),
            microphone_channels=int("microphone" in missing),
            speaker_channels=int("speaker" in missing),
            rate_hz=0,
            card_id=kernel_text(card / "id"),
            usb_id=kernel_text(card / "usbid").lower(),
            usb_port=usb_port(card.name[4:], card.parent),
            obstacle=_obstacle(card, number, user),
            used_by=user,
        )


def _obstacle(card: Path, number: str, user: str) -> str:
    """Return the likely reason why a PCM cannot be opened."""
    if user:
        return fault_table.CARD_IN_USE.found(user=user)
    if is_allowed(f"pcmC{card.name[4:]}D{number}[cp]"):
        return fault_table.CARD_NOT_OPEN.text()
    return fault_table.CARD_NOT_ALLOWED.text(command=join_group("audio"))


def _name(card: Path, number: str) -> str:
    """Return the name that PortAudio would give the PCM."""
    info = "".join(
        kernel_text(pcm / "info") + "\n" for pcm in card.glob(f"pcm{number}[cp]")
    )
    short = re.search(
        rf"^ *{card.name[4:]} \[.*\]: .*? - (.*)$",
        kernel_text(card.parent / "cards"),
        re.MULTILINE,
    )
    part = re.search(r"^name: (.*)$", info, re.MULTILINE)
    first = short[1] if short else kernel_text(card / "id")
    second = part[1] if part else "PCM"
    return f"{first}: {second} (hw:{card.name[4:]},{number})"
