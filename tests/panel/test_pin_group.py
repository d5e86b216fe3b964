"""Pins that are busy, refused, renumbered, or late at the start."""

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from appliance.config import Pin
from appliance.core.events import Event, Part, PartFound, PartLost
from appliance.errors import PanelError
from appliance.panel.gpio_chip import CHIP_INFO, GpioChips, query_device
from appliance.panel.pins import (
    PATIENCE,
    RETRY_S,
    SIMULATED_REVISION,
    Factory,
    InputPin,
    OpenFactory,
    OutputPin,
    PinGroup,
    PinSource,
)
from tests.panel.fakes import NO_PINS, FakeKernel

BUSY = PanelError("GPIO17", "'GPIO busy'")


class Group:
    """Talk button in a group of pins, and what was posted."""

    def __init__(
        self, open_factory: OpenFactory, chips: GpioChips, failures: list[PanelError]
    ) -> None:
        self.events: list[Event] = []
        self.failures = failures
        source = PinSource(open_factory, chips)
        self.pins: PinGroup[InputPin] = PinGroup(
            Part.BUTTON, {"talk": Pin(pin=17)}, self.events.append, source, self._open
        )

    def _open(self, factory: Factory, name: str, pin: Pin) -> InputPin:
        if self.failures:
            raise self.failures[0]
        return InputPin(factory, pin, print)


def mock_factory() -> Factory:
    """Return mock pins on a numbered chip, as lgpio's are."""
    factory = MockFactory(revision=SIMULATED_REVISION)
    factory.chip = 0
    return factory


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ((1, b"spi0 CS0"), 'in use by "spi0 CS0", a kernel driver or another program'),
        ((1, b""), "in use by a kernel driver or another program"),
        ((1, b"lg"), "in use by another program that uses lgpio"),
        ((0, b""), "'GPIO busy'"),
    ],
)
async def test_a_pin_that_is_taken_is_named_with_its_user(owner, said, tmp_path):
    kernel = FakeKernel(tmp_path, gpiochip0="pinctrl-bcm2711")
    kernel.lines = {17: owner}
    group = Group(mock_factory, kernel.chips, [BUSY])
    await group.pins.find()
    (lost,) = group.events
    assert isinstance(lost, PartLost)
    assert (lost.name, lost.reason.partition(". ")[0]) == ("talk GPIO17", said)


async def test_a_pin_that_is_taken_without_a_device_to_ask_is_busy(tmp_path):
    group = Group(mock_factory, FakeKernel(tmp_path).chips, [BUSY])
    await group.pins.find()
    assert group.events == [PartLost(Part.BUTTON, "talk GPIO17", "'GPIO busy'")]


async def test_another_failure_of_a_pin_is_not_blamed_on_its_user(tmp_path):
    kernel = FakeKernel(tmp_path, gpiochip0="pinctrl-bcm2711")
    kernel.lines = {17: (1, b"lg")}
    group = Group(mock_factory, kernel.chips, [PanelError("GPIO17", "no pull-up")])
    await group.pins.find()
    assert group.events == [PartLost(Part.BUTTON, "talk GPIO17", "no pull-up")]


async def test_a_pin_that_becomes_free_is_found(tmp_path):
    group = Group(mock_factory, FakeKernel(tmp_path).chips, [BUSY])
    await group.pins.find()
    group.failures.clear()
    await group.pins.find()
    assert group.events[1:] == [PartFound(Part.BUTTON, "talk GPIO17")]
    await group.pins.close()


@pytest.mark.parametrize(
    "open_pin",
    [
        lambda x: InputPin(x, Pin(pin=17), print),
        lambda x: OutputPin(x, Pin(pin=17), is_lit=False),
    ],
)
def test_a_pin_that_was_refused_is_not_held_by_the_attempt(open_pin):
    factory, pin = mock_factory(), MockFactory.pin
    factory.pin = Mock(side_effect=OSError("GPIO busy"))
    kept = []
    try:
        open_pin(factory)
    except PanelError as exc:
        # As a cycle of an exception and its frames does.
        kept.append(exc)
    assert kept
    factory.pin = partial(pin, factory)
    open_pin(factory).close()


