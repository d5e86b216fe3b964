"""Screen on a running event loop, and one that is unplugged and plugged in again."""

import asyncio
import itertools
import logging
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from PIL import Image

from appliance.config import Config, ScreenConfig, TalkConfig
from appliance.core.commands import Earcon, FetchToken
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    Cause,
    Event,
    FirstBlockSent,
    JoinAsked,
    LeaveAsked,
    LinkChanged,
    PairingAsked,
    Part,
    PartFound,
    PartLost,
    RoomLeft,
    RoomPaused,
    VolumeAsked,
)
from appliance.core.state import PIN_SHOWN_S, ScreenPage
from appliance.display.rendering import picture, pixel_shift
from appliance.errors import PanelError
from appliance.panel.screen import (
    PATIENCE,
    PAUSE_S,
    PROBE_S,
    SHIFT_S,
    DisplaySupervisor,
    Screen,
    is_awake,
)
from tests.core.story import (
    MICROPHONE_LOST,
    PRESS,
    PRESS_AT_BOOT,
    earcons,
    in_room,
    of,
)
from tests.panel.fakes import WAIT_S, Inbox, SimulatedDisplay
from tests.pictures.situations import SITUATIONS, line

NO_DEVICE = PanelError("OLED", "no device")
CONFIG = ScreenConfig()
IDLE_CONFIG = ScreenConfig(dim_after_s=60, sleep_after_s=600)
SILENT, TALKING = SITUATIONS["silent"], SITUATIONS["talking"]
TALL = (128, 64)
LOST = PartLost(Part.SCREEN, "OLED", "no device")
FOUND = PartFound(Part.SCREEN, "OLED")


async def shown(display: SimulatedDisplay, wanted: Image.Image) -> None:
    """Return when the display shows the picture, whatever it showed before."""
    async with asyncio.timeout(WAIT_S):
        # The picture may have been shown at another step of its shift.
        while display.picture is None or not is_same(display.picture, wanted):
            await asyncio.sleep(0.01)


def is_same(one: Image.Image, other: Image.Image) -> bool:
    """Return True if both show the same, at any step of the shift."""
    return one.histogram() == other.histogram()


async def test_the_newest_view_is_shown():
    display = SimulatedDisplay()
    async with Screen(CONFIG, Inbox().post, display.open) as screen:
        for view in (SILENT, TALKING, SILENT, TALKING):
            screen.show(view)
        await shown(display, picture(TALKING, TALL))
    assert not display.is_lit


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

    inbox, hours = Inbox(), itertools.count(0.0, 3600.0)
    async with Screen(CONFIG, inbox.post, missing, lambda: next(hours)) as screen:
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
import appliance.assembly
from appliance.config import ButtonsConfig, LampsConfig
from appliance.panel.buttons import Buttons
from appliance.panel.lamps import Lamps

no_buttons = ButtonsConfig(talk=None, leave=None)
no_lamps = LampsConfig(online=None, talking=None)

async def main():
    async with Buttons(no_buttons, print), Lamps(no_lamps, print):
        await asyncio.sleep(0)

