"""List of the sound cards for the commands `devices` and `doctor`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from appliance.audio.alsa_cards import OURS, PROCESSES, unlisted
from appliance.audio.devices import (
    ALSA_CARDS,
    Device,
    Direction,
    chosen,
    listed,
    not_the_first,
)
from appliance.audio.driver import Driver
from appliance.errors import SoundError


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
        notice = not_the_first(wishes, device, direction)
        return ", ".join(filter(None, (device.stable_name, device.obstacle, notice)))
    advice = ": stop that program" if device.used_by else ""
    raise SoundError(device.stable_name, f"{device.obstacle}{advice}")


def print_devices(devices: tuple[Device, ...], *, as_json: bool) -> int:
    """Print the cards and the names to put into the configuration."""
    if as_json:
        facts = [asdict(x) | {"name": x.stable_name} for x in devices]
        sys.stdout.write(json.dumps(facts) + "\n")
        return 0
    for device in devices:
        sys.stdout.write(line(device) + "\n")
    if not devices:
        sys.stderr.write("no sound card found. Plug in a USB sound card.\n")
    return 0


def line(device: Device) -> str:
    """Return the line for one device; its quoted name fits into the configuration."""
    can = " and ".join(
        word
        for word, count in (
            ("microphone", device.microphone_channels),
            ("speaker", device.speaker_channels),
        )
        if count
    )
    rate = f"{device.rate_hz} Hz" if device.rate_hz else ""
    facts = (can, rate, device.card_id, device.usb_id, device.obstacle)
    return f'"{device.stable_name}": ' + ", ".join(fact for fact in facts if fact)
