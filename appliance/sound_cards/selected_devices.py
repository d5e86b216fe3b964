"""Devices chosen for microphone and speaker, and detection of better ones."""

from collections.abc import Iterable, Mapping

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
        self._preferred: dict[Direction, tuple[str, ...]] = {}
        """Preferred names for each direction that the box is to have."""
        if config.microphone != "none":
            self._preferred["microphone"] = config.microphone
        if config.speaker != "none":
            self._preferred["speaker"] = config.speaker
        self.is_any_wanted = bool(self._preferred)
        """Whether the box is to have a microphone or a speaker."""
        self._alsa = alsa or AlsaCards()
        self._devices: tuple[Device, ...] = ()
        """Devices that PortAudio listed at the last choice."""
        self._plugins: set[str] = set()
        """Names of plugins that PortAudio has listed, in lower case."""
        self._used: dict[Direction, Device] = {}
        self._known_usb: set[Direction] = set()
        """Directions for which there has been a USB card."""
        self.listed: frozenset[str] = frozenset()
        """Names of all devices at the last choice, those in use elsewhere included."""
        self._unopened: frozenset[str] = frozenset()
        """Names of the free cards that PortAudio did not list after the last search."""
        self._refused: frozenset[str] = frozenset()
        """Those that it did not list after the search before either: a new card cannot
        be opened before udev has set its permissions."""
        self._obstacles: dict[Direction, str] = {}
        """Notices about programs that hold a better device open."""

    def list_cards(self) -> str:
        """Return `AlsaCards.listing`, which differs when a search may find more."""
        return self._alsa.listing()

    def choose(
        self, devices: tuple[Device, ...]
    ) -> tuple[dict[Direction, Device], dict[Direction, SoundError]]:
        """Return the device for each direction, and why there is none for the others.

        `devices` is PortAudio's list after a search.
        """
        self._devices = devices
        self._plugins |= {x.name.casefold() for x in devices if x.is_plugin}
        hidden = self._alsa.unlisted(devices)
        unopened = frozenset(x.stable_name for x in hidden if x.is_free)
        self._refused, self._unopened = self._unopened & unopened, unopened
        return self._choose(hidden)

    def _choose(
        self, hidden: tuple[Device, ...]
    ) -> tuple[dict[Direction, Device], dict[Direction, SoundError]]:
        """Return what `choose` returns, and update the notices."""
        devices = self._devices
        for device in (*devices, *hidden):
            self._known_usb |= device.directions if device.is_usb else set()
        self.listed = frozenset(x.stable_name for x in (*devices, *hidden))
        # Others were plugged in after the search, and may well work.
        named = [x for x in hidden if not x.is_free or x.stable_name in self._refused]
        found: dict[Direction, Device] = {}
        missing: dict[Direction, SoundError] = {}
        for direction, preferred in self._preferred.items():
            try:
                found[direction] = chosen(preferred, devices, direction)
            except SoundError as exc:
                error = unlisted_error(preferred, named, direction)
                missing[direction] = error or exc
        self._obstacles = {
            direction: fault_table.FIRST_IN_USE.text(
                name=other.stable_name, user=other.used_by
            )
            for direction, device in found.items()
            for other in hidden
            if other.used_by and other.channels(direction)
            if preference(self._preferred[direction], other)
            < preference(self._preferred[direction], device)
        }
        return found, missing

    def missing_now(self) -> dict[Direction, SoundError]:
        """Return why directions are missing, and update the notices, without a search.

        A program that was named may have ended, or its card is unplugged.
        """
        return self._choose(self._alsa.unlisted(self._devices))[1]

    def missing_all(
        self, exc: SoundError, *, is_stuck: bool = False
    ) -> dict[Direction, SoundError]:
        """Return the same reason for each direction.

        `is_stuck`: the search for cards did not end, or crashed. A card is at fault
        then, most likely the one that would be used.
        """
        if not is_stuck:
            return dict.fromkeys(self._preferred, exc)
        return {
            direction: SoundError(self._expected(direction) or exc.part, exc.reason)
            for direction in self._preferred
        }

    def _expected(self, direction: Direction) -> str:
        """Return the name of the card that the kernel's list suggests; else empty."""
        there = self._alsa.unlisted()
        try:
            return chosen(self._preferred[direction], there, direction).stable_name
        except SoundError:
            used = self._used.get(direction)
            return "" if used is None else used.stable_name

    def use(
        self, found: Mapping[Direction, Device], opened: Iterable[Direction]
    ) -> None:
        """Remember the devices that were opened."""
        self._used = {direction: found[direction] for direction in opened}

    def notice(self, direction: Direction) -> str:
        """Return a notice if the device in use is not the first choice, else empty."""
        preferred, has_usb = self._preferred[direction], direction in self._known_usb
        used = self._used[direction]
        notice = not_the_first(preferred, used, direction, has_usb=has_usb)
        return self._obstacles.get(direction, notice)

    def found(self) -> dict[Direction, PartFound]:
        """Return the event for each device in use."""
        return {
            way: PartFound(PARTS[way], device.stable_name, self.notice(way))
            for way, device in self._used.items()
        }

    @property
    def is_best(self) -> bool:
        """Whether each device in use is the first choice."""
        is_first = not any(self._rank(direction)[0] for direction in self._used)
        return is_first and not self._obstacles

    def is_better_listed(self) -> bool:
        """Return whether the kernel lists a better device that no program uses.

        True also where the kernel has no list, because it cannot be known then.
        """
        if not self.list_cards():
            return True
        free = [device for device in self._alsa.unlisted() if device.is_free]
        # These may start, or be there, although the kernel does not list them.
        known = SHARED | self._plugins
        return any(
            any(name.casefold() in known for name in self._better(direction))
            or any(
                preference(preferred, device) < self._rank(direction)
                for device in free
                if device.channels(direction)
            )
            for direction, preferred in self._preferred.items()
        )

    def is_plugin_wanted(self) -> bool:
        """Return whether a better choice is no card of the kernel's list.

        It may be a plugin, which PortAudio lists while the plugin's card is there.
        """
        there = self._alsa.unlisted()
        return any(
            all(preference((name,), device)[0] for device in there)
            for direction in self._preferred
            for name in self._better(direction)
        )

    def _better(self, direction: Direction) -> tuple[str, ...]:
        """Return the preferred names before the one of the device in use."""
        return self._preferred[direction][: self._rank(direction)[0]]

    def _rank(self, direction: Direction) -> tuple[int, bool]:
        """Return the preference of the device in use; if none is, a worse one."""
        preferred, used = self._preferred[direction], self._used.get(direction)
        if used is not None:
            return preference(preferred, used)
        # Without preferred names it is 0 for a USB card and 1 for any other.
        return len(preferred) or 2, False
