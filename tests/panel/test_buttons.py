"""Buttons on gpiozero's mock pins."""

import asyncio
import logging

import pytest
from gpiozero import OutputDevice
from gpiozero.exc import PinError
from gpiozero.pins.mock import MockFactory

from appliance.config import ButtonsConfig, LampsConfig, Pin
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    Event,
    Part,
    PartFound,
    PartLost,
)
from appliance.panel.buttons import QUIET_S, Buttons
from appliance.panel.pins import RETRY_S, SIMULATED_REVISION, PinSource, SimulatedPins
from tests.clock import Clock
from tests.panel.fakes import Inbox, MissingPins, failing_pin, stamped_pin

CONFIG = ButtonsConfig(volume_up=5, volume_down=Pin(pin=6, pull="down"))
TALK, LEAVE = Button.TALK, Button.LEAVE


class SimulatedButtons:
    """Buttons on simulated pins."""

    def __init__(self, config: ButtonsConfig = CONFIG) -> None:
        self.inbox = Inbox()
        self.clock = Clock()
        self.pins = SimulatedPins(config, LampsConfig(), stamped_pin(self.clock))
        self.buttons = Buttons(config, self.inbox.post, self.pins.source, self.clock)

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


async def test_hammering_on_a_button_that_bounces_is_no_floating_wire():
    """Ten presses a second for 5 s, with 20 ms of bounce at 1 kHz at each edge."""
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
        for number in range(100):
            for i in range(41):
                now_s = 1001.0 + number * 0.05 + i * 0.0005
                panel.press_at(now_s, TALK, is_down=(number + i) % 2 == 0)
            await asyncio.sleep(0)
        events = await panel.inbox.take(100)
        assert events == [ButtonPressed(TALK), ButtonReleased(TALK)] * 50


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
    pins = SimulatedPins(CONFIG, LampsConfig(), stamped_pin(stamps))
    async with Buttons(CONFIG, inbox.post, pins.source, clock):
        while pins.factory.pin(5).when_changed is None:
            await asyncio.sleep(0)
        stamps.now_s, clock.now_s = stamp_s, 1001.0
        pins.press(TALK)
        event = await inbox.next()
        assert isinstance(event, ButtonPressed)
        assert event.at_s == posted_s


async def test_a_press_whose_edges_all_come_late_is_one_press_with_its_own_times():
    stamps, clock, inbox = Clock(), Clock(), Inbox()
    pins = SimulatedPins(CONFIG, LampsConfig(), stamped_pin(stamps))
    async with Buttons(CONFIG, inbox.post, pins.source, clock):
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


async def test_a_button_that_is_stuck_at_boot_is_in_the_journal(caplog):
    panel = SimulatedButtons()
    panel.pins.press(LEAVE)
    async with panel.buttons:
        await panel.inbox.next()
    (record,) = [x for x in caplog.records if x.levelno >= logging.WARNING]
    assert record.getMessage() == "button is held down at the start  name=leave"


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
    inbox, factory = Inbox(), MockFactory(revision=SIMULATED_REVISION)
    config = ButtonsConfig(talk=Pin(pin=2, pull="down"), leave=None)
    async with Buttons(config, inbox.post, PinSource(lambda: factory)):
        lost = await inbox.next()
        assert isinstance(lost, PartLost)
        assert lost.name == "talk GPIO2"
        assert "pull" in lost.reason


async def test_a_pin_that_fails_while_pressed_is_released_and_reported():
    inbox, clock, failure = Inbox(), Clock(), list[Exception]()
    factory = MockFactory(revision=SIMULATED_REVISION, pin_class=failing_pin(failure))
    config = ButtonsConfig(talk=17, leave=None)
    async with Buttons(config, inbox.post, PinSource(lambda: factory), clock):
        wire = factory.pin(17)
        while wire.when_changed is None:
            await asyncio.sleep(0)
        wire.drive_low()
        assert await inbox.next() == ButtonPressed(TALK)
        failure.append(PinError("the chip has gone"))
        assert await inbox.next() == ButtonReleased(TALK, is_lost=True)
        lost = await inbox.next()
        assert lost == PartLost(Part.BUTTON, "talk GPIO17", "the chip has gone")
        failure.clear()
        clock.now_s += RETRY_S
        assert await inbox.next() == PartFound(Part.BUTTON, "talk GPIO17")


async def test_a_pin_that_fails_while_its_button_is_up_is_released_too():
    """A tap may have begun a talk that only this button can end."""
    inbox, failure = Inbox(), list[Exception]()
    factory = MockFactory(revision=SIMULATED_REVISION, pin_class=failing_pin(failure))
    config = ButtonsConfig(talk=17, leave=None)
    async with Buttons(config, inbox.post, PinSource(lambda: factory), Clock()):
        while factory.pin(17).when_changed is None:
            await asyncio.sleep(0)
        failure.append(PinError("the chip has gone"))
        assert await inbox.next() == ButtonReleased(TALK, is_lost=True)
        assert isinstance(await inbox.next(), PartLost)


