import asyncio

import pytest

from appliance.config import ButtonsConfig, LampsConfig
from appliance.core.events import Button
from appliance.demo.hands import Hands
from appliance.panel.simulated import SimulatedPins

DEADLINE_S = 10.0
TALK_PIN = 17
LEAVE_PIN = 27


class Contact:
    """The talk button's contact, and how often it was closed."""

    def __init__(self, pins):
        self._pin = pins.factory.pin(TALK_PIN)

    @property
    def is_closed(self):
        return not self._pin.state

    async def until(self, *, is_closed):
        async with asyncio.timeout(DEADLINE_S):
            while self.is_closed is not is_closed:
                await asyncio.sleep(0)


@pytest.fixture
def pins():
    pins = SimulatedPins(ButtonsConfig(), LampsConfig())
    yield pins
    pins.factory.close()


async def test_a_key_is_a_tap(pins):
    contact = Contact(pins)
    Hands(pins).key(Button.TALK)
    assert contact.is_closed
    await contact.until(is_closed=False)


async def test_a_key_that_repeats_is_held_until_it_repeats_no_more(pins):
    contact, hands = Contact(pins), Hands(pins)
    hands.key(Button.TALK)
    hands.key(Button.TALK)
    assert not contact.is_closed
    await contact.until(is_closed=True)
    for _ in range(3):
        hands.key(Button.TALK)
        assert contact.is_closed
    await contact.until(is_closed=False)


async def test_two_quick_keys_are_two_taps(pins):
    pin = pins.factory.pin(LEAVE_PIN)
    pin.clear_states()
    hands = Hands(pins)
    for _ in range(3):
        # The third comes while the button is up between the first and the second.
        hands.key(Button.LEAVE)
    async with asyncio.timeout(DEADLINE_S):
        while len(pin.states) < 5:
            await asyncio.sleep(0)
    assert [state.state for state in pin.states] == [True, False, True, False, True]


async def test_a_button_stays_down_between_press_and_release(pins):
    contact, hands = Contact(pins), Hands(pins)
    hands.key(Button.TALK)
    hands.press(Button.TALK)
    hands.press(Button.TALK)
    assert contact.is_closed
    hands.release(Button.TALK)
    assert not contact.is_closed


async def test_a_button_that_is_not_wired_does_nothing(pins):
    hands = Hands(pins)
    hands.press(Button.NEXT_ROOM)
    hands.release(Button.NEXT_ROOM)
