"""A button whose pin fails: nobody can undo with it what it has done."""

import pytest

from appliance.core.events import Button, ButtonPressed, ButtonReleased
from appliance.core.state import Phase
from tests.core.story import (
    HOLD,
    HYBRID,
    LEAVE,
    LEAVE_UP,
    OPEN,
    PAGE_DOWN,
    PAGE_UP,
    PRESS,
    PUSH_TO_TALK,
    RELEASE,
    TOGGLE,
    UNMUTE,
    in_room,
    live,
    with_mode,
    with_presets,
)

LOST = ButtonReleased(Button.TALK, is_lost=True)


@pytest.mark.parametrize("held_s", [0.1, 5])
@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_the_talk_of_a_held_button_ends_with_its_pin(mode, held_s):
    box = live(mode)
    box.play(held_s, LOST)
    assert not box.is_live()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_latched_talk_ends_with_the_pin_of_its_button(mode):
    box = live(mode)
    box.play(0.1, RELEASE, 5)
    assert box.is_live()
    box.play(LOST)
    assert not box.is_live()


def test_a_mute_at_an_open_box_can_be_undone_on_the_page_without_the_button():
    box = in_room(with_mode(OPEN))
    box.play(PRESS, RELEASE, LOST)
    assert not box.is_live()
    assert not box.view().is_muted_at_box
    assert box.view().is_muted_on_page
    box.play(UNMUTE)
    assert box.is_live()


def test_an_open_box_that_is_not_muted_goes_on_talking_without_its_button():
    box = in_room(with_mode(OPEN))
    assert box.play(LOST) == ()
    assert box.is_live()


@pytest.mark.parametrize("mode", [HOLD, TOGGLE, HYBRID])
def test_a_talk_of_the_page_goes_on_without_the_button(mode):
    box = in_room(with_mode(mode))
    box.play(PAGE_DOWN, LOST)
    assert box.is_live()
    box.play(PAGE_UP)
    assert not box.is_live()


def hum(box, button, presses):
    """Press a button as a floating wire does until it is found to float."""
    for _ in range(presses):
        box.play(ButtonPressed(button), 0.01, ButtonReleased(button), 0.01)
    box.play(ButtonReleased(button, is_lost=True))


@pytest.mark.parametrize("is_answered", [False, True])
@pytest.mark.parametrize("presses", [180, 181])
def test_a_floating_wire_of_the_leave_button_leaves_the_box_in_the_room(
    presses, is_answered
):
    box = in_room()
    box.play(*((LEAVE, box.left(), 0.02) if is_answered else ()))
    hum(box, Button.LEAVE, presses)
    box.play(box.left())
    assert box.phase() is Phase.FETCHING


def test_a_box_that_somebody_has_left_stays_out_when_the_leave_button_fails():
    box = in_room()
    box.play(LEAVE, LEAVE_UP, box.left(), 60)
    box.play(ButtonReleased(Button.LEAVE, is_lost=True), 60)
    assert box.phase() is Phase.LEFT


@pytest.mark.parametrize("presses", [180, 181, 182])
def test_a_floating_wire_of_the_room_button_leaves_the_box_in_its_room(presses):
    box = in_room(with_presets("garage", "cellar"))
    hum(box, Button.NEXT_ROOM, presses)
    box.play(box.left())
    assert box.phase() is Phase.FETCHING
    assert box.view().preset is None


def test_a_room_that_was_chosen_stays_when_the_room_button_fails():
    box = in_room(with_presets("garage"))
    box.play(ButtonPressed(Button.NEXT_ROOM), box.left())
    box.enter()
    box.play(1, ButtonReleased(Button.NEXT_ROOM, is_lost=True))
    assert box.view().preset == "garage"


@pytest.mark.parametrize("button", [x for x in Button if x is not Button.TALK])
def test_the_loss_of_another_button_does_not_end_a_talk(button):
    box = live(HYBRID)
    box.play(0.1, RELEASE, ButtonReleased(button, is_lost=True))
    assert box.is_live()
