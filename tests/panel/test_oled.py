"""OLEDs on a fake bus that decodes the picture from its bytes."""

import errno
import gc
import logging
import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest
from luma.oled.device import ssd1306
from PIL import Image

from appliance.config import ScreenConfig
from appliance.core.events import Event
from appliance.display.rendering import picture, pixel_shift
from appliance.errors import PanelError
from appliance.panel.oled import open_oled
from appliance.panel.screen import PROBE_S, SHIFT_S, DisplaySupervisor
from tests.panel.fakes import FakeBus
from tests.pictures.situations import SITUATIONS

# luma.oled 3.16 with Pillow 13.
pytestmark = pytest.mark.filterwarnings("ignore:Image.Image.getdata:DeprecationWarning")

CONFIG = ScreenConfig()
TALL, FLAT = (128, 64), (128, 32)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("is_sh1106", [False, True], ids=["ssd1306", "sh1106"])
def test_every_picture_is_shown(situation, is_sh1106):
    bus = FakeBus(is_sh1106=is_sh1106)
    wanted = picture(SITUATIONS[situation], TALL)
    open_oled(CONFIG, bus).show(wanted)
    assert bus.picture(64) == wanted
    assert bus.is_on


def test_a_screen_of_32_rows_shows_them():
    bus = FakeBus()
    wanted = picture(SITUATIONS["talking"], FLAT)
    open_oled(ScreenConfig(size="128x32"), bus).show(wanted)
    assert bus.picture(32) == wanted


def test_a_screen_that_is_mounted_upside_down_is_rotated():
    bus = FakeBus()
    wanted = picture(SITUATIONS["talking"], TALL)
    open_oled(ScreenConfig(rotate=180), bus).show(wanted)
    assert bus.picture(64) == wanted.rotate(180)


def test_the_screen_is_found_at_either_address():
    bus = FakeBus(0x3D)
    open_oled(CONFIG, bus).show(picture(SITUATIONS["silent"], TALL))
    assert bus.is_on


CHIPS = pytest.mark.parametrize("is_sh1106", [False, True], ids=["ssd1306", "sh1106"])
WANTED = picture(SITUATIONS["talking"], TALL)


@CHIPS
@pytest.mark.parametrize("status", [None, 0x00, 0x06, 0x08, 0x0F])
def test_either_chip_shows_the_picture_whatever_its_status_byte_says(is_sh1106, status):
    bus = FakeBus(is_sh1106=is_sh1106)
    bus.is_readable = status is not None
    bus.status = status or 0
    open_oled(CONFIG, bus).show(WANTED)
    assert bus.picture(64) == WANTED


@CHIPS
@pytest.mark.parametrize("rotate", [0, 180])
def test_a_configured_chip_shows_the_picture(is_sh1106, rotate):
    bus = FakeBus(is_sh1106=is_sh1106)
    config = ScreenConfig(driver="sh1106" if is_sh1106 else "ssd1306", rotate=rotate)
    open_oled(config, bus).show(WANTED)
    assert bus.picture(64) == WANTED.rotate(rotate)


def test_a_screen_of_32_rows_that_cannot_be_read_shows_them():
    bus = FakeBus()
    bus.is_readable = False
    wanted = picture(SITUATIONS["silent"], FLAT)
    open_oled(ScreenConfig(size="128x32"), bus).show(wanted)
    assert bus.picture(32) == wanted


@pytest.mark.parametrize("driver", ["auto", "sh1106"])
@pytest.mark.parametrize("left_px", [0, 1, 2, 4])
def test_an_sh1106_whose_glass_begins_at_another_column_has_a_setting(left_px, driver):
    bus = FakeBus(is_sh1106=True, left_px=left_px)
    open_oled(ScreenConfig(driver=driver, column_offset=left_px), bus).show(WANTED)
    assert bus.picture(64) == WANTED


