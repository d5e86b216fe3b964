"""A talk button whose pin fails: nobody can end its talk or undo its mute with it."""

import pytest

from appliance.core.events import Button, ButtonReleased
from tests.core.story import (
    HOLD,
    HYBRID,
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


@pytest.mark.parametrize("button", [x for x in Button if x is not Button.TALK])
def test_the_loss_of_another_button_does_not_end_a_talk(button):
    box = live(HYBRID)
    box.play(0.1, RELEASE, ButtonReleased(button, is_lost=True))
    assert box.is_live()
