"""Pins, screen and Wi-Fi as the doctor finds them."""

import errno
import os
import sys

import pytest
from gpiozero import LED
from gpiozero.pins.mock import MockFactory, MockPin

from appliance.config import ButtonsConfig, LampsConfig, ScreenConfig
from appliance.doctor import checks
from appliance.doctor.checks import Finding
from appliance.doctor.hardware import pins, screen, wifi
from appliance.errors import PanelError
from appliance.net.network_monitor import current_address, current_interface
from appliance.panel.pins import SIMULATED_REVISION, Factory, PinSource
from tests.panel.fakes import NO_PINS, FakeBus, FakeKernel

BUTTONS = ButtonsConfig(talk=17, leave=27)
LAMPS = LampsConfig(online=22, talking=None)
BUSY = PanelError("GPIO", "'GPIO busy'")
EVERYTHING = "talk GPIO17, leave GPIO27, online GPIO22 can be used"


def test_a_screen_takes_a_byte_which_changes_nothing_on_it():
    bus = FakeBus(0x3D)
    before = bus.picture(64)
    finding = screen(ScreenConfig(), bus)
    assert finding == Finding("screen", "responds at 0x3D on I²C bus 1")
    assert (bus.transfers, bus.is_closed) == (1, True)
    assert (bus.is_on, bus.picture(64)) == (False, before)


def test_a_bus_without_a_screen_is_named_with_both_remedies():
    bus = FakeBus(0x50)
    finding = screen(ScreenConfig(), bus)
    assert finding.found == "does not work"
    absent = "no device at 0x3C or 0x3D on I²C bus 1. Check its four wires. If"
    assert absent in finding.advice
    assert "screen: {driver: none}" in finding.advice
    assert bus.is_closed


def test_a_screen_that_a_kernel_driver_holds_is_named():
    bus = FakeBus()
    bus.busy = {0x3C}
    assert "a kernel driver holds 0x3C" in screen(ScreenConfig(), bus).advice


def test_a_bus_that_is_switched_off_is_named():
    def no_bus(number: int) -> FakeBus:
        raise FileNotFoundError(errno.ENOENT, "No such file")

    assert "raspi-config" in screen(ScreenConfig(), no_bus).advice


def busy_factory() -> Factory:
    """Return pins that another program has requested, as lgpio reports them."""

    def request(_self: object, _factory: object, _info: object) -> None:
        raise BUSY

    pin = type("BusyPin", (MockPin,), {"__init__": request})
    factory = MockFactory(revision=SIMULATED_REVISION, pin_class=pin)
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
    factory = MockFactory(revision=SIMULATED_REVISION)
    source = PinSource(lambda: factory, kernel.chips)
    for _ in range(2):
        finding = pins(BUTTONS, LAMPS, source, runtime)
        assert finding == Finding("pins", EVERYTHING)
    states = [state.state for state in factory.pin(22).states]
    assert not any(states)
    LED(22, pin_factory=factory).close()


def test_a_pressed_button_is_said(kernel, runtime):
    factory = MockFactory(revision=SIMULATED_REVISION)
    factory.pin(17).pull = "up"
    factory.pin(17).drive_low()
    source = PinSource(lambda: factory, kernel.chips)
    finding = pins(BUTTONS, LAMPS, source, runtime)
    assert finding.found.startswith("talk GPIO17 (pressed), leave GPIO27, ")
    assert finding.is_good


def test_pins_that_the_running_box_seems_to_hold_are_no_fault(kernel, runtime):
    runtime.mkdir()
    kernel.lines = dict.fromkeys((17, 27, 22), (1, b"lg"))
    source = PinSource(busy_factory, kernel.chips)
    assert pins(BUTTONS, LAMPS, source, runtime) == Finding(
        "pins",
        "the running box or another program that uses lgpio holds talk GPIO17, "
        "leave GPIO27, online GPIO22",
    )


def test_pins_that_others_hold_are_named_with_their_user(kernel, runtime):
    runtime.mkdir()
    kernel.lines = {17: (1, b"lg"), 27: (1, b"spi0 CS0"), 22: (1, b"")}
    source = PinSource(busy_factory, kernel.chips)
    finding = pins(BUTTONS, LAMPS, source, runtime)
    assert finding.found == (
        "the running box or another program that uses lgpio holds talk GPIO17; "
        "leave GPIO27, online GPIO22 cannot be used"
    )
    assert 'leave GPIO27: in use by "spi0 CS0"' in finding.advice


