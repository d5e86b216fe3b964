"""Buttons that bounce or fail, and wires that float."""

from dataclasses import replace

import pytest

from appliance.core.buttons import MOST_PRESSES, REST_S
from appliance.core.commands import FetchToken
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    Cause,
    StopAsked,
    VolumeAsked,
)
from appliance.core.state import Goal, Phase, ScreenPage
from tests.core.story import (
    HOLD,
    HYBRID,
    LEAVE,
    LEAVE_UP,
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
    started,
    with_mode,
    with_presets,
)

LOST = ButtonReleased(Button.TALK, is_lost=True)
LEAVE_LOST = ButtonReleased(Button.LEAVE, is_lost=True)
NEXT_ROOM_LOST = ButtonReleased(Button.NEXT_ROOM, is_lost=True)
OF_ROOM = (Button.LEAVE, Button.NEXT_ROOM)


def hum(box, button, presses=180):
    """Press a button as a floating wire does until it is found to float."""
    press, release = ButtonPressed(button), ButtonReleased(button)
    box.play(*(press, 0.01, release, 0.01) * presses)
    box.play(ButtonReleased(button, is_lost=True))


def chatter(box, button, presses, period_s=0.3):
    """Press a button as a bad contact does, too rarely for a wire that floats."""
    commands = ()
    for _ in range(presses):
        commands += box.play(ButtonPressed(button), period_s / 2)
        commands += box.play(ButtonReleased(button), period_s / 2)
        if box.phase() is Phase.LEAVING:
            commands += box.play(box.left())
    return commands


def with_hold_of_leave():
    config = with_presets("garage", "cellar")
    return replace(config, talk=replace(config.talk, leave_hold_ms=1000))


# a pin that fails


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


def test_an_open_box_whose_button_was_held_at_the_start_is_not_muted_by_its_loss():
    box = in_room(with_mode(OPEN))
    box.play(ButtonPressed(Button.TALK, is_at_boot=True), 1, RELEASE)
    assert box.is_live()
    box.play(1, LOST)
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


def test_a_box_that_somebody_has_left_stays_out_when_the_leave_button_fails():
    box = in_room()
    box.play(LEAVE, LEAVE_UP, box.left(), 60)
    box.play(LEAVE_LOST, 60)
    assert box.phase() is Phase.LEFT


def test_a_room_that_was_chosen_stays_when_the_room_button_fails():
    box = in_room(with_presets("garage"))
    box.play(ButtonPressed(Button.NEXT_ROOM), box.left())
    box.enter()
    box.play(60, NEXT_ROOM_LOST)
    assert box.view().preset == "garage"


def test_a_button_that_is_repaired_works_at_once():
    box = in_room()
    hum(box, Button.LEAVE)
    box.play(box.left())
    box.enter()
    box.play(3, LEAVE, LEAVE_UP)
    assert box.phase() is Phase.LEAVING


# a wire that floats


@pytest.mark.parametrize("mute", [(MUTE,), (PRESS, RELEASE), (PRESS, RELEASE, 60)])
def test_a_floating_wire_of_the_talk_button_does_not_undo_the_mute_of_an_open_box(mute):
    box = in_room(with_mode(OPEN))
    box.play(*mute)
    hum(box, Button.TALK)
    assert not box.is_live()
    assert box.view().is_muted_on_page
    assert not box.view().is_muted_at_box
    box.play(60, UNMUTE)
    assert box.is_live()


@pytest.mark.parametrize("mute", [(MUTE,), (PRESS, RELEASE)])
def test_the_one_press_of_a_talk_wire_that_floats_quickly_leaves_the_box_mute(mute):
    """Edges quicker than a contact settles are one press without a release."""
    box = in_room(with_mode(OPEN))
    box.play(*mute, 60, PRESS, 3.6, LOST)
    assert not box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_floating_wire_of_the_talk_button_mutes_no_box_in_another_mode(mode):
    box = in_room(with_mode(mode))
    hum(box, Button.TALK)
    assert not box.is_live()
    assert not box.view().is_muted_on_page


@pytest.mark.parametrize("presses", [60, 61, 180])
def test_a_floating_wire_of_the_leave_button_leaves_the_box_in_the_room(presses):
    box = in_room()
    hum(box, Button.LEAVE, presses)
    box.play(box.left())
    assert box.phase() is Phase.FETCHING


