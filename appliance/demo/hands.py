"""Fingers on the simulated buttons.

A terminal tells when a key goes down, and again and again while it is held, but never
when it comes up. So a key is a tap, and the talk key is held while it repeats.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from appliance.core.events import Button
from appliance.panel.simulated import SimulatedPins

TAP_S: Final = 0.06
"""Longer than contacts bounce, shorter than what counts as holding."""
REPEAT_S: Final = 0.15
"""Keys of a held key follow each other in 30-50 ms, fingers are slower."""
HELD_S: Final = 0.25
"""After the last repetition the key has come up."""
AGAIN_S: Final = 0.03
"""Between release and press: longer than contacts bounce."""


class Hands:
    """Press what the keys mean.

    Thread: the loop's.
    """

    def __init__(self, pins: SimulatedPins) -> None:
        """Touch nothing yet."""
        self._pins = pins
        self._timers: dict[Button, asyncio.TimerHandle] = {}
        self._coming: set[Button] = set()
        """Buttons that are up for a moment, before they are tapped again."""
        self._talk_key_s = float("-inf")
        self._is_held = False

    def key(self, button: Button) -> None:
        """Do what one key press means."""
        if button is not Button.TALK:
            self._tap(button)
            return
        now_s = asyncio.get_running_loop().time()
        is_repeated = now_s - self._talk_key_s < REPEAT_S
        self._talk_key_s = now_s
        if not is_repeated:
            self._tap(button)
        elif self._is_held:
            self._later(HELD_S, button, self._let_go)
        else:
            self._hold()

    def press(self, button: Button) -> None:
        """Push the button down, until `release`."""
        self._forget(button)
        self._pins.press(button)

    def release(self, button: Button) -> None:
        """Let it come up."""
        self._forget(button)
        self._pins.release(button)

    def _tap(self, button: Button) -> None:
        """Press and release; a button still down from the last tap comes up first."""
        if button in self._coming:
            return
        if button not in self._timers:
            self._tap_now(button)
            return
        self.release(button)
        self._coming.add(button)
        self._later(AGAIN_S, button, lambda: self._tap_now(button))

    def _tap_now(self, button: Button) -> None:
        self.press(button)
        self._later(TAP_S, button, lambda: self.release(button))

    def _hold(self) -> None:
        """Begin a press of its own: the first repetitions have tapped already."""
        self._is_held = True
        self.release(Button.TALK)
        self._later(AGAIN_S, Button.TALK, self._press_held)

    def _press_held(self) -> None:
        self.press(Button.TALK)
        self._later(HELD_S, Button.TALK, self._let_go)

    def _let_go(self) -> None:
        self._is_held = False
        self.release(Button.TALK)

    def _later(self, wait_s: float, button: Button, deed: Callable[[], None]) -> None:
        self._forget(button)
        loop = asyncio.get_running_loop()
        self._timers[button] = loop.call_later(wait_s, deed)

    def _forget(self, button: Button) -> None:
        self._coming.discard(button)
        if timer := self._timers.pop(button, None):
            timer.cancel()