class FloatingWire:
    """Talk button whose wire picks up hum of mains, on a running event loop."""

    def __init__(self, config: ButtonsConfig = CONFIG) -> None:
        self.panel = SimulatedButtons(config)

    async def hum(self, start_s: float, seconds: float, edges_per_s: int) -> None:
        wire = self.panel.pins.factory.pin(17)
        for i in range(int(seconds * edges_per_s)):
            self.panel.clock.now_s = start_s + i / edges_per_s
            wire.drive_low() if i % 2 == 0 else wire.drive_high()
            if i % 10 == 0:
                await asyncio.sleep(0)

    async def lost(self) -> tuple[list[Event], PartLost]:
        """Return the events up to the loss, and the loss."""
        events: list[Event] = []
        while not isinstance(event := await self.panel.inbox.next(), PartLost):
            events.append(event)
        return events, event


@pytest.mark.parametrize("edges_per_s", [100, 120, 1000, 10_000])
async def test_a_floating_wire_is_named_and_its_button_released(edges_per_s, caplog):
    wire = FloatingWire()
    async with wire.panel.buttons:
        await wire.panel.is_open()
        await wire.hum(1001.0, 5.0, edges_per_s)
        events, lost = await wire.lost()
        assert (lost.part, lost.name) == (Part.BUTTON, "talk GPIO17")
        assert lost.reason.startswith("its wire floats")
        assert events.pop() == ButtonReleased(TALK, is_lost=True)
        presses = [isinstance(event, ButtonPressed) for event in events]
        assert presses == [i % 2 == 0 for i in range(len(presses))]
        # The other buttons work.
        wire.panel.pins.press(LEAVE)
        assert await wire.panel.inbox.next() == ButtonPressed(LEAVE)
    assert [x.levelno for x in caplog.records if x.levelno > logging.DEBUG] == [
        logging.WARNING
    ]


async def test_the_edges_of_a_floating_wire_are_no_longer_taken_from_the_kernel():
    wire = FloatingWire()
    async with wire.panel.buttons:
        await wire.panel.is_open()
        await wire.hum(1001.0, 5.0, 1000)
        await wire.lost()
        assert wire.panel.pins.factory.pin(17).when_changed is None


async def test_a_wire_that_floats_for_a_minute_is_reported_once_and_presses_nothing():
    wire = FloatingWire()
    async with wire.panel.buttons:
        await wire.panel.is_open()
        await wire.hum(1001.0, 5.0, 100)
        await wire.lost()
        for again in range(4):
            await reopened(wire, 1010.0 + 10 * again)
            await wire.hum(1010.0 + 10 * again, 5.0, 100)
            while wire.panel.pins.factory.pin(17).when_changed is not None:
                await asyncio.sleep(0)
        wire.panel.pins.press(LEAVE)
        assert await wire.panel.inbox.next() == ButtonPressed(LEAVE)


async def test_a_wire_that_floats_no_more_is_found_and_its_button_works():
    wire = FloatingWire()
    async with wire.panel.buttons:
        await wire.panel.is_open()
        await wire.hum(1001.0, 5.0, 100)
        await wire.lost()
        wire.panel.pins.release(TALK)
        await reopened(wire, 1010.0)
        wire.panel.clock.now_s = 1010.0 + QUIET_S
        assert await wire.panel.inbox.next() == PartFound(Part.BUTTON, "talk GPIO17")
        wire.panel.press_at(1020.0, TALK, is_down=True)
        assert await wire.panel.inbox.next() == ButtonPressed(TALK)


async def test_a_wire_that_floats_no_more_is_trusted_within_three_seconds():
    wire = FloatingWire()
    async with wire.panel.buttons:
        await wire.panel.is_open()
        await wire.hum(1001.0, 5.0, 100)
        await wire.lost()
        wire.panel.pins.release(TALK)
        ended_s = wire.panel.clock.now_s
        while wire.panel.inbox.is_empty():
            wire.panel.clock.now_s += 0.1
            assert wire.panel.clock.now_s < ended_s + 3
            await asyncio.sleep(0.1)


async def reopened(wire: FloatingWire, now_s: float) -> None:
    """Let the time come, and return when the talk button's pin is open."""
    wire.panel.clock.now_s = now_s
    while wire.panel.pins.factory.pin(17).when_changed is None:
        await asyncio.sleep(0)


@pytest.mark.parametrize(("talk", "calls"), [(None, 0), (17, 1)])
async def test_without_buttons_no_pins_are_looked_for(talk, calls):
    pins = MissingPins()
    config = ButtonsConfig(talk=talk, leave=None)
    async with Buttons(config, Inbox().post, pins.source):
        await pins.had_time()
    assert pins.calls == calls


async def test_an_unexpected_error_ends_the_block_that_opened_the_buttons():
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with Buttons(CONFIG, Inbox().post, PinSource(broken)):
            await asyncio.Event().wait()


async def test_closing_twice_is_allowed_and_releases_the_pins():
    panel = SimulatedButtons()
    async with panel.buttons:
        await panel.is_open()
    await panel.buttons.__aexit__(None, None, None)
    OutputDevice(17, pin_factory=panel.pins.factory).close()