@pytest.mark.parametrize("button", OF_ROOM)
@pytest.mark.parametrize("presses", [60, 61, 180])
def test_a_box_that_somebody_has_left_stays_out_when_a_wire_floats(button, presses):
    box = in_room(with_presets("garage", "cellar"))
    box.play(LEAVE, LEAVE_UP, box.left(), 3600)
    hum(box, button, presses)
    assert box.phase() is Phase.LEFT
    assert box.view().preset is None


@pytest.mark.parametrize("make", [started, in_room])
@pytest.mark.parametrize("presses", [60, 61, 180])
def test_a_floating_wire_of_the_room_button_leaves_the_box_in_its_room(presses, make):
    box = make(with_presets("garage", "cellar"))
    hum(box, Button.NEXT_ROOM, presses)
    box.play(box.left())
    assert box.phase() is Phase.FETCHING
    assert box.view().preset is None


@pytest.mark.parametrize("config", [with_presets("garage"), with_hold_of_leave()])
@pytest.mark.parametrize("button", OF_ROOM)
def test_the_one_press_of_a_wire_that_floats_quickly_is_undone_with_its_loss(
    button, config
):
    box = in_room(config)
    box.play(ButtonPressed(button), 1.1, box.left())
    box.play(2.5, ButtonReleased(button, is_lost=True))
    assert box.view().preset is None
    assert not box.state.is_out


@pytest.mark.parametrize("contacts_s", [(0.1, 2, 1), (2, 1), (1.5, 1.5, 0.01)])
def test_the_presses_of_a_wire_that_floats_irregularly_are_undone_with_its_loss(
    contacts_s,
):
    box = in_room()
    for contact_s in contacts_s:
        box.play(LEAVE, contact_s, LEAVE_UP, 0.2)
        if box.phase() is Phase.LEAVING:
            box.play(box.left())
    box.play(LEAVE_LOST)
    assert not box.state.is_out


def test_a_room_button_without_presets_changes_nothing_when_its_wire_floats():
    box = in_room()
    box.play(box.lost(Cause.ROOM_CLOSED))
    hum(box, Button.NEXT_ROOM)
    assert box.phase() is Phase.WAITING


def test_who_leaves_while_the_wire_of_the_room_button_floats_stays_out():
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, Button.NEXT_ROOM, 10)
    box.enter()
    box.play(LEAVE, LEAVE_UP, box.left(), NEXT_ROOM_LOST)
    assert (box.phase(), box.view().preset) == (Phase.LEFT, None)


def test_a_room_that_is_chosen_while_the_leave_button_chatters_stays():
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, Button.LEAVE, 9)
    box.play(ButtonPressed(Button.NEXT_ROOM))
    box.enter()
    box.play(LEAVE_LOST)
    assert (box.phase(), box.view().preset) == (Phase.IN_ROOM, "garage")


def test_a_stop_during_a_floating_wire_ends_the_process():
    box = in_room()
    box.play(LEAVE, StopAsked(), LEAVE_LOST, box.left())
    assert box.phase() is Phase.STOPPED


# a contact that chatters slowly


@pytest.mark.parametrize("button", OF_ROOM)
@pytest.mark.parametrize("period_s", [0.1, 0.5, 3])
def test_a_contact_that_chatters_slowly_fetches_no_token_after_the_other(
    button, period_s
):
    box = in_room(with_presets("garage"))
    fetched = of(FetchToken, chatter(box, button, MOST_PRESSES, period_s))
    assert len(fetched) == MOST_PRESSES // (2 if button is Button.LEAVE else 1)
    box.enter()
    assert chatter(box, button, 1000, period_s) == ()
    assert (box.phase(), box.view().preset) == (Phase.IN_ROOM, None)


def test_a_leave_button_that_chattered_leaves_after_a_rest():
    box = in_room()
    chatter(box, Button.LEAVE, MOST_PRESSES + 1)
    assert box.phase() is Phase.FETCHING
    box.enter()
    box.play(REST_S, LEAVE, LEAVE_UP, box.left())
    assert box.phase() is Phase.LEFT


def test_a_refused_box_whose_leave_button_chatters_asks_for_few_tokens():
    box = in_room(with_hold_of_leave())
    box.play(box.failed(Cause.REFUSED, is_final=True))
    fetched = 0
    for _ in range(3 * MOST_PRESSES):
        fetched += len(of(FetchToken, chatter(box, Button.LEAVE, 1)))
        if box.phase() is Phase.FETCHING:
            box.play(box.no_token(Cause.REFUSED, is_final=True))
    assert fetched == MOST_PRESSES


# bounces


