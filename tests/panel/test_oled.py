"""OLEDs on a bus whose bytes are turned back into the picture."""

import errno
from dataclasses import replace

import pytest

from appliance.config import ScreenConfig
from appliance.display.render import picture
from appliance.errors import PanelError
from appliance.panel.oled import open_oled
from tests.panel.fakes import FakeBus
from tests.pictures.situations import SITUATIONS

# luma.oled 3.16 with Pillow 13.
pytestmark = pytest.mark.filterwarnings("ignore:Image.Image.getdata:DeprecationWarning")

CONFIG = ScreenConfig()
TALL, FLAT = (128, 64), (128, 32)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("is_sh1106", [False, True], ids=["ssd1306", "sh1106"])
def test_every_picture_arrives_on_the_glass(situation, is_sh1106):
    bus = FakeBus(is_sh1106=is_sh1106)
    wanted = picture(SITUATIONS[situation], TALL)
    open_oled(CONFIG, bus).show(wanted)
    assert bus.picture(64) == wanted
    assert bus.is_on


def test_a_flat_screen_shows_its_32_rows():
    bus = FakeBus()
    wanted = picture(SITUATIONS["talking"], FLAT)
    open_oled(ScreenConfig(size="128x32"), bus).show(wanted)
    assert bus.picture(32) == wanted


def test_a_screen_that_hangs_upside_down_is_turned():
    bus = FakeBus()
    wanted = picture(SITUATIONS["talking"], TALL)
    open_oled(ScreenConfig(rotate=180), bus).show(wanted)
    bits = f"{int.from_bytes(wanted.bits):08192b}"[::-1]
    assert bus.picture(64).bits == int(bits, 2).to_bytes(1024)


def test_the_screen_is_found_at_either_address():
    bus = FakeBus(0x3D)
    open_oled(CONFIG, bus).show(picture(SITUATIONS["silent"], TALL))
    assert bus.is_on


def test_a_chip_that_cannot_be_asked_is_taken_for_an_ssd1306():
    bus = FakeBus()
    bus.is_readable = False
    wanted = picture(SITUATIONS["silent"], TALL)
    open_oled(CONFIG, bus).show(wanted)
    assert bus.picture(64) == wanted


def test_a_chip_that_is_configured_is_not_asked():
    bus = FakeBus(is_sh1106=True)
    bus.is_readable = False
    wanted = picture(SITUATIONS["silent"], TALL)
    open_oled(ScreenConfig(driver="sh1106"), bus).show(wanted)
    assert bus.picture(64) == wanted


def test_only_what_has_changed_is_sent():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    oled.show(picture(SITUATIONS["silent"], TALL))
    before = bus.sent_bytes
    oled.show(picture(SITUATIONS["silent"], TALL))
    assert bus.sent_bytes == before
    wanted = picture(SITUATIONS["listening"], TALL)
    oled.show(wanted)
    assert 0 < bus.sent_bytes - before < 1024 // 2
    assert bus.picture(64) == wanted


def test_a_picture_that_was_broken_off_is_sent_whole_the_next_time():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    oled.show(picture(SITUATIONS["silent"], TALL))
    bus.trouble = OSError(errno.EIO, "Input/output error")
    with pytest.raises(PanelError):
        oled.show(picture(SITUATIONS["talking"], TALL))
    bus.trouble = None
    before = bus.sent_bytes
    oled.show(picture(SITUATIONS["talking"], TALL))
    assert bus.sent_bytes - before == 1024


def test_dimming_and_going_dark_leave_the_picture_alone():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    oled.show(picture(SITUATIONS["silent"], TALL))
    bright = bus.contrast
    oled.dim(is_dim=True)
    assert bus.contrast < bright / 10
    oled.light(is_lit=False)
    assert not bus.is_on
    oled.dim(is_dim=False)
    oled.light(is_lit=True)
    assert (bus.is_on, bus.contrast) == (True, bright)


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_screen_that_is_there_and_lit_passes_the_check(is_readable):
    bus = FakeBus()
    bus.is_readable = is_readable
    oled = open_oled(CONFIG, bus)
    oled.check()
    oled.show(picture(SITUATIONS["silent"], TALL))
    oled.check()
    oled.light(is_lit=False)
    oled.check()


def test_a_screen_that_was_without_power_for_a_moment_is_noticed():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    oled.show(picture(SITUATIONS["silent"], TALL))
    bus.cut_power()
    with pytest.raises(PanelError, match="without power"):
        oled.check()


def test_closing_leaves_it_dark():
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    oled.show(picture(SITUATIONS["silent"], TALL))
    oled.close()
    assert (bus.is_on, bus.is_closed) == (False, True)


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.EREMOTEIO, errno.ENXIO, errno.ETIMEDOUT, errno.ENODEV]
)
def test_whatever_the_bus_says_it_is_our_error(code):
    bus = FakeBus()
    oled = open_oled(CONFIG, bus)
    bus.trouble = OSError(code, "trouble")
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


@pytest.mark.parametrize(
    ("trouble", "advice"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file"), "raspi-config"),
        (PermissionError(errno.EACCES, "Permission denied"), "group i2c"),
        (OSError(errno.EBUSY, "Device or resource busy"), "busy"),
    ],
)
def test_a_bus_that_cannot_be_opened_comes_with_advice(trouble, advice):
    def no_bus(_number: int) -> FakeBus:
        raise trouble

    with pytest.raises(PanelError, match=advice):
        open_oled(CONFIG, no_bus)


def test_a_machine_without_i2c_is_told_so():
    with pytest.raises(PanelError, match="there is no I²C bus 20"):
        open_oled(replace(CONFIG, bus=20))
