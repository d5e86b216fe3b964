"""Lamps on gpiozero's mock pins."""

import asyncio
from dataclasses import replace

import pytest
from gpiozero import InputDevice
from gpiozero.exc import PinError
from gpiozero.pins.mock import MockFactory

from appliance.config import ButtonsConfig, LampsConfig, Pin
from appliance.core.events import Part, PartFound, PartLost
from appliance.core.view import Lamps as Lit
from appliance.core.view import View
from appliance.panel.lamps import Lamps
from appliance.panel.simulated import REVISION, SimulatedPins
from tests.panel.fakes import Inbox, MissingPins, failing_pin
from tests.pictures.situations import SILENT

CONFIG = LampsConfig(online=22, talking=Pin(pin=23, active="low"), fault=24)


def view(**lit: bool) -> View:
    return replace(SILENT, lamps=Lit(**lit))


class Box:
    """Lamps on simulated pins."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.pins = SimulatedPins(ButtonsConfig(), CONFIG)
        self.lamps = Lamps(
            CONFIG, self.inbox.post, self.pins.open_factory, retry_s=0.01
        )

    async def is_open(self) -> None:
        while self.pins.factory.pin(24).function != "output":
            await asyncio.sleep(0)


async def test_lamps_follow_the_view_whatever_their_polarity():
    box = Box()
    async with box.lamps:
        await box.is_open()
        assert box.pins.lit() == set()
        box.lamps.show(view(online=True, talking=True))
        assert box.pins.lit() == {"online", "talking"}
        assert not box.pins.factory.pin(23).state
        box.lamps.show(view(online=True, receiving=True))
        assert box.pins.lit() == {"online"}


async def test_a_lamp_that_is_opened_late_shows_the_newest_view():
    box = Box()
    async with box.lamps:
        box.lamps.show(view(fault=True))
        await box.is_open()
        assert box.pins.lit() == {"fault"}


async def test_only_changes_are_written():
    box = Box()
    async with box.lamps:
        await box.is_open()
        wire = box.pins.factory.pin(22)
        wire.clear_states()
        for _ in range(5):
            box.lamps.show(view(online=True))
        assert len(wire.states) == 2


async def test_a_busy_pin_is_reported_and_the_others_work():
    box = Box()
    other = InputDevice(22, pin_factory=box.pins.factory)
    async with box.lamps:
        await box.is_open()
        lost = await box.inbox.next()
        assert isinstance(lost, PartLost)
        assert (lost.part, lost.name) == (Part.LAMP, "online GPIO22")
        box.lamps.show(view(online=True, fault=True))
        assert box.pins.lit() == {"fault"}
        other.close()
        assert await box.inbox.next() == PartFound(Part.LAMP, "online GPIO22")
        assert box.pins.lit() == {"online", "fault"}


async def test_a_lamp_that_fails_is_reported_and_found_again():
    inbox, failure = Inbox(), list[Exception]()
    factory = MockFactory(revision=REVISION, pin_class=failing_pin(failure))
    config = LampsConfig(online=22, talking=None)
    async with Lamps(config, inbox.post, lambda: factory, retry_s=0.01) as lamps:
        while factory.pin(22).function != "output":
            await asyncio.sleep(0)
        failure.append(PinError("the chip has gone"))
        lamps.show(view(online=True))
        assert await inbox.next() == PartLost(
            Part.LAMP, "online GPIO22", "the chip has gone"
        )
        failure.clear()
        assert await inbox.next() == PartFound(Part.LAMP, "online GPIO22")
        assert factory.pin(22).state
        failure.append(PinError("the chip has gone"))


@pytest.mark.parametrize(("online", "calls"), [(None, 0), (22, 1)])
async def test_without_lamps_no_pins_are_looked_for(online, calls):
    pins = MissingPins()
    config = LampsConfig(online=online, talking=None)
    async with Lamps(config, Inbox().post, pins.open_factory) as lamps:
        lamps.show(view(online=True))
        await pins.had_time()
    assert pins.calls == calls


async def test_lamps_are_dark_after_closing():
    box = Box()
    async with box.lamps:
        await box.is_open()
        box.lamps.show(view(online=True))
    await box.lamps.__aexit__(None, None, None)
    assert box.pins.lit() == set()