@pytest.mark.parametrize("offset", ["auto", *range(9)])
def test_the_columns_beside_the_picture_of_an_sh1106_are_dark(offset):
    bus = FakeBus(is_sh1106=True)
    blank = Image.new("1", TALL)
    open_oled(ScreenConfig(column_offset=offset), bus).show(blank)
    assert bus.picture(64) == blank
    assert bus.beside() == {0}


@CHIPS
def test_one_failed_transfer_has_no_visible_effect_wherever_it_is(is_sh1106):
    def run(failures: set[int]) -> FakeBus:
        bus = FakeBus(is_sh1106=is_sh1106)
        bus.failures = failures
        oled = open_oled(CONFIG, bus)
        oled.show(picture(SITUATIONS["silent"], TALL))
        assert oled.check()
        oled.show(WANTED)
        oled.dim(is_dim=True)
        assert oled.check()
        return bus

    for number in range(run(set()).transfers):
        bus = run({number})
        assert bus.picture(64) == WANTED, number
        assert (bus.contrast, bus.is_on) == (0x01, True), number


@CHIPS
def test_one_failed_transfer_in_a_hundred_leaves_pictures_right_and_the_log_empty(
    is_sh1106, caplog
):
    chance, bus = random.Random(1), FakeBus(is_sh1106=is_sh1106)
    bus.is_lost = lambda: chance.random() < 0.01
    events: list[Event] = []
    supervisor = DisplaySupervisor(
        ScreenConfig(dim_after_s=0),
        events.append,
        lambda config: open_oled(config, bus),
    )
    shown = [SITUATIONS["silent"], SITUATIONS["talking"]] * 100
    for second, view in enumerate(shown):
        supervisor.refresh(view, second, 0)
        assert bus.picture(64) == picture(
            view, TALL, pixel_shift(int(second // SHIFT_S))
        )
    assert events == []
    assert [x for x in caplog.records if x.levelno >= logging.INFO] == []


def test_a_clock_stretched_for_too_long_is_a_blocked_bus():
    # The Raspberry Pi's driver ends it with EIO.
    bus = FakeBus()
    bus.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(PanelError, match=r"bus 1 is blocked: .* check its wires"):
        open_oled(CONFIG, bus)


def test_a_blocked_bus_is_named_and_not_tried_many_times():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    before = bus.calls
    bus.error = OSError(errno.ETIMEDOUT, "Connection timed out")
    with pytest.raises(PanelError, match="I²C bus 1 is blocked"):
        oled.show(WANTED)
    assert bus.calls == before + 1
    with pytest.raises(PanelError, match="I²C bus 1 is blocked"):
        open_oled(CONFIG, bus)


def test_a_screen_is_dimmed_and_switched_off_and_bright_when_it_is_on_again():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    oled.show(picture(SITUATIONS["silent"], TALL))
    bright = bus.contrast
    oled.dim(is_dim=True)
    assert bus.contrast < bright / 10
    oled.light(is_lit=False)
    assert not bus.is_on
    oled.light(is_lit=True)
    assert (bus.is_on, bus.contrast) == (True, bright)


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_lit_screen_passes_the_check(is_readable):
    bus = FakeBus()
    bus.is_readable = is_readable
    oled = open_oled(CONFIG, bus)
    assert oled.check()
    oled.show(picture(SITUATIONS["silent"], TALL))
    assert oled.check()
    oled.light(is_lit=False)
    assert oled.check()


@CHIPS
def test_a_dimmed_screen_is_started_again_after_a_power_cut(is_sh1106, caplog):
    caplog.set_level(logging.INFO)
    bus = FakeBus(is_sh1106=is_sh1106)
    config = ScreenConfig(dim_after_s=1, sleep_after_s=0)
    events: list[Event] = []
    supervisor = DisplaySupervisor(
        config, events.append, lambda config: open_oled(config, bus)
    )
    view = SITUATIONS["silent"]
    supervisor.refresh(view, 0, 1)
    supervisor.refresh(view, PROBE_S, 1)
    assert "without power" not in caplog.text
    bus.cut_power()
    supervisor.refresh(view, 2 * PROBE_S, 1)
    assert bus.picture(64) == picture(view, TALL, pixel_shift(0))
    assert (bus.is_on, bus.contrast) == (True, 0x01)
    assert events == []
    assert "screen was without power" in caplog.text


def test_a_status_that_could_not_be_read_at_first_does_not_hide_a_power_cut():
    bus = FakeBus()
    open_oled(CONFIG, bus)
    status_at = bus.transfers - 1
    bus = FakeBus()
    bus.failures = {status_at}
    oled = open_oled(CONFIG, bus)
    assert oled.check()
    bus.cut_power()
    assert not oled.check()
    oled.show(WANTED)
    assert (bus.picture(64), bus.is_on) == (WANTED, True)


def test_readings_that_fail_now_and_then_do_not_hide_a_later_power_cut():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    for bus.is_readable in [False, True] * 5:
        assert oled.check()
    bus.cut_power()
    assert not oled.check()


@pytest.mark.parametrize("status", [None, 0x40, 0xFF])
def test_a_screen_that_cannot_be_read_is_not_started_again_and_again(status):
    bus = FakeBus()
    bus.is_readable = status is not None
    bus.status = status or 0
    oled = open_oled(CONFIG, bus)
    oled.show(WANTED)
    assert oled.check()
    assert bus.picture(64) == WANTED


@CHIPS
@pytest.mark.parametrize("is_readable", [True, False])
def test_a_screen_without_power_while_it_sleeps_works_when_it_wakes(
    is_readable, is_sh1106
):
    bus = FakeBus(is_sh1106=is_sh1106)
    bus.is_readable = is_readable
    config = ScreenConfig(dim_after_s=0, sleep_after_s=60)
    events: list[Event] = []
    supervisor = DisplaySupervisor(
        config, events.append, lambda config: open_oled(config, bus)
    )
    view = SITUATIONS["silent"]
    supervisor.refresh(view, 0, 0)
    contrast = bus.contrast
    supervisor.refresh(view, 1, 60)
    assert not bus.is_on
    bus.cut_power()
    supervisor.refresh(view, 2, 0)
    assert bus.picture(64) == picture(view, TALL, pixel_shift(0))
    assert (bus.is_on, bus.contrast) == (True, contrast)


def test_one_device_of_luma_is_used_for_all_connections():
    # Each further one would stay in memory for ever, because of its exit handler.
    def devices() -> int:
        return sum(type(thing) is ssd1306 for thing in gc.get_objects())

    open_oled(CONFIG, FakeBus()).close()
    before = devices()
    for _ in range(5):
        open_oled(CONFIG, FakeBus()).close()
    assert devices() == before


def test_closing_switches_the_screen_off():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    oled.show(picture(SITUATIONS["silent"], TALL))
    oled.close()
    assert (bus.is_on, bus.is_closed) == (False, True)


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.EREMOTEIO, errno.ENXIO, errno.ETIMEDOUT, errno.ENODEV]
)
def test_every_error_of_the_bus_is_a_panel_error(code):
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    bus.error = OSError(code, "error")
    shown = picture(SITUATIONS["silent"], TALL)
    for action in (
        lambda: oled.show(shown),
        lambda: oled.dim(is_dim=True),
        lambda: oled.light(is_lit=False),
        oled.check,
        oled.close,
        lambda: open_oled(CONFIG, bus),
    ):
        with pytest.raises(PanelError):
            action()
    assert bus.is_closed


