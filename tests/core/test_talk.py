"""Talking by button in every mode."""

import pytest

from appliance.config import Config, TalkConfig
from appliance.core import talk
from appliance.core.commands import ClearPreRoll, CloseGate, Earcon, OpenGate
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    JoinAsked,
    LeaveAsked,
    Started,
)
from tests.core.story import (
    ALICE,
    BOB,
    HOLD,
    HYBRID,
    LEAVE,
    MICROPHONE_FOUND,
    MICROPHONE_LOST,
    MUTE,
    OPEN,
    PAGE_DOWN,
    PAGE_UP,
    PRESS,
    PUSH_TO_TALK,
    RELEASE,
    TOGGLE,
    UNMUTE,
    CoreHarness,
    earcons,
    in_room,
    live,
    of,
    started,
    with_limit,
    with_mode,
)

# modes


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_box_is_muted_at_boot(mode):
    box = in_room(with_mode(mode))
    box.play(60)
    assert not of(OpenGate, box.commands)


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_press_opens_the_gate_at_once_with_a_sound(mode):
    box = in_room(with_mode(mode))
    commands = box.play(PRESS)
    assert of(OpenGate, commands) == (OpenGate(box.now_s),)
    assert earcons(commands) == (Earcon.PERMIT,)


def test_opening_the_gate_carries_the_time_of_the_press():
    box = in_room(with_mode(HOLD))
    (command,) = of(OpenGate, box.play(5, PRESS))
    assert command.asked_at_s == box.now_s


@pytest.mark.parametrize("held_s", [0.01, 0.29, 0.31, 5])
def test_in_hold_mode_talk_lasts_as_long_as_the_press(held_s):
    box = live(HOLD)
    box.play(held_s)
    assert box.is_live()
    commands = box.play(RELEASE)
    assert of(CloseGate, commands) == (CloseGate(tail_ms=250),)
    assert earcons(commands) == (Earcon.END,)


PRE_ROLL = Config(talk=TalkConfig(mode=HYBRID, pre_roll_ms=300))


def test_the_pre_roll_is_cleared_on_entering_a_room_and_not_by_a_press():
    box = started(PRE_ROLL)
    assert of(ClearPreRoll, box.play(box.token(), box.joined()))
    assert not of(ClearPreRoll, box.play(60, PRESS, 5, RELEASE))


def test_in_each_new_session_the_pre_roll_is_cleared_again():
    box = in_room(PRE_ROLL)
    assert not of(ClearPreRoll, box.play(LEAVE, box.left(), 1, LEAVE))
    assert of(ClearPreRoll, box.enter())


def test_what_is_said_while_muted_is_cleared_from_the_pre_roll_by_the_unmute():
    box = in_room(PRE_ROLL)
    assert not of(ClearPreRoll, box.play(MUTE, 60))
    assert of(ClearPreRoll, box.play(UNMUTE))


def test_a_press_that_undoes_a_mute_clears_the_pre_roll_before_the_gate_opens():
    box = in_room(PRE_ROLL)
    box.play(MUTE, 60)
    kinds = [type(command) for command in box.play(PRESS)]
    assert kinds.index(ClearPreRoll) < kinds.index(OpenGate)


@pytest.mark.parametrize(("mode", "pre_roll_ms"), [(HYBRID, 0), (OPEN, 300)])
def test_without_a_pre_roll_as_in_open_mode_there_is_nothing_to_clear(
    mode, pre_roll_ms
):
    config = TalkConfig(mode=mode, pre_roll_ms=pre_roll_ms)
    assert not config.used_pre_roll_ms
    box = in_room(Config(talk=config))
    box.play(MUTE, 60, PRESS)
    assert not of(ClearPreRoll, box.commands)


@pytest.mark.parametrize("tail_ms", [0, 250])
def test_the_tail_is_longer_by_the_delay_of_the_pre_roll(tail_ms):
    """Also without a tail: the last words are still in the delay line."""
    config = TalkConfig(mode=HOLD, pre_roll_ms=300, tail_ms=tail_ms)
    box = in_room(Config(talk=config))
    commands = box.play(PRESS, 5, RELEASE)
    assert of(CloseGate, commands) == (CloseGate(tail_ms=300 + tail_ms),)


def test_in_toggle_mode_each_press_starts_or_ends():
    box = live(TOGGLE)
    box.play(5, RELEASE)
    assert box.is_live()
    assert of(CloseGate, box.play(0.2, PRESS)) == (CloseGate(tail_ms=250),)
    box.play(RELEASE, 5)
    assert not box.is_live()
    box.play(PRESS, RELEASE)
    assert box.is_live()


def test_in_hybrid_mode_a_tap_latches():
    box = live(HYBRID)
    box.play(talk.TAP_S - 0.01, RELEASE, 5)
    assert box.is_live()


def test_in_hybrid_mode_a_hold_is_momentary():
    box = live(HYBRID)
    box.play(talk.TAP_S + 0.01, RELEASE)
    assert not box.is_live()


