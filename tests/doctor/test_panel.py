"""Pins and screen as the doctor finds them."""

import errno

import pytest
from gpiozero import LED
from gpiozero.pins.mock import MockFactory, MockPin

from appliance.config import ButtonsConfig, LampsConfig, ScreenConfig
from appliance.doctor.panel import probe_pins, probe_screen
from appliance.doctor.probes import Health
from appliance.errors import PanelError
from appliance.panel.pins import Factory, PinSource
from appliance.panel.simulated import REVISION
from tests.panel.fakes import NO_PINS, FakeBus, FakeKernel

BUTTONS = ButtonsConfig(talk=17, leave=27)
LAMPS = LampsConfig(online=22, talking=None)
BUSY = PanelError("GPIO", "'GPIO busy'")
EVERYTHING = "talk GPIO17, leave GPIO27, online GPIO22 can be used"


def test_a_screen_takes_a_byte_which_changes_nothing_on_it():
    bus = FakeBus(0x3D)
    before = bus.picture(64)
    assert probe_screen(ScreenConfig(), bus) == ("responds at 0x3D on I²C bus 1", "")
    assert (bus.transfers, bus.is_closed) == (1, True)
    assert (bus.is_on, bus.picture(64)) == (False, before)


def test_a_bus_without_a_screen_is_named_with_both_remedies():
    bus = FakeBus(0x50)
    found, advice = probe_screen(ScreenConfig(), bus)
    assert found == "does not work"
    assert "no device at 0x3C or 0x3D on I²C bus 1. Check its four wires. If" in advice
    assert "screen.driver: none" in advice
    assert bus.is_closed


def test_a_screen_that_a_kernel_driver_holds_is_named():
    bus = FakeBus()
    bus.busy = {0x3C}
    assert "a kernel driver holds 0x3C" in probe_screen(ScreenConfig(), bus)[1]


def test_a_bus_that_is_switched_off_is_named():
    def no_bus(number: int) -> FakeBus:
        raise FileNotFoundError(errno.ENOENT, "No such file")

    assert "raspi-config" in probe_screen(ScreenConfig(), no_bus)[1]


def busy_factory() -> Factory:
    """Return pins that another program has requested, as lgpio reports them."""

    def request(_self: object, _factory: object, _info: object) -> None:
        raise BUSY

    pin = type("BusyPin", (MockPin,), {"__init__": request})
    factory = MockFactory(revision=REVISION, pin_class=pin)
    factory.chip = 0
    return factory


@pytest.fixture
def kernel(tmp_path):
    return FakeKernel(tmp_path, gpiochip0="pinctrl-bcm2711")


@pytest.fixture
def runtime(tmp_path):
    """Return the folder of the running service; it does not run."""
    return tmp_path / "ptt-appliance"


def test_every_wired_pin_is_opened_as_the_box_does_and_released(kernel, runtime):
    factory = MockFactory(revision=REVISION)
    source = PinSource(lambda: factory, kernel.chips)
    for _ in range(2):
        assert probe_pins(BUTTONS, LAMPS, source, runtime) == (EVERYTHING, "")
    states = [state.state for state in factory.pin(22).states]
    assert not any(states)
    LED(22, pin_factory=factory).close()


def test_a_pressed_button_is_said(kernel, runtime):
    factory = MockFactory(revision=REVISION)
    factory.pin(17).pull = "up"
    factory.pin(17).drive_low()
    source = PinSource(lambda: factory, kernel.chips)
    found, advice = probe_pins(BUTTONS, LAMPS, source, runtime)
    assert found.startswith("talk GPIO17 (pressed), leave GPIO27, ")
    assert advice == ""


HELD = "holds talk GPIO17, leave GPIO27, online GPIO22"


@pytest.mark.parametrize(
    ("answer", "found", "advice"),
    [
        (Health("ok"), f"the running box {HELD}", ""),
        (Health("sick", (), ("card-in-use",)), f"the running box {HELD}", ""),
        (None, f"the running box or another program that uses lgpio {HELD}", ""),
        (
            Health("ok", (), ("pin-in-use",)),
            f"the running box or another program that uses lgpio {HELD}",
            (
                "the box reports a pin that is in use by another program that uses "
                "lgpio. End that, or wire another pin."
            ),
        ),
    ],
)
def test_the_running_box_says_whether_it_holds_all_its_pins(
    kernel, runtime, answer, found, advice
):
    runtime.mkdir()
    kernel.lines = dict.fromkeys((17, 27, 22), (1, b"lg"))
    source = PinSource(busy_factory, kernel.chips)
    result = probe_pins(BUTTONS, LAMPS, source, runtime, lambda: answer)
    assert result == (found, advice)


def test_pins_that_others_hold_are_named_with_their_user(kernel, runtime):
    runtime.mkdir()
    kernel.lines = {17: (1, b"lg"), 27: (1, b"spi0 CS0"), 22: (1, b"")}
    source = PinSource(busy_factory, kernel.chips)
    found, advice = probe_pins(BUTTONS, LAMPS, source, runtime)
    assert found == (
        "the running box or another program that uses lgpio holds talk GPIO17; "
        "leave GPIO27, online GPIO22 cannot be used"
    )
    assert 'leave GPIO27: in use by "spi0 CS0"' in advice


def test_pins_that_a_program_holds_while_the_box_does_not_run_are_a_fault(
    kernel, runtime
):
    kernel.lines = dict.fromkeys((17, 27, 22), (1, b"lg"))
    source = PinSource(busy_factory, kernel.chips)
    _, advice = probe_pins(BUTTONS, LAMPS, source, runtime)
    assert "in use by another program that uses lgpio" in advice


def test_a_machine_without_pins_names_the_wired_ones(kernel, runtime):
    def no_pins() -> None:
        raise NO_PINS

    source = PinSource(no_pins, kernel.chips)
    assert probe_pins(BUTTONS, LAMPS, source, runtime) == (
        "no pins for talk GPIO17, leave GPIO27, online GPIO22",
        "this is no Pi",
    )
