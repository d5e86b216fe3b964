"""Buttons that were down at boot or when a talk was ended."""

import pytest

from appliance.config import Config, TalkConfig, TalkMode
from appliance.core.commands import CloseGate, Earcon, OpenGate
from appliance.core.events import Button, ButtonPressed, TailEnded
from appliance.core.fault_table import BUTTON_HELD
from appliance.core.state import Lock
from tests.core.story import (
    ALICE,
    BOB,
    HOLD,
    HYBRID,
    OPEN,
    PAGE_DOWN,
    PAGE_UP,
    PRESS,
    PRESS_AT_BOOT,
    PUSH_TO_TALK,
    RELEASE,
    TOGGLE,
    CoreHarness,
    earcons,
    in_room,
    of,
    with_limit,
    with_mode,
)

# boot lock-out


@pytest.mark.parametrize("mode", TalkMode)
def test_a_button_held_at_boot_is_locked_out_and_named(mode):
    box = CoreHarness(with_mode(mode))
    box.play(PRESS_AT_BOOT)
    assert box.state.talk.lock is Lock.BOOT
    assert BUTTON_HELD.text(button="talk") in box.view().faults
    assert box.view().talk_text == "talk button stuck: release it"


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_button_held_at_boot_never_talks_until_it_was_released(mode):
    box = in_room(with_mode(mode))
    box.play(PRESS_AT_BOOT, 0.1)
    assert not box.is_live()
    box.play(RELEASE)
    assert not box.is_live()
    assert not box.view().faults
    box.play(0.2, PRESS)
    assert box.is_live()


def test_while_the_button_is_locked_the_page_cannot_talk_either():
    box = in_room()
    box.play(PRESS_AT_BOOT)
    assert earcons(box.play(PAGE_DOWN)) == (Earcon.REFUSED,)
    box.play(RELEASE)
    assert not box.is_live()


def test_an_open_box_with_a_stuck_mute_button_is_silent_until_it_is_released():
    box = in_room(with_mode(OPEN))
    assert of(CloseGate, box.play(PRESS_AT_BOOT)) == (CloseGate(tail_ms=0),)
    box.play(RELEASE)
    assert box.is_live()


def test_a_held_button_that_is_found_held_once_more_is_locked_out():
    box = in_room(with_mode(HOLD))
    box.play(PRESS)
    assert of(CloseGate, box.play(PRESS_AT_BOOT))
    box.play(RELEASE, 1, PRESS)
    assert box.is_live()


@pytest.mark.parametrize("talking", [(PAGE_DOWN,), (PRESS, 0.1, RELEASE)])
@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_button_found_held_ends_the_running_talk_for_good(mode, talking):
    box = in_room(with_mode(mode))
    box.play(*talking, PRESS_AT_BOOT)
    assert not box.is_live()
    box.play(RELEASE)
    assert not box.is_live()


def test_a_bounce_of_a_button_held_at_boot_leaves_it_locked_out_and_named():
    box = in_room(with_mode(HOLD))
    resumed = ButtonPressed(Button.TALK, is_resumed=True)
    box.play(PRESS_AT_BOOT, 5, RELEASE, resumed, 5)
    assert BUTTON_HELD.text(button="talk") in box.view().faults
    assert box.view().talk_text == "talk button stuck: release it"
    box.play(RELEASE, 0.2, PRESS)
    assert box.view().faults == ()
    assert box.is_live()


# talk limit


def test_a_long_talk_is_warned_and_then_ended():
    box = in_room(with_limit(60, 10))
    box.play(PRESS)
    assert not earcons(box.play(49.9))
    assert earcons(box.play(0.2)) == (Earcon.WARNING,)
    assert box.view().talk_text == "talking, time is nearly up"
    assert box.view().talk_left_s == 10
    commands = box.play(10)
    assert of(CloseGate, commands) == (CloseGate(tail_ms=0),)
    assert earcons(commands) == (Earcon.END,)


def test_after_the_limit_the_button_has_to_be_released_first():
    box = in_room(with_limit(60, 10))
    box.play(PRESS, 300)
    assert box.view().talk_text == "time is up: release the button"
    assert not of(OpenGate, box.play(box.people(ALICE, BOB), PAGE_DOWN, PAGE_UP))
    box.play(RELEASE)
    assert not box.is_live()
    box.play(0.3, PRESS)
    assert box.is_live()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_the_limit_ends_a_latched_talk_and_the_next_press_works(mode):
    box = in_room(with_limit(60, 10, mode))
    box.play(PRESS, 0.1, RELEASE, 60)
    assert not box.is_live()
    box.play(0.3, PRESS)
    assert box.is_live()


