"""Devices chosen for microphone and speaker, and detection of better ones."""

from collections.abc import Mapping
from dataclasses import replace

from appliance.config import SoundConfig
from appliance.core import fault_table
from appliance.core.events import PartFound
from appliance.errors import SoundError
from appliance.sound_cards.alsa_devices import AlsaCards, unlisted_error
from appliance.sound_cards.devices import (
    PARTS,
    SHARED,
    Device,
    Direction,
    chosen,
    not_the_first,
    preference,
)


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
        return tuple(_only(*used) for used in self._used.items())

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


def _only(direction: Direction, device: Device) -> Device:
    """Return the device with this direction only."""
    if direction == "microphone":
        return replace(device, speaker_channels=0)
    return replace(device, microphone_channels=0)
