"""Selection of a sound device by name, ALSA id, USB id or USB port, never by index.

The index changes with every hot-plug and every boot.
"""

import re
from typing import Final

from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device, Direction, without_number

SERVERS: Final = frozenset({"pulse", "pipewire"})
"""The shared names that stand for a sound server."""
_ALSA_ID: Final = re.compile(r"(?:plug)?hw:(?:CARD=)?([A-Za-z_]\w*)(?:,.*)?")
"""ALSA's own way to name a card by its id."""


def chosen(
    preferred: tuple[str, ...], devices: tuple[Device, ...], direction: Direction
) -> Device:
    """Return the device that the first preferred name with a match selects.

    Args:
        preferred: names or ids in order of preference; an exact match goes before a
            partial one. Empty: a USB card, preferably with both directions; HDMI is
            the last of the cards.
        devices: devices that are there now.
        direction: direction that is needed.

    Raises:
        SoundError: no device matches; the error lists the devices that are there.
    """
    able = tuple(device for device in devices if device.channels(direction))
    if preferred:
        meant = [x for x in able if preference(preferred, x)[0] < len(preferred)]
        if not meant:
            raise _missing(preferred, able, direction)
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
    has_usb: bool = True,
) -> str:
    """Return a notice that the device in use is not the first choice; empty if it is.

    `has_usb`: a USB card is or was there. If not, a card on the pin header needs no
    notice. HDMI and the headphone jack always do, as does a sound server, because the
    USB card may be missing.
    """
    if not preference(preferred, device)[0]:
        return ""
    if preferred:
        return fault_table.NOT_PREFERRED.text(wanted=preferred[0], direction=direction)
    is_added = not (device.is_hdmi or device.is_onboard or device.is_shared)
    if is_added and not has_usb:
        return ""
    return fault_table.NOT_USB.text(direction=direction)


def _missing(
    preferred: tuple[str, ...], able: tuple[Device, ...], direction: Direction
) -> SoundError:
    there = ", ".join(f'"{device.stable_name}"' for device in able) or "nothing"
    reason = fault_table.CARD_NOT_FOUND.text(there=there, direction=direction)
    return SoundError(" or ".join(preferred), reason)


def _is_exact(wanted: str, device: Device) -> bool:
    ids = device.card_id, device.usb_id, device.usb_port
    names = {name.casefold() for name in (*ids, device.stable_name) if name}
    alsa = _ALSA_ID.fullmatch(wanted)
    return (alsa[1] if alsa else without_number(wanted)).casefold() in names


def _is_meant(wanted: str, device: Device) -> bool:
    part = without_number(wanted).casefold().strip()
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
