"""Output of `ptt-appliance devices`: cards, their names and levels."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

from appliance.audio.devices import Device
from appliance.core import fault_table


def print_devices(
    devices: tuple[Device, ...],
    levels_of: Callable[[Device], str] = lambda _: "",
    *,
    as_json: bool,
) -> int:
    """Print the cards and the names to put into the configuration.

    Args:
        devices: to be printed.
        levels_of: returns the hardware levels of a device in words.
        as_json: print JSON, for scripts.
    """
    if as_json:
        facts = [
            asdict(x) | {"name": x.stable_name, "levels": levels_of(x)} for x in devices
        ]
        sys.stdout.write(json.dumps(facts) + "\n")
        return 0
    names = Counter(device.stable_name for device in devices)
    for device in devices:
        levels = levels_of(device)
        words = line(device, is_unique=names[device.stable_name] == 1)
        sys.stdout.write(words + (f"; {levels}" if levels else "") + "\n")
    if not devices:
        sys.stderr.write(f"no sound card found. {fault_table.NO_CARD.remedy}\n")
    return 0


def line(device: Device, *, is_unique: bool = True) -> str:
    """Return the line for one device; its quoted name fits into the configuration.

    That is the USB port for a card whose name another one has, too.
    """
    can = " and ".join(
        word
        for word, count in (
            ("microphone", device.microphone_channels),
            ("speaker", device.speaker_channels),
        )
        if count
    )
    rate = f"{device.rate_hz} Hz" if device.rate_hz else ""
    name = device.stable_name
    ids = (device.card_id, device.usb_id, device.usb_port)
    if not is_unique and device.usb_port:
        name, ids = device.usb_port, (device.stable_name, device.card_id, "")
    facts = (can, rate, *ids, device.obstacle)
    return f'"{name}": ' + ", ".join(fact for fact in facts if fact)
