"""Sound devices as PortAudio lists them, with the kernel's data, and the choice of one.

A device is chosen by name, ALSA id, USB id or USB port, never by index, which changes
with every hot-plug and every boot.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from appliance.core import fault_table
from appliance.core.events import Part
from appliance.errors import SoundError

Direction = Literal["microphone", "speaker"]
PARTS: Final[dict[Direction, Part]] = {
    "microphone": Part.MICROPHONE,
    "speaker": Part.SPEAKER,
}

ALSA_CARDS: Final = Path("/proc/asound")
"""Source: Linux, Documentation/sound/designs/procfile.rst: `cardN/id`, `usbid`."""
SHARED: Final = frozenset({"default", "pulse", "pipewire", "sysdefault", "dmix"})
"""ALSA names that stand for a sound server or a software mixer, not for one card."""
SERVERS: Final = frozenset({"pulse", "pipewire"})
"""Those that stand for a sound server."""
HARDWARE: Final = re.compile(r" \(hw:(\d+),(\d+)\)$")
"""End of the names that PortAudio gives to hardware devices: card and PCM."""
_ALSA_ID: Final = re.compile(r"(?:plug)?hw:(?:CARD=)?([A-Za-z_]\w*)(?:,.*)?")
"""ALSA's own way to name a card by its id."""


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
    at = rf"^ *{number} \[.*\n.* at (usb-[^ ,]+)"
    found = re.search(at, kernel_text(cards / "cards") + "\n", re.MULTILINE)
    return found[1] if found else ""


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


def chosen(
    preferred: tuple[str, ...], devices: tuple[Device, ...], direction: Direction
) -> Device:
    """Return the device that the first preferred name with a match selects.

    An exact match with a name or id goes before a partial one. Without names: a USB
    card, preferably with both directions; HDMI is the last of the cards.

    Raises:
        SoundError: no device matches; the error lists the devices that are there.
    """
    able = tuple(device for device in devices if device.channels(direction))
    if preferred:
        meant = [x for x in able if preference(preferred, x)[0] < len(preferred)]
        if not meant:
            there = ", ".join(f'"{x.stable_name}"' for x in able) or "nothing"
            reason = fault_table.CARD_NOT_FOUND.text(there=there, direction=direction)
            raise SoundError(" or ".join(preferred), reason)
        return min(meant, key=lambda device: preference(preferred, device))
    if not able:
        wanted = f"any {direction}"
        raise SoundError(wanted, fault_table.NO_CARD.text())
    has_server = any(device.name in SERVERS for device in able)
    return min(able, key=lambda device: _order(device, has_server=has_server))


def preference(preferred: tuple[str, ...], device: Device) -> tuple[int, bool]:
    """Return a sort key of the choice: index in the list, then exact before partial.

    A name such as `USB` is the id of one card and part of the name of others.
    """
    if not preferred:
        return int(not device.is_usb), False
    places = range(len(preferred))
    meant = (place for place in places if _is_meant(preferred[place], device))
    place = next(meant, len(preferred))
    return place, place < len(preferred) and not _is_exact(preferred[place], device)


def not_the_first(
    preferred: tuple[str, ...],
    device: Device,
    direction: Direction,
    *,
    has_usb: bool = False,
) -> str:
    """Return a notice that the device in use is not the first choice; empty if it is.

    `has_usb`: a USB card is or was there. If not, a card on the pin header needs no
    notice. HDMI, the headphone jack and a sound server always do.
    """
    if not preference(preferred, device)[0]:
        return ""
    if preferred:
        return fault_table.NOT_PREFERRED.text(wanted=preferred[0], direction=direction)
    if has_usb or device.is_hdmi or device.is_onboard or device.is_shared:
        return fault_table.NOT_USB.text(direction=direction)
    return ""


def _is_exact(wanted: str, device: Device) -> bool:
    ids = device.card_id, device.usb_id, device.usb_port
    names = {name.casefold() for name in (*ids, device.stable_name) if name}
    alsa = _ALSA_ID.fullmatch(wanted)
    return (alsa[1] if alsa else HARDWARE.sub("", wanted)).casefold() in names


def _is_meant(wanted: str, device: Device) -> bool:
    part = HARDWARE.sub("", wanted).casefold().strip()
    name = "" if device.is_plugin else device.stable_name.casefold()
    return (bool(part) and part in name) or _is_exact(wanted, device)


def _order(device: Device, *, has_server: bool) -> int:
    """Return the sort key for the choice without preferred names; the lowest is taken.

    HDMI is the last card: on a Raspberry Pi it is card 0 and, without a sound server,
    also ALSA's `default`. Other plugins stand for the same cards.
    """
    is_both = len(device.directions) > 1
    if device.is_usb:
        return 0 if is_both else 1
    if has_server and (device.is_default or device.name in SERVERS):
        return 2 if device.is_default else 3
    if not device.is_shared and not device.is_hdmi:
        return 4 if is_both else 5 + device.is_onboard
    if device.is_default:
        return 7
    return 8 if device.is_hdmi else 9
