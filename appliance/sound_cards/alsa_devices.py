"""Sound cards as the kernel lists them, also those that a program holds open.

PortAudio lists a card only while it can open it, so a card in use is not in its list.

Source: Linux, Documentation/sound/designs/procfile.rst: `cards`, `cardN/id`,
`cardN/usbid`, `cardN/pcmM{p,c}/info` and `.../subS/status`.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.device_access import join_group
from appliance.sound_cards.device_selection import chosen
from appliance.sound_cards.devices import (
    ALSA_CARDS,
    Device,
    Direction,
    kernel_paths,
    kernel_text,
    usb_port,
)
from appliance.sound_cards.status_reader import StatusReader

PROCESSES: Final = Path("/proc")
NODES: Final = Path("/dev/snd")
OURS: Final = "ptt-appliance"
"""Name under which this program is reported as the user of a card."""

_DIRECTIONS: Final[dict[str, Direction]] = {"c": "microphone", "p": "speaker"}
_ADDRESS: Final = re.compile(r"\(hw:(\d+),(\d+)\)")
"""End of the names that PortAudio gives to hardware devices."""
_status_reader = StatusReader()


def closed_pcms(cards: Path = ALSA_CARDS, processes: Path = PROCESSES) -> str:
    """Return a text that differs if other PCMs can be opened now than before.

    It does not depend on those that this program has open itself.
    """
    closed = (
        f"\n{pcm.parent.name}/{pcm.name}"
        for card in _cards(cards)
        for pcm in kernel_paths(card, "pcm*[cp]")
        if not _is_free(pcm, processes)
    )
    return "".join(closed)


def user_of(pcm: Path, processes: Path) -> str | None:
    """Return program and process id that hold the PCM open; empty if it is free.

    None: the PCM does not answer.
    """
    owner = _owner(pcm)
    return _program(owner, processes) if owner else owner


def is_allowed(nodes: str) -> bool:
    """Return whether all PCMs whose node has such a name may be opened."""
    return all(os.access(x, os.R_OK | os.W_OK) for x in kernel_paths(NODES, nodes))


def _is_free(pcm: Path, processes: Path) -> bool:
    """Return whether this program has the PCM open, or could open it."""
    owner = _owner(pcm)
    if owner is None:
        return False
    if owner:
        status = kernel_text(processes / owner / "status")
        groups = re.findall(r"^(?:Tgid|PPid):\s*(\d+)", status, re.MULTILINE)
        return str(os.getpid()) in groups
    return is_allowed(f"pcmC{pcm.parent.name[4:]}D{pcm.name[3:]}")


def _owner(pcm: Path) -> str | None:
    """Return the id of the thread that has the PCM open; empty if it is free.

    None: the PCM does not answer.
    """
    status = _status_reader.text(pcm)
    if status is None:
        return None
    owner = re.search(r"^owner_pid *: *(\d+)", status, re.MULTILINE)
    return owner[1] if owner else ""


def _program(thread_id: str, processes: Path) -> str:
    """Return the name and process id of a thread's program."""
    status = kernel_text(processes / thread_id / "status")
    group = re.search(r"^Tgid:\s*(\d+)", status, re.MULTILINE)
    process_id = group[1] if group else thread_id
    words = kernel_text(processes / process_id / "cmdline").split("\0")
    is_ours = OURS in {Path(word).name for word in words} or _is_module(words)
    name = OURS if is_ours else kernel_text(processes / process_id / "comm")
    return f"{name or 'another program'} (pid {process_id})"


def _is_module(words: list[str]) -> bool:
    pairs = pairwise(words)
    return any(x == "-m" and f"{y}.".startswith("appliance.") for x, y in pairs)


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
        for card in _cards(cards)
        for number in _pcm_numbers(card)
        for device in _missing(card, number, known[card.name[4:], number], processes)
    )


def in_use(
    preferred: tuple[str, ...],
    found: Iterable[Device],
    direction: Direction,
    cards: Path = ALSA_CARDS,
    processes: Path = PROCESSES,
) -> SoundError | None:
    """Return the error for a wanted device that is in use or stuck, else None.

    Args:
        preferred: as for `chosen`.
        found: devices listed by PortAudio, without the wanted one.
        direction: direction that is needed.
        cards: where ALSA describes its cards.
        processes: where the kernel describes processes.
    """
    used = tuple(x for x in unlisted(found, cards, processes) if not x.is_free)
    try:
        device = chosen(preferred, used, direction)
    except SoundError:
        return None
    if not device.used_by:
        return SoundError(device.stable_name, device.obstacle)
    reason = fault_table.CARD_IN_USE.text(user=device.used_by)
    return SoundError(device.stable_name, reason)


def _cards(cards: Path) -> list[Path]:
    return kernel_paths(cards, "card[0-9]*")


def _pcm_numbers(card: Path) -> list[str]:
    return sorted({path.name[3:-1] for path in kernel_paths(card, "pcm*[cp]")})


def _missing(
    card: Path, number: str, known: set[Direction], processes: Path
) -> Iterator[Device]:
    """Yield the unlisted directions of one PCM as one device per program using it."""
    directions: dict[str | None, set[Direction]] = defaultdict(set)
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
            used_by=user or "",
            is_stuck=user is None,
        )


def _obstacle(card: Path, number: str, user: str | None) -> str:
    """Return the likely reason why a PCM cannot be opened."""
    if user is None:
        return fault_table.CARD_STUCK.text(call=f"{card.name}/pcm{number}, status")
    if user:
        return fault_table.CARD_IN_USE.described(user=user)
    if is_allowed(f"pcmC{card.name[4:]}D{number}[cp]"):
        return fault_table.CARD_NOT_OPEN.text()
    return fault_table.CARD_NOT_ALLOWED.text(command=join_group("audio"))


def _name(card: Path, number: str) -> str:
    """Return the name that PortAudio would give the PCM."""
    pcms = kernel_paths(card, f"pcm{number}[cp]")
    info = "".join(kernel_text(pcm / "info") + "\n" for pcm in pcms)
    short = re.search(
        rf"^ *{card.name[4:]} \[.*\]: .*? - (.*)$",
        kernel_text(card.parent / "cards"),
        re.MULTILINE,
    )
    part = re.search(r"^name: (.*)$", info, re.MULTILINE)
    first = short[1] if short else kernel_text(card / "id")
    second = part[1] if part else "PCM"
    return f"{first}: {second} (hw:{card.name[4:]},{number})"