@pytest.mark.parametrize("held_s", [0.1, 5])
def test_in_hybrid_mode_the_next_press_ends_a_latched_talk(held_s):
    box = live(HYBRID)
    box.play(0.1, RELEASE, 5)
    assert of(CloseGate, box.play(PRESS)) == (CloseGate(tail_ms=250),)
    box.play(held_s, RELEASE, 5)
    assert not box.is_live()


def test_an_open_box_talks_as_soon_as_it_is_in_the_room_even_alone():
    box = started(with_mode(OPEN))
    assert not box.is_live()
    box.play(box.token())
    assert of(OpenGate, box.play(box.joined()))


def test_open_mode_talks_though_the_room_was_left_before_the_start():
    box = CoreHarness(with_mode(OPEN))
    box.play(LeaveAsked(), Started(), JoinAsked())
    box.enter()
    assert box.is_live()


def test_in_open_mode_a_press_mutes_at_once_and_the_next_one_unmutes():
    box = in_room(with_mode(OPEN))
    assert of(CloseGate, box.play(PRESS)) == (CloseGate(tail_ms=0),)
    box.play(RELEASE, 100)
    assert not box.is_live()
    assert box.view().is_muted_at_box
    box.play(PRESS)
    assert box.is_live()


def test_in_open_mode_muting_while_away_is_not_refused_and_holds_in_the_room():
    box = started(with_mode(OPEN))
    assert not earcons(box.play(PRESS, RELEASE))
    box.enter()
    assert not box.is_live()


# presses that are refused


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
@pytest.mark.parametrize("is_released", [True, False])
def test_a_press_without_a_room_is_refused_and_never_goes_live_later(mode, is_released):
    box = started(with_mode(mode))
    assert earcons(box.play(PRESS)) == (Earcon.REFUSED,)
    if is_released:
        box.play(0.1, RELEASE)
    box.enter()
    box.play(10)
    assert not of(OpenGate, box.commands)
    box.play(RELEASE, 0.2, PRESS)
    assert box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
@pytest.mark.parametrize("is_released", [True, False])
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_press_without_listener_or_microphone_is_refused_and_never_goes_live_later(
    mode, is_released, is_alone
):
    box = in_room(with_mode(mode))
    box.play(box.people() if is_alone else MICROPHONE_LOST)
    assert earcons(box.play(PRESS)) == (Earcon.REFUSED,)
    if is_released:
        box.play(0.1, RELEASE)
    box.play(60, box.people(ALICE, BOB) if is_alone else MICROPHONE_FOUND, 60)
    assert not of(OpenGate, box.commands)


def test_a_refused_press_on_the_page_sounds_and_never_goes_live_later():
    box = started()
    assert earcons(box.play(PAGE_DOWN)) == (Earcon.REFUSED,)
    box.enter()
    assert not box.is_live()
    box.play(PAGE_UP, PAGE_DOWN)
    assert box.is_live()


def test_a_press_that_ends_a_latched_talk_during_an_outage_ends_it_for_good():
    box = live(HYBRID)
    box.play(0.1, RELEASE, box.paused())
    assert earcons(box.play(0.2, PRESS)) == (Earcon.LOST,)
    box.play(0.1, RELEASE, box.resumed(), 10)
    assert not box.is_live()


def test_a_tap_whose_room_goes_before_its_release_does_not_latch():
    box = live(HYBRID)
    box.play(box.lost(), 0.1, RELEASE, 2)
    box.enter()
    assert not box.is_live()


# edges that are not what they seem


def test_a_second_press_without_a_release_changes_nothing():
    box = live(TOGGLE)
    assert box.play(PRESS, PRESS) == ()
    assert box.is_live()


def test_a_release_without_a_press_changes_nothing():
    box = in_room()
    before = box.state
    assert box.play(RELEASE, RELEASE) == ()
    assert box.state == before


def test_a_release_without_a_press_leaves_the_talk_of_the_page_alone():
    box = in_room()
    box.play(PAGE_DOWN, RELEASE)
    assert box.is_live()


# the press by its time stamps


def test_a_press_that_is_handled_late_is_as_long_as_its_stamps_say():
    box = in_room(with_mode(HYBRID))
    down_s = box.now_s + 1
    box.play(1.1, ButtonPressed(Button.TALK, at_s=down_s))
    box.play(0.25, ButtonReleased(Button.TALK, at_s=down_s + 0.35))
    assert not box.is_live()


def test_a_contact_closed_for_an_instant_latches_nothing():
    box = in_room(with_mode(HYBRID))
    box.play(PRESS, 0.001, RELEASE)
    assert not box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_bounce_while_locked_by_the_time_limit_does_not_unlock_the_press(mode):
    box = in_room(with_limit(30, 4, mode))
    box.play(PRESS, 31)
    box.play(RELEASE, ButtonPressed(Button.TALK, is_resumed=True), 5)
    assert not box.is_live()


def test_a_bounce_does_not_latch_a_press_that_is_held_on():
    box = live(HYBRID)
    box.play(0.1, RELEASE, ButtonPressed(Button.TALK, is_resumed=True), 1)
    assert box.is_live()
    box.play(RELEASE)
    assert not box.is_live()
