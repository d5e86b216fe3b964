"""Hardware mixer of a card: the part of libasound's simple mixer that is needed.

libasound is loaded when the first mixer is opened; PortAudio has its own in another
process.

Source: alsa-lib 1.2, `mixer.h` ("Simple mixer interface") and `error.h`.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeAlias

from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.devices import Direction

LIBRARY: Final = "libasound.so.2"
CHANNELS: Final = (0, 1)
"""Front left, which is also the number of a mono channel, and front right."""
SILENT_DB: Final = -1000.0
"""Volumes below this are mute: libasound then returns a far lower number."""
Library: TypeAlias = Any
"""Functions of libasound, which ctypes does not know the types of."""
Pointer: TypeAlias = ctypes.c_void_p

WORDS: Final[dict[Direction, str]] = {"microphone": "capture", "speaker": "playback"}
"""ALSA's words for the directions."""
# Without it libasound writes to standard error; the arguments are not read.
_IGNORE: Final = ctypes.CFUNCTYPE(None)(lambda: None)


@dataclass(frozen=True, slots=True)
class Control:
    """One direction of one element of the mixer."""

    name: str
    """ALSA's name, for example `PCM`."""
    direction: Direction
    percent: int | None = None
    """Part of the range, of the lowest channel; None: only a switch."""
    db: float | None = None
    """None: the driver does not say it."""
    is_on: bool | None = None
    """None: no switch."""
    index: int = 0
    """Distinguishes elements of the same name."""
    is_both: bool = False
    """Whether the element has volumes of both directions."""
    element: Pointer | None = field(default=None, compare=False, repr=False)
    """The element, of a control that the card's mixer has returned."""


class CardMixer:
    """Open mixer of one card. Thread: any, one at a time."""

    def __init__(self, library: Library, handle: Pointer) -> None:
        """Use an open handle; `opened` makes one."""
        self._library = library
        self._handle = handle

    def controls(self) -> tuple[Control, ...]:
        """Return every volume and switch of the card."""
        found: list[Control] = []
        address = self._library.snd_mixer_first_elem(self._handle)
        while address:
            element = Pointer(address)
            if self._library.snd_mixer_selem_is_active(element):
                both = (self._control(element, direction) for direction in WORDS)
                found += filter(None, both)
            address = self._library.snd_mixer_elem_next(element)
        return tuple(found)

    def set(self, wanted: Control, percent: int) -> bool:
        """Set the volume of a control and switch it on; return whether it changed.

        Raises:
            SoundError: the card refuses.
        """
        way, element, is_changed = wanted.direction, wanted.element, False
        if wanted.percent is not None:
            least, most = self._range(way, element)
            volume = ctypes.c_long(round(least + (most - least) * percent / 100))
            values = self._channels(way, "get_{}_volume", element, ctypes.c_long)
            if set(values) != {volume.value}:
                self._write(wanted, "set_{}_volume_all", volume)
                is_changed = True
        if wanted.is_on is False:
            self._write(wanted, "set_{}_switch_all", 1)
            is_changed = True
        return is_changed

    def _control(self, element: Pointer, direction: Direction) -> Control | None:
        volumes = {x for x in WORDS if self._call(x, "has_{}_volume", element)}
        has_volume = direction in volumes
        has_switch = self._call(direction, "has_{}_switch", element)
        if not has_volume and not has_switch:
            return None
        name: bytes = self._library.snd_mixer_selem_get_name(element)
        return Control(
            name=name.decode(errors="replace"),
            direction=direction,
            percent=self._percent(direction, element) if has_volume else None,
            db=self._db(direction, element) if has_volume else None,
            is_on=self._is_on(direction, element) if has_switch else None,
            index=self._library.snd_mixer_selem_get_index(element),
            is_both=len(volumes) == len(WORDS),
            element=element,
        )

    def _percent(self, direction: Direction, element: Pointer) -> int | None:
        least, most = self._range(direction, element)
        values = self._channels(direction, "get_{}_volume", element, ctypes.c_long)
        if most <= least or not values:
            return None
        return round((min(values) - least) * 100 / (most - least))

    def _db(self, direction: Direction, element: Pointer) -> float | None:
        values = self._channels(direction, "get_{}_dB", element, ctypes.c_long)
        db = min(values) / 100 if values else SILENT_DB
        return db if db > SILENT_DB else None

    def _is_on(self, direction: Direction, element: Pointer) -> bool:
        return all(self._channels(direction, "get_{}_switch", element, ctypes.c_int))

    def _channels(
        self,
        direction: Direction,
        name: str,
        element: Pointer | None,
        kind: "type[ctypes.c_int | ctypes.c_long]",
    ) -> list[int]:
        """Return the value of each channel that can be read."""
        values = []
        for channel in CHANNELS:
            value = kind()
            if not self._call(direction, "has_{}_channel", element, channel):
                continue
            if self._call(direction, name, element, channel, ctypes.byref(value)) >= 0:
                values.append(value.value)
        return values

    def _range(self, direction: Direction, element: Pointer | None) -> tuple[int, int]:
        least, most = ctypes.c_long(), ctypes.c_long()
        pointers = ctypes.byref(least), ctypes.byref(most)
        self._call(direction, "get_{}_volume_range", element, *pointers)
        return least.value, most.value

    def _write(self, control: Control, name: str, value: object) -> None:
        error = self._call(control.direction, name, control.element, value)
        _check(self._library, control.name, error)

    def _call(self, direction: Direction, name: str, *arguments: object) -> int:
        """Call a function of an element; `{}` in its name is the direction."""
        full = f"snd_mixer_selem_{name.format(WORDS[direction])}"
        result: int = getattr(self._library, full)(*arguments)
        return result


@contextmanager
def opened(card_id: str) -> Iterator[CardMixer]:
    """Open the mixer of a card; it may block as long as the card's driver does.

    Raises:
        SoundError: there is no such card, or it has no mixer.
    """
    library = loaded()
    before = library.snd_lib_error_set_local(_IGNORE)
    handle = Pointer()
    try:
        _check(library, card_id, library.snd_mixer_open(ctypes.byref(handle), 0))
        name = f"hw:{card_id}".encode()
        _check(library, card_id, library.snd_mixer_attach(handle, name))
        _check(library, card_id, library.snd_mixer_selem_register(handle, None, None))
        _check(library, card_id, library.snd_mixer_load(handle))
        yield CardMixer(library, handle)
    finally:
        if handle:
            library.snd_mixer_close(handle)
        library.snd_lib_error_set_local(Pointer(before))


@cache
def loaded(name: str = LIBRARY) -> Library:
    """Return the library with the types of its results.

    Raises:
        SoundError: it is missing, or has not the functions that are needed.
    """
    try:
        library = ctypes.CDLL(name)
        for function in ("snd_mixer_first_elem", "snd_mixer_elem_next"):
            getattr(library, function).restype = ctypes.c_void_p
        for function in ("snd_mixer_selem_get_name", "snd_strerror"):
            getattr(library, function).restype = ctypes.c_char_p
        library.snd_lib_error_set_local.restype = ctypes.c_void_p
    except (OSError, AttributeError) as exc:
        reason = fault_table.SOUND_LIBRARY.text(error=exc)
        raise SoundError(name, reason) from exc
    return library


def _check(library: Library, name: str, error: int) -> None:
    if error < 0:
        words = library.snd_strerror(error).decode(errors="replace")
        raise SoundError(name, fault_table.MIXER_FAILED.text(error=words))
