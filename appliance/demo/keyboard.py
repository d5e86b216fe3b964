"""Keyboard of the terminal as the simulated buttons.

A terminal reports when a key is pressed, and repeats it while it is held, but never
reports its release. Each key is therefore a short press of its button. The first talk
key starts a talk; the next one, or the end of the first one's repetition, ends it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from appliance.core.events import Button
from appliance.panel.simulated import SimulatedPins

HINT: Final = "space talk  l leave/rejoin  n page  + - volume  q quit"
BUTTONS: Final = {
    " ": Button.TALK,
    "l": Button.LEAVE,
    "n": Button.NEXT_PAGE,
    "+": Button.VOLUME_UP,
    "-": Button.VOLUME_DOWN,
}
QUIT: Final = frozenset({"q", "\x04"})
"""The latter is Ctrl-D."""
TAP_S: Final = 0.06
"""Longer than the debounce time, shorter than a held press."""
REPEAT_S: Final = 0.2
"""A held key repeats every 30-50 ms; separate presses are slower."""


class Keyboard:
    """Translator of keys to presses of the simulated buttons.

    Thread: the event loop's.
    """

    def __init__(self, pins: SimulatedPins, is_talking: Callable[[], bool]) -> None:
        """Prepare; `is_talking` returns whether a talk is in progress."""
        self._pins = pins
        self._is_talking = is_talking
        self._loop = asyncio.get_running_loop()
        self._newest = ("", float("-inf"))
        self._end: asyncio.TimerHandle | None = None

    def press(self, key: str) -> bool:
        """Handle one key; return whether it has a button."""
        button = BUTTONS.get(key)
        if button is None:
            return False
        now_s = self._loop.time()
        newest_key, newest_s = self._newest
        is_held = key == newest_key and now_s - newest_s < REPEAT_S
        self._newest = key, now_s
        if button is Button.TALK and (self._end or self._is_talking()):
            if self._end is not None:
                self._end.cancel()
            self._end = self._loop.call_later(REPEAT_S, self._end_talk)
        elif not is_held:
            self._tap(button)
        return True

    def _end_talk(self) -> None:
        self._end = None
        if self._is_talking():
            self._tap(Button.TALK)

    def _tap(self, button: Button) -> None:
        self._pins.press(button)
        self._loop.call_later(TAP_S, self._pins.release, button)
