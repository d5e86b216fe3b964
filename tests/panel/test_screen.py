"""Screen adapter on a running event loop."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from luma.core.device import dummy
from PIL import Image

from appliance.config import ScreenConfig
from appliance.core.events import PartLost
from appliance.display.rendering import picture
from appliance.errors import PanelError
from appliance.panel.screen import Screen
from appliance.panel.simulated import SimulatedDisplay
from tests.panel.fakes import WAIT_S, Clock, Inbox
from tests.pictures.situations import SITUATIONS

NO_DEVICE = PanelError("OLED", "no device")
CONFIG = ScreenConfig()
SILENT, TALKING = SITUATIONS["silent"], SITUATIONS["talking"]
TALL = (128, 64)


async def shown(display: SimulatedDisplay, wanted: Image.Image) -> None:
    """Return when the display shows the picture, whatever it showed before."""
    async with asyncio.timeout(WAIT_S):
        # The picture may have been shown at another step of its drift.
        while display.picture is None or not is_same(display.picture, wanted):
            await asyncio.sleep(0.01)


def is_same(one: Image.Image, other: Image.Image) -> bool:
    """Return True if both show the same, at any step of the drift."""
    return one.histogram() == other.histogram()


async def test_the_newest_view_is_shown():
    display = SimulatedDisplay()
    async with Screen(CONFIG, Inbox().post, display.open) as screen:
        for view in (SILENT, TALKING, SILENT, TALKING):
            screen.show(view)
        await shown(display, picture(TALKING, TALL))
    assert not display.is_lit


class LumaDisplay(SimulatedDisplay):
    """Dummy device of luma."""

    def __init__(self) -> None:
        super().__init__()
        self.device = dummy(width=128, height=64, mode="1")
        self.device.persist = True

    def show(self, picture: Image.Image, /) -> None:
        self.device.display(picture)
        super().show(picture)


async def test_the_dummy_device_of_luma_shows_the_reference_picture():
    display = LumaDisplay()
    clock = Clock()
    clock.now_s = 0.0
    async with Screen(CONFIG, Inbox().post, display.open, clock) as screen:
        screen.show(SILENT)
        await shown(display, picture(SILENT, TALL))
    with Image.open("tests/pictures/silent-128x64.png") as wanted:
        assert display.device.image.tobytes() == wanted.convert("1").tobytes()


class SlowDisplay(SimulatedDisplay):
    """Display on a bus that hangs until the test releases it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_hanging = threading.Event()
        self.may_go_on = threading.Event()
        self.shown: list[Image.Image] = []

    def show(self, picture: Image.Image, /) -> None:
        super().show(picture)
        self.shown.append(picture)
        self.is_hanging.set()
        self.may_go_on.wait(WAIT_S)


async def test_a_bus_that_hangs_delays_nothing_and_the_newest_picture_is_shown():
    display = SlowDisplay()
    async with Screen(CONFIG, Inbox().post, display.open) as screen:
        screen.show(SILENT)
        await asyncio.to_thread(display.is_hanging.wait, WAIT_S)
        # The loop still turns, and takes many views meanwhile.
        for number in range(50):
            screen.show(replace(SILENT, banner=f"in room {number}"))
        screen.show(TALKING)
        display.may_go_on.set()
        await shown(display, picture(TALKING, TALL))
    assert len(display.shown) == 2


async def test_a_missing_screen_is_reported():
    def missing(_config: ScreenConfig) -> SimulatedDisplay:
        raise NO_DEVICE

    inbox = Inbox()
    async with Screen(CONFIG, inbox.post, missing) as screen:
        screen.show(SILENT)
        assert isinstance(await inbox.next(), PartLost)


async def test_an_unexpected_error_ends_the_block_that_opened_the_screen():
    def broken(_config: ScreenConfig) -> SimulatedDisplay:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with Screen(CONFIG, Inbox().post, broken):
            await asyncio.Event().wait()


async def test_an_error_of_the_block_is_raised_as_it_is():
    with pytest.raises(KeyError):
        async with Screen(CONFIG, Inbox().post, SimulatedDisplay().open):
            raise KeyError


async def test_closing_twice_is_allowed():
    screen = Screen(CONFIG, Inbox().post, SimulatedDisplay().open)
    async with screen:
        screen.show(SILENT)
    await screen.__aexit__(None, None, None)


NOTHING_IMPORTED = """
import asyncio, sys
from appliance.config import ButtonsConfig, LampsConfig, ScreenConfig
from appliance.panel.buttons import Buttons
from appliance.panel.lamps import Lamps
from appliance.panel.screen import Screen

no_buttons = ButtonsConfig(talk=None, leave=None)
no_lamps = LampsConfig(online=None, talking=None)

async def main():
    async with Buttons(no_buttons, print), Lamps(no_lamps, print):
        async with Screen(ScreenConfig(driver="none"), print):
            await asyncio.sleep(0)

asyncio.run(main())
print({"luma", "PIL", "smbus2", "gpiozero"} & set(sys.modules))
"""


def test_a_box_without_a_panel_imports_nothing_for_it():
    command = [sys.executable, "-c", NOTHING_IMPORTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
