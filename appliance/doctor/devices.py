"""List of the command `devices`, which imports nothing of the other checks."""

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from appliance.audio.driver import Driver
from appliance.core import fault_table
from appliance.sound_cards.devices import (
    ALSA_CARDS,
    PROCESSES,
    AlsaCards,
    Device,
    listed,
)


def all_devices(
    driver: Driver, cards: Path = ALSA_CARDS, processes: Path = PROCESSES
) -> tuple[Device, ...]:
    """Return the devices that PortAudio lists and those it cannot open now."""
    found = listed(driver.devices(), cards)
    return (*found, *AlsaCards(cards, processes).unlisted(found))


def print_devices(devices: tuple[Device, ...], *, as_json: bool) -> int:
    """Print the cards and the names to put into the configuration."""
    if as_json:
        facts = [
            asdict(x) | {"name": x.stable_name, "is_default": x.is_default}
            for x in devices
        ]
        sys.stdout.write(json.dumps(facts) + "\n")
        return 0
    names = Counter(device.stable_name for device in devices)
    for device in devices:
        words = line(device, is_unique=names[device.stable_name] == 1)
        sys.stdout.write(f"{words}\n")
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
