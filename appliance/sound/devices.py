"""Which card is meant: by name, ALSA id or USB number, never by index (R2.2)."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from appliance.errors import SoundError

Direction = Literal["microphone", "speaker"]

ALSA_CARDS: Final = Path("/proc/asound")
"""Source: Linux, Documentation/sound/designs/procfile.rst: `cardN/id`, `usbid`."""
SHARED: Final = frozenset({"default", "pulse", "pipewire", "sysdefault", "dmix"})
"""ALSA names behind which a sound server or a mixer sits, not one card."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device as PortAudio lists it, with what ALSA knows of its card."""

    index: int
    """Good until the next hot-plug: never kept."""
    name: str
    microphone_channels: int
    speaker_channels: int
    rate_hz: int
    """What the card prefers."""
    card_id: str = ""
    """ALSA's short name, as in `hw:CARD=Device`."""
    usb_id: str = ""
    """vendor:product, four hexadecimal digits each."""
    is_default: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether it is a sound server rather than a card."""
        return self.name in SHARED

    def channels(self, direction: Direction) -> int:
        """Return how many channels it has in this direction."""
        is_in = direction == "microphone"
        return self.microphone_channels if is_in else self.speaker_channels


def listed(
    found: Iterable[Mapping[str, object]], cards: Path = ALSA_CARDS
) -> tuple[Device, ...]:
    """Return the devices.

    Args:
        found: `sounddevice.query_devices()`.
        cards: where ALSA describes its cards.
    """
    return tuple(_device(index, info, cards) for index, info in enumerate(found))


def chosen(
    wishes: tuple[str, ...], devices: tuple[Device, ...], direction: Direction
) -> Device:
    """Return the device that the first possible wish means.

    Args:
        wishes: in order; empty: the first USB card, else the default device.
        devices: what there is now.
        direction: what it is needed for.

    Raises:
        SoundError: there is none; the sentence lists what there is.
    """
    able = tuple(device for device in devices if device.channels(direction))
    for wish in wishes:
        for device in able:
            if _is_meant(wish, device):
                return device
    if wishes:
        raise _missing(wishes, able, direction)
    for device in (*_usb(able), *_default(able), *able):
        return device
    wanted = f"any {direction}"
    raise SoundError(wanted, "no card has one. Plug in a USB sound card.")


def is_best(wishes: tuple[str, ...], device: Device) -> bool:
    """Return whether no other card could be wished for more."""
    return _is_meant(wishes[0], device) if wishes else bool(_usb((device,)))


def card_name(wishes: tuple[str, ...], direction: Direction) -> str:
    """Return the name of the device that the box would use now.

    Raises:
        SoundError: there is none, or PortAudio cannot say; the sentence says why.
    """
    return chosen(wishes, _found_now(), direction).name


def print_devices(*, as_json: bool) -> int:
    """Print the cards and the names to put into the configuration.

    Raises:
        SoundError: PortAudio cannot say.
    """
    devices = _found_now()
    if as_json:
        sys.stdout.write(json.dumps([asdict(device) for device in devices]) + "\n")
        return 0
    for device in devices:
        sys.stdout.write(_line(device) + "\n")
    if not devices:
        sys.stderr.write("no sound card found. Plug in a USB sound card.\n")
    return 0


def _found_now() -> tuple[Device, ...]:
    # Only the commands need it: `run` imports PortAudio on the card's thread.
    from appliance.sound.portaudio import PortAudio

    return listed(PortAudio().devices())


def _missing(
    wishes: tuple[str, ...], able: tuple[Device, ...], direction: Direction
) -> SoundError:
    there = ", ".join(f'"{device.name}"' for device in able) or "nothing"
    reason = f"not there; there is {there}. Plug it in or change sound.{direction}."
    return SoundError(" or ".join(wishes), reason)


def _device(index: int, info: Mapping[str, object], cards: Path) -> Device:
    name = str(info["name"])
    number = re.search(r"\(hw:(\d+)", name)
    folder = cards / f"card{number[1]}" if number else None
    return Device(
        index=index,
        name=name,
        microphone_channels=int(str(info["max_input_channels"])),
        speaker_channels=int(str(info["max_output_channels"])),
        rate_hz=round(float(str(info["default_samplerate"]))),
        card_id=_told(folder, "id"),
        usb_id=_told(folder, "usbid").lower(),
        is_default=name == "default",
    )


def _told(folder: Path | None, name: str) -> str:
    if folder is None:
        return ""
    try:
        return (folder / name).read_text().strip()
    except OSError:
        # Cards without the file are not USB cards, or were unplugged just now.
        return ""


def _is_meant(wish: str, device: Device) -> bool:
    wish = wish.casefold()
    exact = {device.card_id.casefold(), device.usb_id} - {""}
    return wish in exact or wish in device.name.casefold()


def _usb(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    return tuple(x for x in devices if x.usb_id or "usb" in x.name.casefold())


def _default(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    return tuple(device for device in devices if device.is_default)


def _line(device: Device) -> str:
    can = " and ".join(
        word
        for word, count in (
            ("microphone", device.microphone_channels),
            ("speaker", device.speaker_channels),
        )
        if count
    )
    facts = (can, f"{device.rate_hz} Hz", device.card_id, device.usb_id)
    return f'"{device.name}": ' + ", ".join(fact for fact in facts if fact)
