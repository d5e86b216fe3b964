"""Buttons on gpiozero's mock pins."""

import asyncio

import pytest
from gpiozero import OutputDevice
from gpiozero.exc import PinError
from gpiozero.pins.mock import MockFactory

from appliance.config import ButtonsConfig, LampsConfig, Pin
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    Part,
    PartFound,
    PartLost,
)
from appliance.panel.buttons import Buttons
from appliance.panel.pins import RETRY_S
from appliance.panel.simulated import REVISION, SimulatedPins
from tests.clock import Clock
from tests.panel.fakes import NO_PINS, Inbox, MissingPins, failing_pin

CONFIG = ButtonsConfig(volume_up=5, volume_down=Pin(pin=6, pull="down"))
TALK, LEAVE = Button.TALK, Button.LEAVE


class SimulatedButtons:
    """Buttons on simulated pins."""

    def __init__(self, config: ButtonsConfig = CONFIG) -> None:
        self.inbox = Inbox()
        self.clock = Clock()
        self.pins = SimulatedPins(config, LampsConfig(), self.clock)
        self.buttons = Buttons(
            config, self.inbox.post, self.pins.open_factory, self.clock
        )

    async def is_open(self) -> None:
        """Return when the pins are read: a press of another button comes through."""
        wire = self.pins.factory.pin(5)
        while wire.when_changed is None:
            await asyncio.sleep(0)

    def press_at(self, now_s: float, button: Button, *, is_down: bool) -> None:
        self.clock.now_s = now_s
        (self.pins.press if is_down else self.pins.release)(button)


async def test_a_press_and_its_release_are_posted():
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
        panel.press_at(1001.0, TALK, is_down=True)
        panel.press_at(1002.0, TALK, is_down=False)
        assert await panel.inbox.take(2) == [
            ButtonPressed(TALK),
            ButtonReleased(TALK),
        ]


async def test_edges_come_from_threads_of_gpiozero():
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
        await asyncio.to_thread(panel.pins.press, LEAVE)
        assert await panel.inbox.next() == ButtonPressed(LEAVE)


async def test_a_button_that_is_wired_to_3_3_v_is_pressed_when_high():
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
        panel.pins.press(Button.VOLUME_DOWN)
        assert panel.pins.factory.pin(6).state
        assert await panel.inbox.next() == ButtonPressed(Button.VOLUME_DOWN)


async def test_fifty_presses_a_second_for_three_seconds_all_come_through_in_order():
    panel = SimulatedButtons()
    wanted = []
    async with panel.buttons:
        await panel.is_open()
        for i in range(150):
            panel.press_at(1001.0 + i * 0.02, TALK, is_down=True)
            panel.press_at(1001.01 + i * 0.02, TALK, is_down=False)
            wanted += [ButtonPressed(TALK), ButtonReleased(TALK)]
        assert await panel.inbox.take(300) == wanted


async def test_bounce_is_one_press():
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
        for i in range(41):
            panel.press_at(1001.0 + i * 0.0005, TALK, is_down=i % 2 == 0)
        assert await panel.inbox.next() == ButtonPressed(TALK)
        panel.press_at(1001.1, TALK, is_down=False)
        assert await panel.inbox.next() == ButtonReleased(TALK)


async def test_a_tap_shorter_than_the_bounce_is_released_when_it_is_quiet():
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
        panel.press_at(1001.0, TALK, is_down=True)
        panel.press_at(1001.002, TALK, is_down=False)
        assert await panel.inbox.next() == ButtonPressed(TALK)
        panel.clock.now_s = 1001.2
        assert await panel.inbox.next() == ButtonReleased(TALK)


@pytest.mark.parametrize(
    ("stamp_s", "posted_s"), [(1000.9, 1000.9), (941.0, 1001.0), (1061.0, 1001.0)]
)
async def test_an_edge_has_the_stamp_of_the_kernel_unless_it_is_of_another_clock(
    stamp_s, posted_s
):
    stamps, clock, inbox = Clock(), Clock(), Inbox()
    pins = SimulatedPins(CONFIG, LampsConfig(), stamps)
    async with Buttons(CONFIG, inbox.post, pins.open_factory, clock):
        while pins.factory.pin(5).when_changed is None:
            await asyncio.sleep(0)
        stamps.now_s, clock.now_s = stamp_s, 1001.0
        pins.press(TALK)
        event = await inbox.next()
        assert isinstance(event, ButtonPressed)
        assert event.at_s == posted_s