def test_an_empty_bus_names_the_addresses_that_were_tried():
    with pytest.raises(PanelError, match="0x3C or 0x3D on I²C bus 1"):
        open_oled(CONFIG, FakeBus(0x50))
    with pytest.raises(PanelError, match="0x3C on I²C bus 1"):
        open_oled(replace(CONFIG, address=0x3C), FakeBus(0x50))


@pytest.mark.parametrize("address", ["auto", 0x3C])
def test_an_address_used_by_a_kernel_driver_is_named_with_the_remedy(address):
    bus = FakeBus()
    bus.busy = {0x3C}
    with pytest.raises(PanelError) as caught:
        open_oled(replace(CONFIG, address=address), bus)
    assert "a kernel driver holds 0x3C on I²C bus 1. It shows UU" in str(caught.value)
    assert "dtoverlay" in str(caught.value)
    assert bus.is_closed


def test_a_kernel_driver_that_takes_an_open_screen_is_named():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    bus.busy = {0x3C}
    with pytest.raises(PanelError, match="a kernel driver holds the screen"):
        oled.check()


@pytest.mark.parametrize("code", [errno.ENXIO, errno.EREMOTEIO])
def test_only_an_address_that_nobody_acknowledges_has_no_device(code):
    bus = FakeBus()
    bus.error = OSError(code, "none")
    with pytest.raises(PanelError, match="no device at 0x3C or 0x3D"):
        open_oled(CONFIG, bus)


