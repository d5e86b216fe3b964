"""What each button does, pressed shortly and held."""

from dataclasses import replace

import pytest

from appliance.config import Config, TalkConfig
from appliance.core.commands import (
    FetchToken,
    LeaveRoom,
    SetGain,
    SetVolume,
    StoreVolumeAndGain,
)
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    Cause,
    GainAsked,
    LeaveAsked,
    VolumeAsked,
)
from appliance.core.fault_table import BUTTON_HELD
from appliance.core.state import Phase, ScreenPage
from tests.core.story import LEAVE, LEAVE_UP, CoreHarness, in_room, of, started

HELD = Config(talk=TalkConfig(leave_hold_ms=1000))
NOT_TALK = tuple(button for button in Button if button is not Button.TALK)
LOUDER, QUIETER = map(ButtonPressed, (Button.VOLUME_UP, Button.VOLUME_DOWN))


# leave


def test_a_short_press_leaves_and_the_next_one_comes_back():
    box = in_room()
    assert box.play(LEAVE, 0.05, LEAVE_UP) == (LeaveRoom(1),)
    box.play(box.left())
    assert of(FetchToken, box.play(0.2, LEAVE, 0.05, LEAVE_UP))


def test_with_a_hold_time_a_short_press_does_nothing():
    box = in_room(HELD)
    assert box.play(LEAVE, 0.9, LEAVE_UP, 10) == ()


def test_with_a_hold_time_leaving_comes_while_the_button_is_held_and_once():
    box = in_room(HELD)
    assert box.play(LEAVE, 0.99) == ()
    assert box.play(0.02) == (LeaveRoom(1),)
    box.play(box.left(), 10, LEAVE_UP)
    assert box.phase() is Phase.LEFT


def test_another_button_that_comes_up_does_not_end_the_hold():
    box = in_room(HELD)
    assert box.play(LEAVE, 0.5, ButtonReleased(Button.NEXT_PAGE), 0.6) == (
        LeaveRoom(1),
    )


def test_coming_back_needs_no_hold():
    box = in_room(HELD)
    box.play(LEAVE, 1.01, LEAVE_UP, box.left())
    assert of(FetchToken, box.play(0.2, LEAVE, 0.05, LEAVE_UP))


def test_undoing_a_leave_needs_no_hold():
    box = in_room(HELD)
    box.play(LEAVE, 1.01, LEAVE_UP, 0.2, LEAVE, LEAVE_UP)
    assert of(FetchToken, box.play(box.left()))


@pytest.mark.parametrize("ending", ["page", "removed"])
def test_a_held_leave_still_means_leave_when_the_room_ends_meanwhile(ending):
    box = in_room(HELD)
    box.play(LEAVE, 0.5)
    if ending == "page":
        box.play(LeaveAsked(), box.left())
    else:
        box.play(box.lost(Cause.ROOM_CLOSED))
    assert not of(FetchToken, box.play(10))
    assert box.phase() is Phase.LEFT


# held at boot


@pytest.mark.parametrize("button", NOT_TALK)
def test_a_button_held_at_boot_has_no_effect_and_is_named_once(button):
    box = in_room()
    held = ButtonPressed(button, is_at_boot=True)
    assert box.play(held, held, 60) == ()
    assert box.view().faults == (BUTTON_HELD.text(button=button),)
    assert box.view().lamps.fault
    box.play(ButtonReleased(button))
    assert box.view().faults == ()


def test_each_button_held_at_boot_is_named_until_it_comes_up():
    box = CoreHarness()
    box.play(*(ButtonPressed(button, is_at_boot=True) for button in NOT_TALK))
    assert len(box.view().faults) == len(NOT_TALK)
    box.play(ButtonReleased(Button.LEAVE))
    assert BUTTON_HELD.text(button="leave") not in box.view().faults
    assert len(box.view().faults) == len(NOT_TALK) - 1


@pytest.mark.parametrize("button", NOT_TALK)
def test_a_bounce_of_a_button_held_at_boot_has_no_effect_and_leaves_it_named(button):
    box = in_room(HELD)
    box.play(ButtonPressed(button, is_at_boot=True), 5, ButtonReleased(button))
    assert box.play(ButtonPressed(button, is_resumed=True), 60) == ()
    assert box.view().faults == (BUTTON_HELD.text(button=button),)
    box.play(ButtonReleased(button), 1, ButtonPressed(button), ButtonReleased(button))
    assert box.view().faults == ()


# volume and gain


def test_the_volume_buttons_step_and_are_kept():
    box = CoreHarness()
    assert box.play(LOUDER) == (SetVolume(85), StoreVolumeAndGain(percent=85))
    assert box.play(QUIETER, 0.2, QUIETER)[-2:] == (
        SetVolume(75),
        StoreVolumeAndGain(percent=75),
    )
    assert box.view().volume_percent == 75


def test_the_volume_stays_within_its_bounds():
    box = CoreHarness()
    box.play(VolumeAsked(98), LOUDER)
    assert box.view().volume_percent == 100
    box.play(VolumeAsked(2), QUIETER)
    assert box.view().volume_percent == 0


def test_the_page_sets_volume_and_gain():
    box = CoreHarness()
    assert box.play(VolumeAsked(40)) == (SetVolume(40), StoreVolumeAndGain(percent=40))
    assert box.play(GainAsked(6.5)) == (SetGain(6.5), StoreVolumeAndGain(db=6.5))
    assert box.view().microphone_gain_db == 6.5


# screen


def test_the_page_button_goes_round_all_pages_of_the_screen():
    box = started()
    seen = []
    for _ in ScreenPage:
        box.play(ButtonPressed(Button.NEXT_PAGE), ButtonReleased(Button.NEXT_PAGE), 0.2)
        seen.append(box.view().screen_page)
    assert seen == [*tuple(ScreenPage)[1:], ScreenPage.TALK]


def test_a_bounce_of_a_held_leave_button_starts_its_hold_again():
    box = in_room(HELD)
    resumed = ButtonPressed(Button.LEAVE, is_resumed=True)
    assert box.play(LEAVE, 0.5, LEAVE_UP, resumed, 0.9) == ()
    assert box.play(0.2) == (LeaveRoom(1),)


def test_a_bounce_of_a_press_that_joined_again_does_not_leave():
    box = in_room(HELD)
    box.play(LEAVE, 1.01, LEAVE_UP, box.left())
    box.play(0.2, LEAVE, 0.5, LEAVE_UP)
    box.play(ButtonPressed(Button.LEAVE, is_resumed=True))
    assert of(LeaveRoom, box.enter() + box.play(10)) == ()
    assert box.phase() is Phase.IN_ROOM


@pytest.mark.parametrize("button", NOT_TALK)
def test_a_bounce_of_any_other_button_is_no_second_press(button):
    box = in_room()
    box.play(ButtonPressed(button), 0.05, ButtonReleased(button))
    before = box.state
    assert box.play(ButtonPressed(button, is_resumed=True)) == ()
    assert replace(box.state, buttons=before.buttons) == before
