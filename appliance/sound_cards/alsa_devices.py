"""Sound cards as the kernel lists them, also those that a program holds open.

PortAudio lists a card only while it can open it, so a card in use is not in its list.

Source: Linux, Documentation/sound/designs/procfile.rst: `cards`, `cardN/id`,
`cardN/usbid`, `cardN/pcmM{p,c}/info` and `.../subS/status`.
"""

import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.device_access import join_group
from appliance.sound_cards.devices import (
    ALSA_CARDS,
    HARDWARE,
    Device,
    Direction,
    chosen,
    kernel_paths,
    kernel_text,
    usb_port,
)

PROCESSES: Final = Path("/proc")
NODES: Final = Path("/dev/snd")
OURS: Final = "ptt-appliance"
"""Name under which this program is reported as the user of a card."""
ANSWER_S: Final = 2.0
"""Time after which a PCM counts as stuck; the kernel answers at once. Our choice."""

_PCMS: Final = "pcm*[cp]"
_DIRECTIONS: Final[dict[str, Direction]] = {"c": "microphone", "p": "speaker"}


class AlsaCards:
    """Cards that the kernel lists, and who has them open. Thread: one at a time."""

    def __init__(self, cards: Path = ALSA_CARDS, processes: Path = PROCESSES) -> None:
        self._cards = cards
        self._processes = processes
        self._unanswered: dict[Path, SimpleQueue[str]] = {}
        """Status of PCMs that did not answer, once they do."""

    def listing(self) -> str:
        """Return ALSA's list of cards; empty where there is none to read."""
        return kernel_text(self._cards / "cards")

    def unlisted(self, found: Iterable[Device] = ()) -> tuple[Device, ...]:
        """Return the directions of cards that PortAudio has not found, as devices."""
        known: dict[tuple[str, str], set[Direction]] = defaultdict(set)
        for device in found:
            address = HARDWARE.search(device.name)
            if address:
                known[address[1], address[2]] |= device.directions
        return tuple(
            device
            for card in kernel_paths(self._cards, "card[0-9]*")
            for number in sorted({x.name[3:-1] for x in kernel_paths(card, _PCMS)})
            for device in self._missing(card, number, known[card.name[4:], number])
        )

    def _missing(
        self, card: Path, number: str, known: set[Direction]
    ) -> Iterator[Device]:
        """Yield the unlisted directions of one PCM, a device per program using it."""
        directions: dict[str | None, set[Direction]] = defaultdict(set)
        for letter, direction in _DIRECTIONS.items():
            pcm = card / f"pcm{number}{letter}"
            if direction not in known and pcm.is_dir():
                owner = self._owner(pcm)
                directions[self._program(owner) if owner else owner].add(direction)
        for user, missing in directions.items():
            yield Device(
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

    def _owner(self, pcm: Path) -> str | None:
        """Return the thread that has the PCM open; empty: free; None: no answer."""
        status = self._status(pcm)
        if status is None:
            return None
        owner = re.search(r"^owner_pid *: *(\d+)", status, re.MULTILINE)
        return owner[1] if owner else ""

    def _status(self, pcm: Path) -> str | None:
        """Return the status of all substreams of a PCM; None: no answer.

        A PCM whose driver is stuck holds a lock that reading its status waits for, and
        nothing can interrupt that: only a daemon thread waits. Such a PCM costs no more
        time, and no other thread, until it answers.
        """
        answer, limit_s = self._unanswered.pop(pcm, None), 0.0
        if answer is None:
            answer, limit_s = SimpleQueue[str](), ANSWER_S
            threading.Thread(
                target=_read, args=(pcm, answer), name="card status", daemon=True
            ).start()
        try:
            return answer.get(timeout=limit_s)
        except Empty:
            self._unanswered[pcm] = answer
            return None

    def _program(self, thread_id: str) -> str:
        """Return the name and process id of a thread's program."""
        status = kernel_text(self._processes / thread_id / "status")
        group = re.search(r"^Tgid:\s*(\d+)", status, re.MULTILINE)
        process_id = group[1] if group else thread_id
        folder = self._processes / process_id
        words = kernel_text(folder / "cmdline").split("\0")
        # The sound process has this name as an argument.
        is_ours = OURS in {Path(word).name for word in words}
        name = OURS if is_ours else kernel_text(folder / "comm")
        return f"{name or 'another program'} (pid {process_id})"


def unlisted_error(
    preferred: tuple[str, ...], hidden: Iterable[Device], direction: Direction
) -> SoundError | None:
    """Return why PortAudio does not list a wanted device; None: nor does the kernel.

    `hidden` are the devices that only the kernel lists, from `AlsaCards.unlisted`.
    """
    # An HDMI output without a screen cannot be opened, and is as good as not there.
    there = (x for x in hidden if not (x.is_free and x.is_hdmi))
    try:
        device = chosen(preferred, tuple(there), direction)
    except SoundError:
        return None
    return obstacle_error(device)


def obstacle_error(device: Device) -> SoundError:
    """Return why a device with an obstacle cannot be opened, and the remedy."""
    if not device.used_by:
        return SoundError(device.stable_name, device.obstacle)
    reason = fault_table.CARD_IN_USE.text(user=device.used_by)
    return SoundError(device.stable_name, reason)


def _read(pcm: Path, answer: SimpleQueue[str]) -> None:
    subs = kernel_paths(pcm, "sub*")
    answer.put("\n".join(kernel_text(sub / "status") for sub in subs))


def _obstacle(card: Path, number: str, user: str | None) -> str:
    """Return the likely reason why a PCM cannot be opened."""
    if user is None:
        return fault_table.CARD_STUCK.text(call=f"{card.name}/pcm{number}, status")
    if user:
        return fault_table.CARD_IN_USE.described(user=user)
    nodes = kernel_paths(NODES, f"pcmC{card.name[4:]}D{number}[cp]")
    if all(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return fault_table.CARD_NOT_OPEN.text()
    return fault_table.CARD_NOT_ALLOWED.text(command=join_group("audio"))


def _name(card: Path, number: str) -> str:
    """Return the name that PortAudio would give the PCM."""
    pcms = kernel_paths(card, f"pcm{number}[cp]")
    info = "".join(kernel_text(pcm / "info") + "\n" for pcm in pcms)
    cards = kernel_text(card.parent / "cards")
    short = re.search(rf"^ *{card.name[4:]} \[.*\]: .*? - (.*)$", cards, re.MULTILINE)
    part = re.search(r"^name: (.*)$", info, re.MULTILINE)
    first = short[1] if short else kernel_text(card / "id")
    second = part[1] if part else "PCM"
    return f"{first}: {second} (hw:{card.name[4:]},{number})"
