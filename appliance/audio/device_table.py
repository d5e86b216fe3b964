"""Output of `ptt-appliance devices`: cards, their names and levels."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from appliance.audio.devices import Device


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
    for device in devices:
        levels = levels_of(device)
        sys.stdout.write(line(device) + (f"; {levels}" if levels else "") + "\n")
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