def test_a_closed_button_leaves_no_callback_at_its_pin():
    # As lgpio's pins, these keep it when they are closed.
    pin = type("KeepingPin", (MockPin,), {"close": lambda _self: None})
    factory = MockFactory(revision=SIMULATED_REVISION, pin_class=pin)
    button = InputPin(factory, Pin(pin=17), print)
    assert factory.pin(17).when_changed is not None
    button.close()
    assert factory.pin(17).when_changed is None


def appearing(after: int) -> Callable[[], Factory]:
    """Return the opening of a chip that is absent for so many attempts."""
    left = [NO_PINS] * after

    def open_factory() -> Factory:
        if left:
            raise left.pop()
        return mock_factory()

    return open_factory


async def test_a_chip_that_appears_some_seconds_after_the_start_is_no_fault(
    caplog, tmp_path
):
    group = Group(appearing(PATIENCE), FakeKernel(tmp_path).chips, [])
    for _ in range(PATIENCE + 1):
        await group.pins.find()
    assert set(group.pins.pins) == {"talk"}
    assert group.events == []
    assert [x for x in caplog.records if x.levelno >= logging.INFO] == []
    await group.pins.close()


def test_a_missing_chip_is_reported_and_found_in_time():
    # The program itself needs up to a second on a fast machine.
    assert PATIENCE * RETRY_S <= 4
    assert RETRY_S <= 2


async def test_a_chip_that_stays_absent_is_reported_once_and_found_when_it_appears(
    tmp_path,
):
    group = Group(appearing(PATIENCE + 21), FakeKernel(tmp_path).chips, [])
    for _ in range(PATIENCE + 21):
        await group.pins.find()
    assert group.events == [PartLost(Part.BUTTON, "GPIO", "this is no Pi")]
    await group.pins.find()
    assert group.events[1:] == [PartFound(Part.BUTTON, "GPIO")]
    assert set(group.pins.pins) == {"talk"}
    await group.pins.close()


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        ({"gpiochip0": "pinctrl-bcm2835", "gpiochip1": "raspberrypi-exp-gpio"}, 0),
        ({"gpiochip0": "pinctrl-bcm2711", "gpiochip1": "raspberrypi-exp-gpio"}, 0),
        ({"gpiochip0": "gpio-brcmstb@107d508500", "gpiochip4": "pinctrl-rp1"}, 4),
        ({"gpiochip0": "pinctrl-rp1", "gpiochip10": "gpio-brcmstb@107d508500"}, 0),
        ({"gpiochip0": "gpio-brcmstb@107d508500", "gpiochip15": "pinctrl-rp1"}, 15),
        ({"gpiochip2": "pinctrl-rp1", "gpiochip10": "pinctrl-rp1"}, 2),
        ({"gpiochip0": "some board"}, None),
    ],
)
def test_the_chip_with_the_headers_pins_is_found_whatever_its_number(
    labels, number, tmp_path
):
    assert FakeKernel(tmp_path, **labels).chips.header() == number


def test_the_headers_chip_is_used_although_another_chip_is_refused(tmp_path):
    kernel = FakeKernel(tmp_path, gpiochip0="brcmstb", gpiochip4="pinctrl-rp1")
    kernel.refused = {"gpiochip0"}
    assert kernel.chips.header() == 4


def test_a_refused_chip_is_named_with_its_owner_and_a_remedy_for_the_service(tmp_path):
    kernel = FakeKernel(tmp_path, gpiochip0="pinctrl-bcm2711")
    kernel.refused = {"gpiochip0"}
    with pytest.raises(PanelError) as caught:
        kernel.chips.header()
    assert f"{tmp_path}/gpiochip0 belongs to " in str(caught.value)
    assert "$USER" not in str(caught.value)


def test_a_machine_without_chips_names_the_missing_device(tmp_path):
    with pytest.raises(PanelError, match="GPIO: this machine has no GPIO chip: there"):
        FakeKernel(tmp_path).chips.header()


def test_a_device_that_is_no_chip_is_left_out():
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        query_device(Path(os.devnull), CHIP_INFO, bytes(68))
