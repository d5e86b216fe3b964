"""Talking from the page."""

import pytest

from appliance.config import Config, TalkConfig, TalkMode
from appliance.core.commands import CloseGate, OpenGate
from appliance.core.events import (
    JoinAsked,
    LeaveAsked,
)
from tests.core.story import (
    ALICE,
    HOLD,
    HYBRID,
    MUTE,
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
    of,
    with_limit,
    with_mode,
    with_presets,
)


def test_the_page_talks_while_its_button_is_down():
    box = in_room(with_mode(HOLD))
    assert of(OpenGate, box.play(PAGE_DOWN))
    assert of(CloseGate, box.play(PAGE_UP)) == (CloseGate(tail_ms=250),)


def test_a_release_on_the_page_ends_a_latched_talk():
    box = live(HYBRID)
    box.play(0.1, RELEASE, PAGE_DOWN, PAGE_UP)
    assert not box.is_live()


def test_the_release_of_a_refused_press_on_the_page_does_not_end_a_later_talk():
    box = in_room(with_mode(HYBRID))
    box.play(box.people(), PAGE_DOWN, box.people(ALICE), PRESS, 0.1, RELEASE)
    assert box.play(PAGE_UP) == ()
    assert box.is_live()


def test_a_release_on_the_page_leaves_an_open_box_open():
    box = in_room(with_mode(OPEN))
    box.play(PAGE_DOWN, PAGE_UP)
    assert box.is_live()


@pytest.mark.parametrize(
    "end", [(PRESS, 1, RELEASE), (31,), (MUTE, UNMUTE), (31, MUTE)]
)
def test_the_release_of_an_ended_press_on_the_page_does_not_end_a_later_talk(end):
    box = in_room(with_limit(30, 4, HYBRID))
    box.play(PAGE_DOWN, *end, 0.2, PRESS, 0.1, RELEASE)
    assert box.is_live()
    assert not of(CloseGate, box.play(PAGE_UP))
    assert box.is_live()
    box.play(PAGE_DOWN, PAGE_UP)
    assert not box.is_live()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_the_release_of_a_button_whose_press_ended_a_talk_does_not_end_the_next(mode):
    box = live(mode)
    box.play(0.1, RELEASE, 0.2, PRESS)
    assert not box.is_live()
    box.play(PAGE_DOWN)
    assert box.is_live()
    box.play(1, RELEASE)
    assert box.is_live()
    box.play(PAGE_UP)
    assert not box.is_live()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_press_at_the_box_ends_the_talk_of_the_page(mode):
    box = in_room(with_mode(mode))
    box.play(PAGE_DOWN)
    assert of(CloseGate, box.play(PRESS))
    box.play(0.1, RELEASE, 5)
    assert not box.is_live()


def test_in_hold_mode_the_release_at_the_box_ends_the_talk_of_the_page_too():
    box = in_room(with_mode(HOLD))
    box.play(PAGE_DOWN, PRESS)
    assert box.is_live()
    box.play(RELEASE)
    assert not box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_mute_on_the_page_ends_the_talk_and_unmuting_does_not_start_it(mode):
    box = live(mode)
    assert of(CloseGate, box.play(MUTE)) == (CloseGate(tail_ms=0),)
    assert box.view().is_muted_on_page
    box.play(UNMUTE, 0.1, RELEASE, 5)
    assert not box.is_live()


def test_unmuting_what_is_not_muted_does_not_end_a_talk():
    box = live(HYBRID)
    assert box.play(UNMUTE, 0.1, RELEASE, UNMUTE) == ()
    assert box.is_live()


def test_unmuting_on_the_page_does_not_bring_its_own_talk_back():
    box = in_room()
    box.play(PAGE_DOWN, MUTE, UNMUTE)
    assert not box.is_live()


def test_a_press_at_the_box_outranks_a_mute_on_the_page():
    box = in_room()
    box.play(MUTE, PRESS)
    assert box.is_live()
    assert not box.view().is_muted_on_page


@pytest.mark.parametrize("mode", TalkMode)
def test_a_press_on_the_page_does_not_undo_a_mute_on_the_page(mode):
    box = in_room(with_mode(mode))
    box.play(MUTE, PAGE_DOWN)
    assert not box.is_live()
    box.play(PAGE_UP)
    assert not box.is_live()
    assert box.view().is_muted_on_page
    assert box.view().talk_text == "muted on the page"


def test_in_open_mode_a_hold_on_the_page_leaves_its_mute_as_it_was():
    box = in_room(with_mode(OPEN))
    box.play(MUTE, PAGE_DOWN, 1, PAGE_UP, 60)
    assert not box.is_live()
    box.play(UNMUTE)
    assert box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_after_the_time_limit_the_page_button_has_to_be_released_first(mode):
    box = in_room(with_limit(30, 4, mode))
    box.play(PAGE_DOWN, 31)
    assert not box.is_live()
    assert box.view().is_page_press_ignored
    assert not of(OpenGate, box.play(PAGE_DOWN, 60))
    box.play(PAGE_UP)
    assert not box.view().is_page_press_ignored
    assert of(OpenGate, box.play(PAGE_DOWN))


@pytest.mark.parametrize(
    "end",
    [
        (MUTE, UNMUTE),
        (PRESS, 1, RELEASE),
        (LeaveAsked(), 5, JoinAsked()),
        (JoinAsked("garage"), 5),
    ],
)
def test_a_talk_of_the_page_that_was_ended_does_not_resume_by_itself(end):
    box = in_room(with_presets("garage"))
    box.play(PAGE_DOWN, *end)
    box.enter()
    assert not box.is_live()
    assert box.view().is_page_press_ignored
    box.play(PAGE_DOWN)
    assert not box.is_live()
    box.play(PAGE_UP, PAGE_DOWN)
    assert box.is_live()


def test_in_open_mode_the_page_mutes_and_unmutes():
    box = in_room(with_mode(OPEN))
    box.play(MUTE)
    assert not box.is_live()
    box.play(UNMUTE)
    assert box.is_live()


def test_in_open_mode_a_press_at_the_box_ends_a_mute_on_the_page():
    box = in_room(with_mode(OPEN))
    box.play(MUTE, PRESS)
    assert box.is_live()


def test_a_press_on_the_page_of_a_muted_box_changes_nothing():
    box = in_room(with_mode(OPEN))
    box.play(PRESS, RELEASE, MUTE)
    before = box.state
    assert box.play(PAGE_DOWN) == ()
    assert box.state == before


@pytest.mark.parametrize(
    "trick",
    [
        (PAGE_DOWN,),
        (PAGE_DOWN, PAGE_UP),
        (UNMUTE,),
        (MUTE, UNMUTE),
        (LeaveAsked(), 5, JoinAsked()),
        (JoinAsked(display_name="Mallory"), 5),
        (JoinAsked("garage"), 5),
    ],
)
def test_nothing_on_the_page_undoes_a_mute_at_the_box(trick):
    room = with_presets("garage").room
    box = in_room(Config(talk=TalkConfig(mode=OPEN), room=room))
    box.play(PRESS, RELEASE)
    commands = box.play(*trick)
    commands += box.enter()
    assert not of(OpenGate, commands)
    assert box.view().is_muted_at_box