@pytest.mark.parametrize("code", [errno.ENODEV, errno.EOPNOTSUPP])
def test_another_error_of_the_bus_is_not_called_a_missing_device(code):
    bus = FakeBus()
    bus.error = OSError(code, os.strerror(code))
    with pytest.raises(PanelError) as caught:
        open_oled(CONFIG, bus)
    assert str(caught.value) == f"OLED: I²C bus 1: {os.strerror(code)}"


def test_a_screen_beside_an_address_in_use_is_found():
    bus = FakeBus(0x3D)
    bus.busy = {0x3C}
    wanted = picture(SITUATIONS["silent"], TALL)
    open_oled(CONFIG, bus).show(wanted)
    assert bus.picture(64) == wanted


MISSING_MODULE = """
import sys
from appliance.config import ScreenConfig
from appliance.panel.oled import open_oled
from appliance.panel.screen import DisplaySupervisor
from tests.panel.fakes import FakeBus
from tests.pictures.situations import SITUATIONS

sys.modules["{module}"] = None

def open_display(config):
    return open_oled(config, FakeBus()) if {has_bus} else open_oled(config)

display = DisplaySupervisor(ScreenConfig(), print, open_display)
for second in (0, 5, 10):
    display.refresh(SITUATIONS["silent"], second, 0)
"""


@pytest.mark.parametrize(
    ("module", "has_bus"),
    [("smbus2", False), ("luma.oled.device", True), ("PIL", True)],
)
def test_a_python_module_that_is_missing_is_a_fault_with_its_name(module, has_bus):
    program = MISSING_MODULE.format(module=module, has_bus=has_bus)
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"the Python package {module} is missing" in done.stdout


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file"), "raspi-config"),
        (PermissionError(errno.EACCES, "Permission denied"), "no permission"),
        (OSError(errno.EBUSY, "Device or resource busy"), "a kernel driver"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
def test_a_bus_that_cannot_be_opened_has_advice(error, advice):
    def no_bus(_number: int) -> FakeBus:
        raise error

    with pytest.raises(PanelError, match=advice):
        open_oled(CONFIG, no_bus)


def test_the_remedies_name_the_bus_of_the_configuration():
    def refuse(number: int) -> FakeBus:
        if number == 3:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        raise OSError(errno.EBUSY, "Device or resource busy")

    with pytest.raises(PanelError, match=r"add dtoverlay=i2c3 to"):
        open_oled(ScreenConfig(bus=3), refuse)
    with pytest.raises(PanelError, match=r"i2cdetect -y 4`"):
        open_oled(ScreenConfig(bus=4), refuse)


def test_a_machine_without_i2c_is_reported():
    with pytest.raises(PanelError, match="there is no I²C bus 20"):
        open_oled(replace(CONFIG, bus=20))