def test_flickers_of_a_press_do_not_undo_it():
    box = in_room()
    flicker = ButtonReleased(Button.LEAVE), ButtonPressed(Button.LEAVE, is_resumed=True)
    box.play(LEAVE, *(0.02, *flicker) * 8, LEAVE_UP, box.left())
    assert box.phase() is Phase.LEFT


def test_flickers_of_a_long_press_do_not_end_its_talk():
    box = in_room(with_mode(HOLD))
    box.play(MUTE, 1, PRESS, *(10, RELEASE, 0.02, PRESS) * 5)
    assert box.is_live()
    assert box.view().faults == ()


def test_a_bounce_of_the_release_of_a_long_press_latches_no_talk():
    box = in_room(with_mode(HYBRID))
    box.play(PRESS, 20, RELEASE, 0.03, PRESS, 0.03, RELEASE)
    assert not box.is_live()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_bounce_of_the_press_that_ends_a_latched_talk_does_not_latch_it_again(mode):
    box = live(mode)
    box.play(0.1, RELEASE, 5)
    assert box.is_live()
    box.play(PRESS, 0.03, RELEASE, 0.03, PRESS, 0.03, RELEASE)
    assert not box.is_live()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_bounce_of_the_press_that_latches_a_talk_does_not_end_it(mode):
    box = in_room(with_mode(mode))
    box.play(PRESS, 0.03, RELEASE, 0.03, PRESS, 0.03, RELEASE)
    assert box.is_live()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_the_bounce_of_a_button_that_was_held_at_the_start_is_no_press(mode):
    box = started(with_mode(mode))
    box.play(ButtonPressed(Button.TALK, is_at_boot=True))
    box.enter()
    box.play(10, RELEASE, 0.02, PRESS, 0.03, RELEASE)
    assert not box.is_live()


@pytest.mark.parametrize("bounces", [1, 2])
def test_the_slow_bounce_of_a_worn_button_is_no_second_press(bounces):
    box = in_room(with_presets("garage", "cellar"))
    for button in (Button.NEXT_ROOM, Button.VOLUME_UP, Button.NEXT_PAGE, Button.LEAVE):
        for _ in range(1 + bounces):
            box.play(ButtonPressed(button), 0.03, ButtonReleased(button), 0.03)
    view = box.view()
    assert (view.preset, view.volume_percent) == ("garage", 85)
    assert view.screen_page is ScreenPage.CHAT
    assert (box.phase(), box.state.goal) == (Phase.LEAVING, Goal.STAY_OUT)


@pytest.mark.parametrize("bounces", [1, 2])
def test_the_slow_bounce_of_a_worn_button_does_not_undo_its_mute(bounces):
    box = in_room(with_mode(OPEN))
    box.play(*(PRESS, 0.03, RELEASE, 0.03) * (1 + bounces))
    assert box.view().is_muted_at_box
    box.play(0.2, PRESS, RELEASE)
    assert box.is_live()


def test_a_hold_of_a_worn_leave_button_leaves():
    box = in_room(with_hold_of_leave())
    assert box.play(LEAVE, 0.03, LEAVE_UP, 0.03, LEAVE, 0.9) == ()
    box.play(0.2)
    assert box.phase() is Phase.LEAVING


@pytest.mark.parametrize("bounces", [1, 5, 9])
def test_the_bounce_of_a_worn_button_after_a_press_undoes_nothing(bounces):
    box = in_room(with_hold_of_leave())
    box.play(LEAVE, 1.1, box.left(), *(LEAVE_UP, 0.02, LEAVE, 0.02) * bounces, LEAVE_UP)
    assert box.phase() is Phase.LEFT
    box = in_room()
    box.play(LEAVE, 0.15, *(LEAVE_UP, 0.02, LEAVE, 0.02) * bounces, LEAVE_UP)
    assert (box.phase(), box.state.goal) == (Phase.LEAVING, Goal.STAY_OUT)


@pytest.mark.parametrize("period_s", [0.1, 0.17])
def test_drumming_on_a_volume_button_counts_every_press(period_s):
    box = in_room()
    box.play(VolumeAsked(20))
    chatter(box, Button.VOLUME_UP, 10, period_s)
    assert box.view().volume_percent == 70


def test_presses_that_are_handled_late_are_judged_by_their_own_times():
    box = in_room(with_presets("garage", "cellar"))
    box.play(5)
    at_s = box.now_s
    for ago_s in (0.6, 0.3, 0.0):
        press = ButtonPressed(Button.NEXT_ROOM, at_s=at_s - ago_s)
        box.play(press, ButtonReleased(Button.NEXT_ROOM, at_s=at_s - ago_s))
    assert box.view().preset is None
