"""Keys of the terminal as the buttons."""

import asyncio

import pytest

from appliance.config import ButtonsConfig, LampsConfig
from appliance.core.events import Button
from appliance.demo.command import KEY_REPEAT_S, TAP_S, Keyboard
from appliance.panel.pins import SimulatedPins
from tests.clock import Clock


class Panel(SimulatedPins):
    """Simulated buttons; each press of the talk button starts or ends a talk."""

    def __init__(self, clock):
        super().__init__(ButtonsConfig(), LampsConfig())
        self.is_talking = False
        self.keyboard = Keyboard(self, lambda: self.is_talking)
        self.presses = []
        self._clock = clock

    def press(self, button):
        self.presses.append(button)
        self.is_talking ^= button is Button.TALK

    def release(self, button):
        self.presses.append(f"{button} released")

    async def wait(self, seconds):
        """Let so much of the loop's time pass, and everything happen that is due."""
        self._clock.now_s += seconds
        # A timer becomes due in one round of the loop, and is called in the next one.
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def panel(monkeypatch):
    """Return a panel on a loop whose time the test moves."""
    clock = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    return Panel(clock)


LATER_S = 0.001
"""Margin before and after a time."""
PRESS = [Button.TALK, "talk released"]


async def test_a_key_is_a_short_press_of_its_button(panel):
    assert panel.keyboard.press("l")
    assert panel.presses == [Button.LEAVE]
    await panel.wait(TAP_S + LATER_S)
    assert panel.presses == [Button.LEAVE, "leave released"]


async def test_the_talk_key_starts_a_talk_and_the_next_one_ends_it(panel):
    panel.keyboard.press(" ")
    await panel.wait(2 * KEY_REPEAT_S)
    assert panel.presses == PRESS
    panel.keyboard.press(" ")
    await panel.wait(KEY_REPEAT_S + LATER_S)
    await panel.wait(TAP_S + LATER_S)
    assert panel.presses == PRESS * 2
    assert not panel.is_talking


async def test_a_held_talk_key_talks_until_it_stops_repeating(panel):
    panel.keyboard.press(" ")
    for _ in range(5):
        await panel.wait(KEY_REPEAT_S - LATER_S)
        panel.keyboard.press(" ")
        assert panel.is_talking
    await panel.wait(KEY_REPEAT_S + LATER_S)
    await panel.wait(TAP_S + LATER_S)
    assert panel.presses == PRESS * 2
    assert not panel.is_talking


async def test_a_held_leave_key_leaves_once(panel):
    for _ in range(3):
        panel.keyboard.press("l")
        await panel.wait(KEY_REPEAT_S - LATER_S)
    assert panel.presses == [Button.LEAVE, "leave released"]


@pytest.mark.parametrize("key", ["x", "\r", "\x1b", "é"])
async def test_other_keys_press_nothing(key, panel):
    assert not panel.keyboard.press(key)
    assert panel.presses == []
