"""Keys of the terminal, and the script that presses for nobody."""

import asyncio

import pytest

from appliance.config import ButtonsConfig, LampsConfig
from appliance.core.events import Button
from appliance.demo.run import KEY_REPEAT_S, Keyboard
from appliance.panel.simulated import SimulatedPins

DEADLINE_S = 10.0


class Panel(SimulatedPins):
    """Simulated buttons; each press of the talk button starts or ends a talk."""

    def __init__(self):
        super().__init__(ButtonsConfig(), LampsConfig())
        self.is_talking = False
        self.keyboard = Keyboard(self, lambda: self.is_talking)
        self.presses = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def press(self, button):
        self.presses.append(button)
        self.is_talking ^= button is Button.TALK
        self._changed.set()

    def release(self, button):
        self.presses.append(f"{button} released")
        self._changed.set()

    async def until(self, presses):
        async with asyncio.timeout(DEADLINE_S):
            while self.presses != presses:
                self._changed.clear()
                await self._changed.wait()


PRESS = [Button.TALK, "talk released"]


async def test_a_key_is_a_short_press_of_its_button():
    panel = Panel()
    assert panel.keyboard.press("l")
    await panel.until([Button.LEAVE, "leave released"])


async def test_the_talk_key_starts_a_talk_and_the_next_one_ends_it():
    panel = Panel()
    panel.keyboard.press(" ")
    await panel.until(PRESS)
    panel.keyboard.press(" ")
    await panel.until(PRESS * 2)
    assert not panel.is_talking


async def test_a_held_talk_key_talks_until_it_stops_repeating():
    panel = Panel()
    panel.keyboard.press(" ")
    for _ in range(5):
        await asyncio.sleep(KEY_REPEAT_S / 5)
        panel.keyboard.press(" ")
        assert panel.is_talking
    await panel.until(PRESS * 2)
    assert not panel.is_talking


async def test_a_held_leave_key_leaves_once():
    panel = Panel()
    for _ in range(3):
        panel.keyboard.press("l")
    await panel.until([Button.LEAVE, "leave released"])


@pytest.mark.parametrize("key", ["x", "\r", "\x1b", "é"])
async def test_other_keys_press_nothing(key):
    panel = Panel()
    assert not panel.keyboard.press(key)
    assert panel.presses == []