@pytest.mark.parametrize("gap_s", [0.004, 0.03, 0.06])
@pytest.mark.parametrize("mode", [HOLD, HYBRID])
def test_the_limit_ends_the_talk_of_a_jammed_button_that_flickers(mode, gap_s):
    box = in_room(with_limit(120, 10, mode))
    again = ButtonPressed(Button.TALK, is_resumed=gap_s < 0.01)
    commands = box.play(PRESS, *(100, RELEASE, gap_s, again) * 2)
    assert earcons(commands).count(Earcon.WARNING) == 1
    assert not box.is_live()
    assert not of(OpenGate, box.play(*(100, RELEASE, gap_s, again) * 36))
    box.play(RELEASE, 0.3, PRESS)
    assert box.is_live()


@pytest.mark.parametrize(
    ("contact_s", "gap_s", "limit_s"), [(0.03, 0.05, 3), (0.06, 0.15, 8)]
)
@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_the_limit_ends_the_talk_of_a_worn_contact_until_it_has_rested(
    mode, contact_s, gap_s, limit_s
):
    box = in_room(with_limit(limit_s, 1, mode))
    presses = (PRESS, contact_s, RELEASE, gap_s) * 45
    assert earcons(box.play(*presses)).count(Earcon.WARNING) == 1
    assert not of(OpenGate, box.play(*presses))
    assert not box.is_live()
    box.play(0.3, PRESS)
    assert box.is_live()


def test_the_limit_ends_the_talk_of_the_page_until_it_is_pressed_anew():
    box = in_room(with_limit(60, 10))
    box.play(PAGE_DOWN, 100)
    assert not box.is_live()
    box.play(PAGE_UP, PAGE_DOWN)
    assert box.is_live()


def test_each_talk_has_the_whole_time_and_a_warning_of_its_own():
    box = in_room(with_limit(60, 10))
    box.play(PRESS, 55, RELEASE, 0.3)
    assert earcons(box.play(PRESS, 49)) == (Earcon.PERMIT,)
    assert earcons(box.play(2)) == (Earcon.WARNING,)


def with_long_tail():
    talk_config = TalkConfig(mode=HOLD, limit_s=120, warning_s=10, tail_ms=2000)
    return Config(talk=talk_config)


def test_talks_one_after_the_other_have_a_limit_each_whatever_the_tail_may_be():
    """Silence ends the tail early."""
    box = in_room(with_long_tail())
    for _ in range(14):
        assert earcons(box.play(PRESS, 10)) == (Earcon.PERMIT,)
        box.play(RELEASE, 0.1, TailEnded(), 1.4)


def test_after_the_limit_a_press_talks_as_soon_as_the_button_was_released():
    box = in_room(with_long_tail())
    box.play(PRESS, 121, RELEASE)
    assert earcons(box.play(0.3, PRESS, 0.3)) == (Earcon.PERMIT,)


def test_a_press_that_would_go_on_beyond_the_limit_is_refused_with_a_sound():
    box = in_room(with_limit(120, 10))
    box.play(PRESS, 119.95, RELEASE, 0.15)
    assert Earcon.REFUSED in earcons(box.play(PRESS, 0.1))
    assert not box.is_live()


def test_after_the_limit_a_press_does_not_end_a_talk_of_the_page():
    box = in_room(with_limit(120, 10))
    box.play(PRESS, 121, RELEASE, 0.3, PAGE_DOWN, 0.1, PRESS)
    assert box.is_live()


def test_a_warning_as_long_as_the_limit_comes_at_half_time():
    box = in_room(with_limit(10, 10))
    assert earcons(box.play(PRESS, 4.9)) == (Earcon.PERMIT,)
    assert earcons(box.play(0.2)) == (Earcon.WARNING,)


def test_without_a_warning_time_there_is_no_warning():
    box = in_room(with_limit(60, 0))
    assert earcons(box.play(PRESS, 70)) == (Earcon.PERMIT, Earcon.END)


@pytest.mark.parametrize("config", [with_limit(0, 10), with_limit(60, 10, OPEN)])
def test_without_a_limit_and_in_open_mode_a_talk_may_last(config):
    box = in_room(config)
    if config.talk.mode is not OPEN:
        box.play(PRESS)
    assert box.play(86_400) == ()
    assert box.is_live()