async def test_a_press_whose_edges_all_come_late_is_one_press_with_its_own_times():
    stamps, clock, inbox = Clock(), Clock(), Inbox()
    pins = SimulatedPins(CONFIG, LampsConfig(), stamps)
    async with Buttons(CONFIG, inbox.post, pins.open_factory, clock):
        while pins.factory.pin(5).when_changed is None:
            await asyncio.sleep(0)
        for at_s, is_down in ((0.0, True), (0.003, False), (0.006, True), (1.0, False)):
            stamps.now_s, clock.now_s = 1001.0 + at_s, 1001.09 + at_s
            (pins.press if is_down else pins.release)(TALK)
            await asyncio.sleep(0)
        pressed, released = await inbox.take(2)
        assert isinstance(pressed, ButtonPressed)
        assert isinstance(released, ButtonReleased)
        assert (pressed.at_s, released.at_s) == (1001.0, 1002.0)


async def test_a_button_that_is_pressed_at_boot_is_posted_as_such():
    panel = SimulatedButtons()
    panel.pins.press(TALK)
    async with panel.buttons:
        assert await panel.inbox.next() == ButtonPressed(TALK, is_at_boot=True)
        await panel.is_open()
        panel.pins.release(TALK)
        assert await panel.inbox.next() == ButtonReleased(TALK)


async def test_a_busy_pin_is_reported_once_and_found_when_it_is_free():
    panel = SimulatedButtons()
    other = OutputDevice(17, pin_factory=panel.pins.factory)
    async with panel.buttons:
        lost = await panel.inbox.next()
        assert isinstance(lost, PartLost)
        assert (lost.part, lost.name) == (Part.BUTTON, "talk GPIO17")
        assert "already in use" in lost.reason
        await panel.is_open()
        panel.pins.press(LEAVE)
        assert await panel.inbox.next() == ButtonPressed(LEAVE)
        other.close()
        panel.clock.now_s += RETRY_S
        assert await panel.inbox.next() == PartFound(Part.BUTTON, "talk GPIO17")
        panel.pins.press(TALK)
        assert await panel.inbox.next() == ButtonPressed(TALK)


async def test_a_pin_without_the_wanted_resistor_is_reported():
    inbox, factory = Inbox(), MockFactory(revision=REVISION)
    config = ButtonsConfig(talk=Pin(pin=2, pull="down"), leave=None)
    async with Buttons(config, inbox.post, lambda: factory):
        lost = await inbox.next()
        assert isinstance(lost, PartLost)
        assert lost.name == "talk GPIO2"
        assert "pull" in lost.reason


async def test_a_pin_that_fails_while_pressed_is_released_and_reported():
    inbox, clock, failure = Inbox(), Clock(), list[Exception]()
    factory = MockFactory(revision=REVISION, pin_class=failing_pin(failure))
    config = ButtonsConfig(talk=17, leave=None)
    async with Buttons(config, inbox.post, lambda: factory, clock):
        wire = factory.pin(17)
        while wire.when_changed is None:
            await asyncio.sleep(0)
        wire.drive_low()
        assert await inbox.next() == ButtonPressed(TALK)
        failure.append(PinError("the chip has gone"))
        assert await inbox.next() == ButtonReleased(TALK)
        lost = await inbox.next()
        assert lost == PartLost(Part.BUTTON, "talk GPIO17", "the chip has gone")
        failure.clear()
        clock.now_s += RETRY_S
        assert await inbox.next() == PartFound(Part.BUTTON, "talk GPIO17")


async def test_a_machine_without_pins_is_reported_once():
    inbox, clock = Inbox(), Clock()
    tries = []

    def no_pins():
        tries.append(clock.now_s)
        raise NO_PINS

    async with Buttons(CONFIG, inbox.post, no_pins, clock):
        assert await inbox.next() == PartLost(Part.BUTTON, "GPIO", "this is no Pi")
        clock.now_s += RETRY_S
        while len(tries) < 2:
            await asyncio.sleep(0.01)
        inbox.post(ButtonPressed(TALK))
        assert await inbox.next() == ButtonPressed(TALK)


@pytest.mark.parametrize(("talk", "calls"), [(None, 0), (17, 1)])
async def test_without_buttons_no_pins_are_looked_for(talk, calls):
    pins = MissingPins()
    config = ButtonsConfig(talk=talk, leave=None)
    async with Buttons(config, Inbox().post, pins.open_factory):
        await pins.had_time()
    assert pins.calls == calls


async def test_an_unexpected_error_ends_the_block_that_opened_the_buttons():
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with Buttons(CONFIG, Inbox().post, broken):
            await asyncio.Event().wait()


async def test_closing_twice_is_allowed_and_releases_the_pins():
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
    await panel.buttons.__aexit__(None, None, None)
    OutputDevice(17, pin_factory=panel.pins.factory).close()