def test_pins_that_a_program_holds_while_the_box_does_not_run_are_a_fault(
    kernel, runtime
):
    kernel.lines = dict.fromkeys((17, 27, 22), (1, b"lg"))
    source = PinSource(busy_factory, kernel.chips)
    advice = pins(BUTTONS, LAMPS, source, runtime).advice
    assert "in use by another program that uses lgpio" in advice


def test_a_machine_without_pins_names_the_wired_ones(kernel, runtime):
    def no_pins() -> None:
        raise NO_PINS

    source = PinSource(no_pins, kernel.chips)
    assert pins(BUTTONS, LAMPS, source, runtime) == Finding(
        "pins",
        "no pins for talk GPIO17, leave GPIO27, online GPIO22",
        "this is no Pi",
    )


def test_what_is_not_configured_is_not_opened():
    def opened(*_: object) -> Factory:
        raise ZeroDivisionError

    assert screen(ScreenConfig(driver="none"), opened).is_good
    nothing = (
        ButtonsConfig(talk=None, leave=None),
        LampsConfig(online=None, talking=None),
    )
    assert pins(*nothing, PinSource(opened)).is_good


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    advice = screen(ScreenConfig(), FakeBus()).advice
    assert advice.startswith("the Python package PIL is missing. Install the program")


def program(folder, name, output, status=0):
    """Return the path of a program that prints this, in case of an error as one."""
    script = folder / name
    stream = ">&2" if status else ""
    script.write_text(f"#!/bin/sh\necho '{output}' {stream}\nexit {status}\n")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def interfaces(tmp_path):
    (tmp_path / "net" / "wlan0" / "wireless").mkdir(parents=True)
    (tmp_path / "net" / "wlan1" / "wireless").mkdir(parents=True)
    (tmp_path / "net" / "eth0").mkdir()
    return tmp_path / "net"


def test_the_remedy_names_the_interface_in_use_and_survives_a_restart(
    tmp_path, interfaces
):
    on = program(tmp_path, "iw", "Power save: on")
    finding = wifi(lambda: "wlan1", interfaces, on)
    assert finding.found == "wlan1 power save on"
    assert "GENERAL.CONNECTION device show wlan1)" in finding.advice
    assert 'connection modify "$name" 802-11-wireless.powersave 2' in finding.advice


def test_power_saving_that_is_off_is_good(tmp_path, interfaces):
    off = program(tmp_path, "iw", "Power save: off")
    assert wifi(lambda: "wlan0", interfaces, off).is_good


def test_a_driver_without_power_saving_is_good(tmp_path, interfaces):
    said = "command failed: Operation not supported (-95)"
    iw = program(tmp_path, "iw", said, status=161)
    finding = wifi(lambda: "wlan0", interfaces, iw)
    assert finding.is_good
    assert finding.found == "the driver of wlan0 has no power save"


def test_the_advice_to_install_iw_is_only_for_systems_without_it(tmp_path, interfaces):
    missing = wifi(lambda: "wlan0", interfaces, "/nowhere/iw")
    assert "sudo apt install iw" in missing.advice
    iw = program(tmp_path, "iw", "command failed: No such device (-19)", status=237)
    failed = wifi(lambda: "wlan0", interfaces, iw)
    assert failed.advice == f"Run sudo {iw} dev wlan0 get power_save for the reason."


def test_wifi_that_is_not_in_use_does_not_matter(tmp_path, interfaces):
    on = program(tmp_path, "iw", "Power save: on")
    finding = wifi(lambda: "eth0", interfaces, on)
    assert (finding.found, finding.is_good) == (
        "not used, the network is on eth0",
        True,
    )
    assert wifi(lambda: None, interfaces, on).is_good


def refused():
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_kernel_that_does_not_answer_is_a_finding(interfaces):
    assert wifi(refused, interfaces, "/nowhere/iw").is_good
    finding = checks.network(refused)
    assert finding.found == "cannot be read"
    assert "Operation not permitted" in finding.advice


def test_without_iw_power_saving_is_unknown(interfaces):
    finding = wifi(lambda: "wlan0", interfaces, "/nowhere/iw")
    assert finding.found == "wlan0 power save unknown"
    assert "apt install iw" in finding.advice


def test_the_interface_in_use_is_the_one_with_the_address_of_this_machine():
    assert (current_interface() is None) == (current_address() is None)
    assert current_interface() != "lo"