asyncio.run(main())
print({"luma", "PIL", "smbus2", "gpiozero"} & set(sys.modules))
"""


def test_a_box_without_a_panel_imports_nothing_for_it():
    command = [sys.executable, "-c", NOTHING_IMPORTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


class PluggableDisplay(SimulatedDisplay):
    """Supervisor, and its display, which can be unplugged."""

    def __init__(self, config: ScreenConfig = IDLE_CONFIG) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.probes = 0
        self.shows = 0
        self.is_plugged = True
        self.power_cuts = 0
        self.supervisor = DisplaySupervisor(config, self.events.append, self.open)

    def open(self, config: ScreenConfig) -> "PluggableDisplay":
        self.probes += 1
        self._check()
        super().open(config)
        return self

    def check(self) -> bool:
        self._check()
        return not self._was_without_power()

    def show(self, picture: Image.Image, /) -> None:
        self._check()
        self.shows += 1
        super().show(picture)

    def light(self, *, is_lit: bool) -> None:
        self._check()
        super().light(is_lit=is_lit)

    def close(self) -> None:
        self.is_lit = False
        self._check()

    def _was_without_power(self) -> bool:
        if not self.power_cuts:
            return False
        self.power_cuts -= 1
        self.picture = None
        return True

    def _check(self) -> None:
        if not self.is_plugged:
            raise NO_DEVICE


def test_a_picture_is_sent_once_until_it_changes():
    display = PluggableDisplay()
    for second in range(5):
        display.supervisor.refresh(SILENT, second, 0)
    assert display.shows == 1
    display.supervisor.refresh(TALKING, 5, 0)
    assert display.picture == picture(TALKING, TALL)
    assert display.events == []


def test_before_the_first_view_the_screen_stays_dark():
    display = PluggableDisplay()
    display.supervisor.refresh(None, 0, 0)
    assert (display.probes, display.shows) == (1, 0)


def test_a_missing_screen_is_reported_once_and_probed_every_few_seconds():
    display = PluggableDisplay()
    display.is_plugged = False
    for tenth in range(300):
        display.supervisor.refresh(SILENT, tenth / 10, 0)
    assert display.events == [LOST]
    assert display.probes == 30 / PROBE_S


def test_a_bus_that_appears_a_second_after_the_start_is_no_fault(caplog):
    display = PluggableDisplay()
    display.is_plugged = False
    shown_at_s = replugged(display, 0.0, 1.0)
    assert shown_at_s <= 1.0 + 2
    assert display.events == []
    assert [x for x in caplog.records if x.levelno >= logging.INFO] == []


def test_a_bus_that_is_still_absent_some_seconds_after_the_start_is_reported():
    display = PluggableDisplay()
    display.is_plugged = False
    for probe in range(PATIENCE):
        display.supervisor.refresh(SILENT, probe * PROBE_S, 0)
    assert display.events == []
    display.supervisor.refresh(SILENT, PATIENCE * PROBE_S, 0)
    assert display.events == [LOST]


def test_a_bus_that_stays_absent_is_reported_within_five_seconds_of_the_start():
    display = PluggableDisplay()
    display.is_plugged = False
    now_s = next_s = 0.0
    while not display.events:
        now_s = next_s
        next_s += display.supervisor.refresh(SILENT, now_s, 0)
    # The program itself needs up to a second on a fast machine.
    assert now_s <= 4


def test_a_screen_that_was_shown_is_reported_lost_at_once_also_after_the_start():
    display = PluggableDisplay()
    display.supervisor.refresh(SILENT, 0, 0)
    display.is_plugged = False
    display.supervisor.refresh(TALKING, 1, 0)
    assert display.events == [LOST]


@pytest.mark.parametrize("back_at_s", [100.01 + tenth / 10 for tenth in range(30)])
def test_a_screen_has_its_picture_within_two_seconds_of_the_buss_answer(back_at_s):
    display = PluggableDisplay()
    display.supervisor.refresh(SILENT, 0, 0)
    display.is_plugged = False
    display.picture = None
    assert replugged(display, 100.0, back_at_s) <= back_at_s + 2
    assert display.picture == picture(SILENT, TALL, pixel_shift(1))
    assert display.is_lit


def replugged(display: "PluggableDisplay", now_s: float, back_at_s: float) -> float:
    """Refresh when it is due until the picture is shown; return the time of that."""
    shows = display.shows
    while display.shows == shows:
        display.is_plugged = now_s >= back_at_s
        wait_s = display.supervisor.refresh(SILENT, now_s, 0)
        shown_at_s = now_s
        now_s += wait_s + PAUSE_S
    return shown_at_s


def test_an_unplugged_screen_is_reported_and_redrawn_on_its_return():
    display = PluggableDisplay()
    display.supervisor.refresh(SILENT, 0, 0)
    display.is_plugged = False
    display.supervisor.refresh(TALKING, 1, 0)
    assert display.events == [LOST]
    display.is_plugged = True
    assert display.supervisor.refresh(TALKING, 1, 0) == pytest.approx(PROBE_S - 1)
    assert display.shows == 1
    display.supervisor.refresh(TALKING, PROBE_S, 0)
    assert display.events == [LOST, FOUND]
    assert display.picture == picture(TALKING, TALL)
    assert display.is_lit


def test_an_unplugged_screen_is_detected_while_nothing_changes():
    display = PluggableDisplay()
    assert display.supervisor.refresh(SILENT, 0, 0) == PROBE_S
    display.is_plugged = False
    display.supervisor.refresh(SILENT, 1, 0)
    assert display.events == []
    display.supervisor.refresh(SILENT, PROBE_S, 0)
    assert display.events == [LOST]
    display.is_plugged = True
    display.supervisor.refresh(SILENT, 2 * PROBE_S, 0)
    assert display.events == [LOST, FOUND]
    assert display.is_lit


def test_a_power_cut_is_repaired_without_a_report():
    display = PluggableDisplay()
    display.supervisor.refresh(SILENT, 0, 70)
    display.power_cuts = 1
    display.supervisor.refresh(SILENT, PROBE_S, 70 + PROBE_S)
    assert display.picture == picture(SILENT, TALL)
    assert (display.is_lit, display.is_dim) == (True, True)
    assert display.events == []


class Defective(PluggableDisplay):
    """A display that is found but takes no picture."""

    def show(self, picture: Image.Image, /) -> None:
        raise NO_DEVICE


def test_a_screen_that_answers_but_takes_no_picture_is_lost_once_and_not_found():
    display = Defective()
    for second in range(30):
        display.supervisor.refresh(SILENT, second, 0)
    assert display.events == [LOST]


def test_an_idle_screen_dims_sleeps_and_wakes_with_the_newest_picture():
    display = PluggableDisplay()
    display.supervisor.refresh(SILENT, 0, 0)
    assert (display.is_lit, display.is_dim) == (True, False)
    display.supervisor.refresh(SILENT, 0, 60)
    assert (display.is_lit, display.is_dim) == (True, True)
    display.supervisor.refresh(SILENT, 0, 600)
    assert not display.is_lit
    shows = display.shows
    display.supervisor.refresh(TALKING, 0, 601)
    assert display.shows == shows
    display.supervisor.refresh(TALKING, 0, 0)
    assert (display.is_lit, display.is_dim) == (True, False)
    assert display.picture == picture(TALKING, TALL)


def test_the_picture_shifts_over_minutes():
    display = PluggableDisplay()
    seen = set()
    for minute in range(8):
        display.supervisor.refresh(SILENT, minute * SHIFT_S, 0)
        assert display.picture == picture(SILENT, TALL, pixel_shift(minute))
        seen.add(display.picture.tobytes())
    assert len(seen) == 8


def test_a_screen_that_fails_while_closing_is_not_reported():
    display = PluggableDisplay()
    display.supervisor.refresh(SILENT, 0, 0)
    display.is_plugged = False
    display.supervisor.close()
    display.supervisor.close()
    assert display.events == []


def test_zero_means_never():
    display = PluggableDisplay(ScreenConfig(dim_after_s=0, sleep_after_s=0))
    display.supervisor.refresh(SILENT, 0, 1e9)
    assert (display.is_lit, display.is_dim) == (True, False)


def test_talk_and_chat_wake_the_screen_but_a_countdown_does_not():
    out = SITUATIONS["disconnected"]
    assert not is_awake(out, replace(out, banner="retry in 3 s"))
    assert is_awake(SILENT, TALKING)
    chat = (*SILENT.chat, line("Anna", "Good night"))
    assert is_awake(SILENT, replace(SILENT, chat=chat))


@pytest.mark.parametrize("button", Button)
def test_a_press_wakes_the_screen_even_if_it_has_no_effect(button):
    box = in_room(Config(talk=TalkConfig(leave_hold_ms=1000)))
    box.play(box.people(), VolumeAsked(0), PRESS_AT_BOOT, 1)
    before = box.view()
    box.play(ButtonPressed(button))
    pressed = box.view()
    assert is_awake(before, pressed)
    box.play(ButtonReleased(button), ButtonPressed(button))
    assert not is_awake(pressed, box.view()), "contact bounce is no press"


def test_a_request_for_the_pin_wakes_a_screen_that_shows_it_already():
    box = in_room()
    while box.view().screen_page is not ScreenPage.PAIRING:
        box.play(1, ButtonPressed(Button.NEXT_PAGE))
    before = box.view()
    box.play(PairingAsked())
    asked = box.view()
    assert is_awake(before, asked)
    box.play(PIN_SHOWN_S)
    assert not is_awake(asked, box.view()), "nobody asked again"


@pytest.mark.parametrize("cause", [Cause.NO_INTERNET, Cause.TOKEN_SOURCE])
@pytest.mark.parametrize("is_final", [False, True])
def test_attempts_in_a_long_outage_do_not_wake_the_screen(cause, is_final):
    box = in_room()
    before = box.view()
    box.play(box.lost())
    out = box.view()
    assert is_awake(before, out), "people notice when the room is lost"
    lost_at_s = box.now_s
    attempts = 0
    while box.now_s < lost_at_s + 3600:
        if of(FetchToken, box.play(1.0)):
            attempts += 1
            assert not is_awake(out, box.view())
            # A token source may write the number of the request into its error.
            reason = f'it answered 500. It says: "request {attempts}".'
            box.play(box.no_token(cause, reason=reason, is_final=is_final))
            assert reason in box.view().faults
        assert not is_awake(out, box.view())
    assert attempts > 1
    assert box.now_s - lost_at_s >= ScreenConfig().sleep_after_s
    while not of(FetchToken, box.play(1.0)):
        pass
    was_out = box.view()
    box.enter()
    assert is_awake(was_out, box.view()), "people notice when the room is back"


def test_a_network_that_comes_and_goes_wakes_the_screen_and_sounds_once():
    box = in_room()
    box.play(LinkChanged("192.168.1.5"))
    shown, wakes, commands = box.view(), 0, len(box.commands)
    for _ in range(20):
        for address in (None, "192.168.1.5"):
            box.play(LinkChanged(address))
            wakes += is_awake(shown, box.view())
            shown = box.view()
            box.play(30)
    assert wakes == 2
    assert earcons(box.commands[commands:]) == (Earcon.LOST, Earcon.JOINED)
    box.play(600)
    commands = len(box.commands)
    box.play(LinkChanged(None), 60, LinkChanged("192.168.1.5"))
    assert earcons(box.commands[commands:]) == (Earcon.LOST, Earcon.JOINED)


def test_a_loss_that_cuts_a_talk_is_never_quiet():
    for loss in ((LinkChanged(None),), (RoomPaused(1), 31.0, RoomLeft(1))):
        box = in_room()
        box.play(LinkChanged("192.168.1.5"), LinkChanged(None))
        box.play(LinkChanged("192.168.1.5"), 60, PRESS, FirstBlockSent(0.01))
        commands = len(box.commands)
        box.play(*loss)
        assert Earcon.LOST in earcons(box.commands[commands:]), loss
        assert not box.is_live()


def test_a_return_that_somebody_asked_for_is_never_quiet():
    box = in_room()
    box.play(box.lost(), 1)
    box.enter()
    assert earcons(box.play(box.lost())) == ()
    box.play(LeaveAsked(), box.left(), JoinAsked())
    was_out = box.view()
    assert earcons(box.enter()) == (Earcon.JOINED,)
    assert is_awake(was_out, box.view())


def test_a_part_that_fails_in_an_outage_wakes_the_screen():
    box = in_room()
    box.play(box.lost())
    out = box.view()
    box.play(MICROPHONE_LOST)
    assert is_awake(out, box.view())
