"""Controls of the demo: a script and the keyboard press the simulated buttons."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final
from uuid import uuid4

from appliance.core.events import Button, ChatTyped
from appliance.core.view import ConnectionState, View
from appliance.panel.simulated import SimulatedPins
from appliance.ports import Post

REPLY_S: Final = 1.0
"""Pause for the answer to a chat message, which takes 0.1 s."""
REPETITION_S: Final = 8.0
"""Pause for the repetition of a talk, and some time after it."""

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
KEY_REPEAT_S: Final = 0.2
"""A held key repeats every 30-50 ms; separate presses are slower."""


class Script:
    """Script that sends a chat message and talks, again and again."""

    def __init__(
        self, pins: SimulatedPins, post: Post, speak: Callable[[], Awaitable[None]]
    ) -> None:
        """Start paused; `speak` returns when the talk button can be released."""
        self._pins = pins
        self._post = post
        self._speak = speak
        self._is_ready = asyncio.Event()
        self.is_pressing = False
        """Whether the script holds the talk button."""

    def see(self, view: View) -> None:
        """Let the script run only while the box is connected and not alone."""
        if view.connection is ConnectionState.CONNECTED and view.people:
            self._is_ready.set()
        else:
            self._is_ready.clear()

    async def run(self) -> None:
        """Have one exchange after the other until cancelled."""
        for number in count(1):
            await self._is_ready.wait()
            text = f"hello, this is line {number} of the demo"
            self._post(ChatTyped(uuid4().hex, text, time.time_ns() // 1_000_000))
            await asyncio.sleep(REPLY_S)
            self.is_pressing = True
            self._pins.press(Button.TALK)
            try:
                await self._speak()
            finally:
                self._pins.release(Button.TALK)
                self.is_pressing = False
            await asyncio.sleep(REPETITION_S)


class Keyboard:
    """Keys of the terminal as the simulated buttons. Thread: the event loop's.

    A terminal reports when a key is pressed, and repeats it while it is held, but never
    reports its release. Each key is therefore a short press of its button. The first
    talk key starts a talk; the next one, or the end of its repetition, ends it.
    """

    def __init__(self, pins: SimulatedPins, is_talking: Callable[[], bool]) -> None:
        """Start without a pressed key; `is_talking` returns whether a talk is on."""
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
        is_held = key == newest_key and now_s - newest_s < KEY_REPEAT_S
        self._newest = key, now_s
        if button is Button.TALK and (self._end or self._is_talking()):
            if self._end is not None:
                self._end.cancel()
            self._end = self._loop.call_later(KEY_REPEAT_S, self._end_talk)
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
