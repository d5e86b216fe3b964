"""Sound cards as a person reads them: the list of `devices`, and the card in use."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from appliance.audio.driver import Driver
from appliance.core import fault_table
from appliance.sound_cards.alsa_devices import (
    OURS,
    PROCESSES,
    AlsaCards,
    obstacle_error,
)
from appliance.sound_cards.devices import (
    ALSA_CARDS,
    Device,
    Direction,
    chosen,
    listed,
    not_the_first,
)


def all_devices(
    driver: Driver, cards: Path = ALSA_CARDS, processes: Path = PROCESSES
) -> tuple[Device, ...]:
    """Return the devices that PortAudio lists and those it cannot open now."""
    found = listed(driver.devices(), cards)
    return (*found, *AlsaCards(cards, processes).unlisted(found))


def card_name(
    preferred: tuple[str, ...], direction: Direction, devices: tuple[Device, ...]
) -> tuple[str, str]:
    """Return the device to use, with its user, and a notice if it is a second choice.

    Raises `SoundError` if there is none, or another program uses it.
    """
    device = chosen(preferred, devices, direction)
    if device.obstacle and not device.used_by.startswith(OURS):
        raise obstacle_error(device)
    has_usb = any(x.is_usb for x in devices if x.channels(direction))
    notice = not_the_first(preferred, device, direction, has_usb=has_usb)
    found = filter(None, (device.stable_name, device.obstacle))
    return ", ".join(found), notice


def print_devices(
    devices: tuple[Device, ...],
    volumes_of: Callable[[Device], str] = lambda _: "",
    *,
    as_json: bool,
) -> int:
    """Print the cards and the names to put into the configuration.

    `volumes_of` returns the volumes of a device's own mixer in words.
    """
    if as_json:
        facts = [
            asdict(x)
            | {"name": x.stable_name, "levels": volumes_of(x)}
            | {"is_default": x.is_default}
            for x in devices
        ]
        sys.stdout.write(json.dumps(facts) + "\n")
        return 0
    names = Counter(device.stable_name for device in devices)
    for device in devices:
        levels = volumes_of(device)
        words = line(device, is_unique=names[device.stable_name] == 1)
        sys.stdout.write(words + (f"; {levels}" if levels else "") + "\n")
    if not devices:
        sys.stderr.write(f"no sound card found. {fault_table.NO_CARD.remedy}\n")
    return 0


def line(device: Device, *, is_unique: bool = True) -> str:
    """Return the line for one device; its quoted name fits into the configuration.

    That is the USB port for a card whose name another one has, too.
    """
    can = " and ".join(sorted(device.directions))
    rate = f"{device.rate_hz} Hz" if device.rate_hz else ""
    name = device.stable_name
    ids = (device.card_id, device.usb_id, device.usb_port)
    if not is_unique and device.usb_port:
        name, ids = device.usb_port, (device.stable_name, device.card_id, "")
    facts = (can, rate, *ids, device.obstacle)
    return f'"{name}": ' + ", ".join(fact for fact in facts if fact)
