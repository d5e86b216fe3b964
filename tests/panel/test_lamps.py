"""Lamps on gpiozero's mock pins."""

import asyncio
from dataclasses import replace

import pytest
from gpiozero import InputDevice
from gpiozero.exc import PinError
from gpiozero.pins.mock import MockFactory

from appliance.config import ButtonsConfig, LampsConfig, Pin
from appliance.core.events import Part, PartFound, PartLost
from appliance.core.view import LampStates, View
from appliance.panel.lamps import Lamps
from appliance.panel.pins import SIMULATED_REVISION, PinSource, SimulatedPins
from tests.panel.fakes import Inbox, MissingPins, failing_pin
from tests.pictures.situations import SILENT

CONFIG = LampsConfig(online=22, talking=Pin(pin=23, active="low"), fault=24)


def view(**lit: bool) -> View:
    return replace(SILENT, lamps=LampStates(**lit))


class SimulatedLamps:
    """Lamps on simulated pins."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.pins = SimulatedPins(ButtonsConfig(), CONFIG)
        self.lamps = Lamps(CONFIG, self.inbox.post, self.pins.source, retry_s=0.01)

    async def is_open(self) -> None:
        while self.pins.factory.pin(24).function != "output":
            await asyncio.sleep(0)


async def test_lamps_follow_the_view_whatever_their_polarity():
    panel = SimulatedLamps()
    async with panel.lamps:
        await panel.is_open()
        assert panel.pins.lit() == set()
        panel.lamps.show(view(online=True, talking=True))
        assert panel.pins.lit() == {"online", "talking"}
        assert not panel.pins.factory.pin(23).state
        panel.lamps.show(view(online=True, receiving=True))
        assert panel.pins.lit() == {"online"}


async def test_a_lamp_that_is_opened_late_shows_the_newest_view():
    panel = SimulatedLamps()
    async with panel.lamps:
        panel.lamps.show(view(fault=True))
        await panel.is_open()
        assert panel.pins.lit() == {"fault"}


async def test_only_changes_are_written():
    panel = SimulatedLamps()
    async with panel.lamps:
        await panel.is_open()
        wire = panel.pins.factory.pin(22)
        wire.clear_states()
        for _ in range(5):
            panel.lamps.show(view(online=True))
        assert len(wire.states) == 2


async def test_a_busy_pin_is_reported_and_the_others_work():
    panel = SimulatedLamps()
    other = InputDevice(22, pin_factory=panel.pins.factory)
    async with panel.lamps:
        await panel.is_open()
        lost = await panel.inbox.next()
        assert isinstance(lost, PartLost)
        assert (lost.part, lost.name) == (Part.LAMP, "online GPIO22")
        panel.lamps.show(view(online=True, fault=True))
        assert panel.pins.lit() == {"fault"}
        other.close()
        assert await panel.inbox.next() == PartFound(Part.LAMP, "online GPIO22")
        assert panel.pins.lit() == {"online", "fault"}


async def test_a_lamp_that_fails_is_reported_and_found_again():
    inbox, failure = Inbox(), list[Exception]()
    factory = MockFactory(revision=SIMULATED_REVISION, pin_class=failing_pin(failure))
    config = LampsConfig(online=22, talking=None)
    async with Lamps(
        config, inbox.post, PinSource(lambda: factory), retry_s=0.01
    ) as lamps:
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
    async with Lamps(config, Inbox().post, pins.source) as lamps:
        lamps.show(view(online=True))
        await pins.had_time()
    assert pins.calls == calls


async def test_lamps_are_dark_after_closing():
    panel = SimulatedLamps()
    async with panel.lamps:
        await panel.is_open()
        panel.lamps.show(view(online=True))
    await panel.lamps.__aexit__(None, None, None)
    assert panel.pins.lit() == set()
