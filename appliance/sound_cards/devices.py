"""Sound devices as PortAudio and the kernel list them.

PortAudio lists a device only while it can open it: one that a program holds open is in
the kernel's list only.

Source: Linux, Documentation/sound/designs/procfile.rst: `cards`, `cardN/id`,
`cardN/usbid`, `cardN/pcmM{p,c}/info` and `.../subS/status`.
"""

import math
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Literal

from appliance.core import fault_table
from appliance.core.events import Part
from appliance.errors import SoundError
from appliance.process.device_access import join_group

Direction = Literal["microphone", "speaker"]
PARTS: Final[dict[Direction, Part]] = {
    "microphone": Part.MICROPHONE,
    "speaker": Part.SPEAKER,
}

ALSA_CARDS: Final = Path("/proc/asound")
SHARED: Final = frozenset({"default", "pulse", "pipewire", "sysdefault", "dmix"})
"""ALSA names that stand for a sound server or a software mixer, not for one card."""
HARDWARE: Final = re.compile(r" \(hw:(\d+),(\d+)\)$")
"""End of the names that PortAudio gives to hardware devices: card and PCM."""
PROCESSES: Final = Path("/proc")
NODES: Final = Path("/dev/snd")
OURS: Final = "ptt-appliance"
"""Name under which this program is reported as the user of a card."""
ANSWER_S: Final = 2.0
"""Time after which a PCM counts as stuck; the kernel answers at once. Our choice."""

_PCMS: Final = "pcm*[cp]"
_DIRECTIONS: Final[dict[str, Direction]] = {"c": "microphone", "p": "speaker"}


@dataclass(frozen=True, slots=True)
class Device:
    """One device as PortAudio lists it, with ALSA's data about its card."""

    name: str
    microphone_channels: int
    speaker_channels: int
    rate_hz: int
    """Preferred rate of the card."""
    card_id: str = ""
    """ALSA's short name, as in `hw:CARD=Device`."""
    usb_id: str = ""
    """vendor:product, four hexadecimal digits each."""
    usb_port: str = ""
    """Position of a USB card, as in `usb-0000:01:00.0-1.3`: the same at each boot, and
    the only difference between two cards of one kind."""
    obstacle: str = ""
    """Reason why PortAudio does not list the device; empty if it does."""
    used_by: str = ""
    """Program and process id that hold the device open."""
    is_stuck: bool = False
    """Whether the kernel does not answer for it."""
    is_plugin: bool = False
    """Whether it is a PCM of ALSA's configuration, such as `default` or `lavrate`, on a
    machine whose cards the kernel lists."""

    @property
    def stable_name(self) -> str:
        """The name without the card's number, which may change at the next boot."""
        return HARDWARE.sub("", self.name)

    @property
    def directions(self) -> set[Direction]:
        """Directions in which the device has channels."""
        return {direction for direction in PARTS if self.channels(direction)}

    @property
    def is_free(self) -> bool:
        """Whether no program has it open, as far as the kernel answers."""
        return not (self.used_by or self.is_stuck)

    @property
    def is_default(self) -> bool:
        """Whether the device is ALSA's `default`."""
        return self.name == "default"

    @property
    def is_shared(self) -> bool:
        """Whether the device is a sound server or another plugin, not a card."""
        return self.is_plugin or self.name in SHARED

    @property
    def is_usb(self) -> bool:
        """Whether the device is a USB card."""
        is_named = "usb" in self.name.casefold() and not self.is_plugin
        return bool(self.usb_id) or is_named

    @property
    def is_onboard(self) -> bool:
        """Whether the device is a Raspberry Pi's own headphone jack."""
        return "bcm2835" in self.name.casefold()

    @property
    def is_hdmi(self) -> bool:
        """Whether the device is an HDMI output."""
        return "hdmi" in self.name.casefold()

    def channels(self, direction: Direction) -> int:
        """Return the number of channels in this direction."""
        is_in = direction == "microphone"
        return self.microphone_channels if is_in else self.speaker_channels


def listed(
    found: Iterable[Mapping[str, object]], cards: Path = ALSA_CARDS
) -> tuple[Device, ...]:
    """Return the devices that `sounddevice.query_devices()` has found."""
    return tuple(_device(info, cards) for info in found)


def kernel_text(path: Path) -> str:
    """Return the content of a kernel file; empty where it is missing, or unplugged."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def kernel_paths(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a kernel folder that match a name pattern, sorted.

    Empty where the folder is missing: a card may be unplugged at any moment, for which
    `Path.glob` of Python 3.11 raises an error.
    """
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def usb_port(number: str, cards: Path) -> str:
    """Return the position of a USB card in the tree of ports; empty for other cards.

    Source: Linux, sound/usb/card.c, `usb_audio_make_longname`: "... at usb-BUS-PORT,
    full speed", the second line of each card in `/proc/asound/cards`.
    """
    text = kernel_text(cards / "cards")
    return _match(rf"^ *{number} \[.*\n.* at (usb-[^ ,]+)", text)


def _device(info: Mapping[str, object], cards: Path) -> Device:
    name = str(info["name"])
    address = HARDWARE.search(name)
    folder = cards / (f"card{address[1]}" if address else "none")
    rate_hz = float(str(info["default_samplerate"]))
    return Device(
        name=name,
        microphone_channels=int(str(info["max_input_channels"])),
        speaker_channels=int(str(info["max_output_channels"])),
        rate_hz=round(rate_hz) if math.isfinite(rate_hz) else 0,
        card_id=kernel_text(folder / "id"),
        usb_id=kernel_text(folder / "usbid").lower(),
        usb_port=usb_port(address[1], cards) if address else "",
        is_plugin=not address and bool(kernel_text(cards / "cards")),
    )


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
        return status and _match(r"^owner_pid *: *(\d+)", status)

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
        process_id = _match(r"^Tgid:\s*(\d+)", status) or thread_id
        folder = self._processes / process_id
        words = kernel_text(folder / "cmdline").split("\0")
        # The sound process has this name as an argument.
        is_ours = OURS in {Path(word).name for word in words}
        name = OURS if is_ours else kernel_text(folder / "comm")
        return f"{name or 'another program'} (pid {process_id})"


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
    short = _match(rf"^ *{card.name[4:]} \[.*\]: .*? - (.*)$", cards)
    first = short or kernel_text(card / "id")
    second = _match("^name: (.*)$", info) or "PCM"
    return f"{first}: {second} (hw:{card.name[4:]},{number})"


def _match(pattern: str, text: str) -> str:
    """Return the group of the first match; empty: there is none."""
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""
