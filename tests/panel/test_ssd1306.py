"""What is sent to the chips, against what luma.oled would send itself."""

import pytest
from luma.core.interface.serial import i2c
from luma.oled import device
from PIL import Image

from appliance.display.bitmap import Picture
from appliance.display.render import picture
from appliance.panel.ssd1306 import detected, start_commands, strips
from tests.panel.fakes import FakeBus
from tests.pictures.situations import SITUATIONS

# luma.oled 3.16 with Pillow 13.
pytestmark = pytest.mark.filterwarnings("ignore:Image.Image.getdata:DeprecationWarning")

SHOWN = picture(SITUATIONS["long_chat"], (128, 64))


def drawn_by_luma(chip: str, shown: Picture, turns: int) -> FakeBus:
    bus = FakeBus(is_sh1106=chip == "sh1106")
    serial = i2c(bus=bus, address=0x3C)
    screen = getattr(device, chip)(serial, rotate=turns)
    screen.persist = True
    screen.display(Image.frombytes("1", (128, 64), shown.bits))
    return bus


@pytest.mark.parametrize("chip", ["ssd1306", "sh1106"])
@pytest.mark.parametrize("is_turned", [False, True], ids=["upright", "turned"])
def test_strips_are_what_luma_sends_for_the_same_picture(chip, is_turned):
    bus = drawn_by_luma(chip, SHOWN, 2 if is_turned else 0)
    turned = Picture(128, 64, bus.picture(64).bits)
    assert strips(SHOWN, is_turned=is_turned) == strips(turned, is_turned=False)


@pytest.mark.parametrize("size", [(128, 64), (128, 32)])
@pytest.mark.parametrize("chip", ["ssd1306", "sh1106"])
def test_the_chip_is_prepared_but_stays_dark(chip, size):
    commands = start_commands(chip, size)
    assert commands[0][0] == 0xAE
    assert all(0xAF not in command[:1] for command in commands)
    assert any(command[0] == 0x81 for command in commands)


def test_the_chip_is_told_from_its_status():
    assert detected(0x48) == "sh1106"
    assert [detected(status) for status in (0x03, 0x46, 0x07, 0xFF)] == ["ssd1306"] * 4
