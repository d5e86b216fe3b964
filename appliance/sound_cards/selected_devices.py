"""Choice of the devices for microphone and speaker, and detection of better ones.

A device is chosen by name, ALSA id, USB id or USB port, never by index, which changes
with every hot-plug and every boot.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from appliance.config import SoundConfig
from appliance.core import fault_table
from appliance.core.events import PartFound
from appliance.errors import SoundError
from appliance.sound_cards.devices import (
    HARDWARE,
    PARTS,
    SHARED,
    AlsaCards,
    Device,
    Direction,
    obstacle_error,
)

SERVERS: Final = frozenset({"pulse", "pipewire"})
"""ALSA names that stand for a sound server."""
_ALSA_ID: Final = re.compile(r"(?:plug)?hw:(?:CARD=)?([A-Za-z_]\w*)(?:,.*)?")
"""ALSA's own way to name a card by its id."""


class SelectedDevices:
    """Devices chosen by the configuration, and those in use. Thread: the card's."""

    def __init__(self, config: SoundConfig, alsa: AlsaCards | None = None) -> None:
        """Read the preferred names; by default the cards are those of this machine."""
        self.wanted: dict[Direction, tuple[str, ...]] = {}
        """Preferred names for each direction that the box is to have."""
        if config.microphone != "none":
            self.wanted["microphone"] = config.microphone
        if config.speaker != "none":
            self.wanted["speaker"] = config.speaker
        self._alsa = alsa or AlsaCards()
        self._used: dict[Direction, Device] = {}
        self._known_usb: set[Direction] = set()
        """Directions for which there has been a USB card."""
        self.listed: frozenset[str] = frozenset()
        """Names of all devices at the last choice, those in use elsewhere included."""
        self._obstacles: dict[Direction, str] = {}
        """Notices about programs that hold a better device open."""

    def list_cards(self) -> str:
        """Return the kernel's list of cards; empty where there is none to read."""
        return self._alsa.listing()

    def choose(
        self, devices: tuple[Device, ...]
    ) -> tuple[dict[Direction, Device], dict[Direction, SoundError]]:
        """Return the device for each direction, and why there is none for the others.

        `devices` is PortAudio's list after a search, in which those in use are missing.
        """
        # Of two that are equally good the first is chosen, and so stays open.
        devices = (*self._in_use(), *devices)
        hidden = self._alsa.unlisted(devices)
        self.listed = frozenset(x.stable_name for x in (*devices, *hidden))
        for device in (*devices, *hidden):
            self._known_usb |= device.directions if device.is_usb else set()
        found: dict[Direction, Device] = {}
        missing: dict[Direction, SoundError] = {}
        for direction, preferred in self.wanted.items():
            try:
                found[direction] = chosen(preferred, devices, direction)
            except SoundError as exc:
                missing[direction] = unlisted_error(preferred, hidden, direction) or exc
        self._obstacles = {
            direction: fault_table.FIRST_IN_USE.text(
                name=other.stable_name, user=other.used_by
            )
            for direction, device in found.items()
            for other in hidden
            if other.used_by and other.channels(direction)
            if preference(self.wanted[direction], other)
            < preference(self.wanted[direction], device)
        }
        return found, missing

    def _in_use(self) -> tuple[Device, ...]:
        """Return the devices that are open, with the directions that are."""
        microphone, speaker = self._used.get("microphone"), self._used.get("speaker")
        if microphone and speaker and microphone.name == speaker.name:
            channels = microphone.microphone_channels
            return (replace(speaker, microphone_channels=channels),)
        only = (
            microphone and replace(microphone, speaker_channels=0),
            speaker and replace(speaker, microphone_channels=0),
        )
        return tuple(filter(None, only))

    def use(self, devices: Mapping[Direction, Device]) -> None:
        """Remember the devices that are open."""
        self._used = dict(devices)

    def found(self) -> dict[Direction, PartFound]:
        """Return the event for each device in use, with a notice about better ones."""
        return {
            way: PartFound(
                PARTS[way],
                device.stable_name,
                self._obstacles.get(way)
                or not_the_first(
                    self.wanted[way], device, way, has_usb=way in self._known_usb
                ),
            )
            for way, device in self._used.items()
        }

    @property
    def is_best(self) -> bool:
        """Whether each device in use is the first choice."""
        is_first = not any(self._rank(direction)[0] for direction in self._used)
        return is_first and not self._obstacles

    def is_better_listed(self) -> bool:
        """Return whether the kernel lists a better device that no program uses.

        True also where the kernel has no list, because it cannot be known then, and
        where a sound server is preferred, which may start at any time.
        """
        if not self.list_cards():
            return True
        free = [device for device in self._alsa.unlisted() if device.is_free]
        return any(
            any(name.casefold() in SHARED for name in preferred[: self._rank(way)[0]])
            or any(
                preference(preferred, device) < self._rank(way)
                for device in free
                # Without a screen it cannot be opened.
                if device.channels(way) and (preferred or not device.is_hdmi)
            )
            for way, preferred in self.wanted.items()
        )

    def _rank(self, direction: Direction) -> tuple[int, bool]:
        """Return the preference of the device in use; if none is, a worse one."""
        preferred, used = self.wanted[direction], self._used.get(direction)
        if used is not None:
            return preference(preferred, used)
        # Without preferred names it is 0 for a USB card and 1 for any other.
        return len(preferred) or 2, False


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
