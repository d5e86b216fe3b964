"""A button whose pin fails: nobody can undo with it what it has done."""

from dataclasses import replace
from random import Random

import pytest

from appliance.config import TalkConfig
from appliance.core.bad_contacts import MOST_PRESSES, QUIET_S
from appliance.core.commands import (
    FetchToken,
    SetVolume,
    StoreVolumeAndGain,
)
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    Cause,
    Event,
    JoinAsked,
    LeaveAsked,
    StopAsked,
    VolumeAsked,
)
from appliance.core.fault_table import BUTTON_BAD
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
VOLUME = (Button.VOLUME_UP, Button.VOLUME_DOWN)


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


@pytest.mark.parametrize("presses", [180, 181])
@pytest.mark.parametrize("mute", [(MUTE,), (PRESS, RELEASE), (PRESS, RELEASE, 60)])
def test_a_floating_wire_of_the_talk_button_does_not_undo_the_mute_of_an_open_box(
    mute, presses
):
    box = in_room(with_mode(OPEN))
    box.play(*mute)
    hum(box, Button.TALK, presses)
    assert not box.is_live()
    assert box.view().is_muted_on_page
    assert not box.view().is_muted_at_box
    box.play(60, UNMUTE)
    assert box.is_live()


@pytest.mark.parametrize("is_muted", [False, True])
@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_floating_wire_of_the_talk_button_leaves_the_mute_of_the_page_as_it_was(
    mode, is_muted
):
    box = in_room(with_mode(mode))
    box.play(*((MUTE,) if is_muted else ()))
    hum(box, Button.TALK, 181)
    assert not box.is_live()
    assert box.view().is_muted_on_page is is_muted


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
    return float_together(box, [button], presses)


def float_together(box, buttons, presses):
    """Press buttons as wires do that float together, until they are found to float."""
    before = len(box.commands)
    for _ in range(presses):
        box.play(*map(ButtonPressed, buttons), 0.01)
        box.play(*map(ButtonReleased, buttons), 0.01)
    for button in buttons:
        box.play(ButtonReleased(button, is_lost=True))
    return box.commands[before:]


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


@pytest.mark.parametrize("button", [Button.LEAVE, Button.NEXT_ROOM])
@pytest.mark.parametrize("presses", [180, 181, 182])
def test_a_box_that_somebody_has_left_stays_out_when_a_wire_floats(button, presses):
    box = in_room(with_presets("garage", "cellar"))
    box.play(LEAVE, LEAVE_UP, box.left(), 3600)
    hum(box, button, presses)
    assert box.phase() is Phase.LEFT
    assert box.view().preset is None


@pytest.mark.parametrize("make", [started, in_room])
@pytest.mark.parametrize("presses", [180, 181, 182])
def test_a_floating_wire_of_the_room_button_leaves_the_box_in_its_room(presses, make):
    box = make(with_presets("garage", "cellar"))
    hum(box, Button.NEXT_ROOM, presses)
    box.play(box.left())
    assert box.phase() is Phase.FETCHING
    assert box.view().preset is None


def test_a_floating_wire_that_is_down_for_longer_than_up_makes_one_press():
    """The rest of it looks like the bounce of that press."""
    box = in_room(with_presets("garage"))
    room = Button.NEXT_ROOM
    box.play(ButtonPressed(room), box.left())
    box.enter()
    for _ in range(180):
        box.play(0.015, ButtonReleased(room), 0.005)
        box.play(ButtonPressed(room, is_resumed=True))
    box.play(ButtonReleased(room, is_lost=True), box.left())
    assert box.view().preset is None


def test_a_room_that_was_chosen_stays_when_the_room_button_fails():
    box = in_room(with_presets("garage"))
    box.play(ButtonPressed(Button.NEXT_ROOM), box.left())
    box.enter()
    box.play(60, ButtonReleased(Button.NEXT_ROOM, is_lost=True))
    assert box.view().preset == "garage"


def test_a_room_button_without_presets_changes_nothing_when_its_wire_floats():
    box = in_room()
    box.play(box.lost(Cause.ROOM_CLOSED))
    hum(box, Button.NEXT_ROOM, 180)
    assert box.phase() is Phase.WAITING


def test_a_stop_during_a_floating_wire_ends_the_process():
    box = in_room()
    box.play(box.lost(Cause.ROOM_CLOSED), PRESS)
    box.enter()
    box.play(StopAsked(), LOST, box.left())
    assert box.phase() is Phase.STOPPED


@pytest.mark.parametrize("presses", [180, 181])
@pytest.mark.parametrize("is_leave_first", [False, True])
@pytest.mark.parametrize("is_left", [False, True])
def test_without_a_common_ground_the_box_stays_where_it_is(
    is_left, is_leave_first, presses
):
    box = in_room(with_presets("garage", "cellar"))
    box.play(*((LEAVE, LEAVE_UP, box.left(), 60) if is_left else ()))
    buttons = [Button.LEAVE, Button.NEXT_ROOM]
    float_together(box, buttons if is_leave_first else buttons[::-1], presses)
    box.play(box.left())
    assert box.phase() is (Phase.LEFT if is_left else Phase.FETCHING)
    assert box.view().preset is None


def chatter(box, button, presses, period_s=0.06):
    """Press a button as a bad contact does, too rarely for a wire that floats."""
    commands = ()
    for _ in range(presses):
        commands += box.play(ButtonPressed(button), period_s / 2)
        commands += box.play(ButtonReleased(button), period_s / 2)
        if box.phase() is Phase.LEAVING:
            commands += box.play(box.left())
    return commands


@pytest.mark.parametrize(("period_s", "most"), [(0.06, 2), (0.3, MOST_PRESSES + 1)])
@pytest.mark.parametrize("button", [Button.LEAVE, Button.NEXT_ROOM])
def test_a_button_that_chatters_has_few_tokens_fetched(button, period_s, most):
    box = in_room(with_presets("garage", "cellar"))
    assert 0 < len(of(FetchToken, chatter(box, button, 60, period_s))) <= most
    box.enter()
    assert chatter(box, button, 600, period_s) == ()
    box.play(QUIET_S)
    assert chatter(box, button, 1) != ()


@pytest.mark.parametrize("button", [Button.LEAVE, Button.NEXT_ROOM])
def test_a_button_that_chatters_leaves_the_box_in_its_room(button):
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, button, 190)
    box.enter()
    assert (box.phase(), box.view().preset) == (Phase.IN_ROOM, None)


@pytest.mark.parametrize("button", [Button.LEAVE, Button.NEXT_ROOM])
def test_a_button_that_chatters_slowly_leaves_the_box_in_its_room(button):
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, button, 60, 0.3)
    assert (box.phase(), box.view().preset) == (Phase.FETCHING, None)


@pytest.mark.parametrize("seed", range(10))
def test_a_leave_button_that_chatters_at_random_leaves_the_box_in_its_room(seed):
    box, random = in_room(), Random(seed)
    for _ in range(120):
        chatter(box, Button.LEAVE, 1, random.uniform(0.05, 0.4))
    assert not box.state.is_out


@pytest.mark.parametrize("button", [Button.LEAVE, Button.NEXT_ROOM])
def test_a_request_on_the_page_outlasts_the_slow_chatter_of_a_button(button):
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, button, 21, 0.3)
    box.play(LeaveAsked(), box.left())
    chatter(box, button, 60, 0.3)
    assert box.phase() is Phase.LEFT


@pytest.mark.parametrize("period_s", [0.06, 0.3])
def test_a_button_that_is_ignored_is_named_until_it_is_quiet(period_s):
    box = in_room()
    chatter(box, Button.LEAVE, 60, period_s)
    assert box.view().faults == (BUTTON_BAD.text(button="leave"),)
    assert box.view().fault_ids == (BUTTON_BAD.id,)
    box.play(QUIET_S)
    assert box.view().faults == ()


@pytest.mark.parametrize("gaps_s", [(0.1,), (0.2, *(0.05,) * 7), (0.5, 0.5)])
def test_presses_of_a_wire_that_floats_irregularly_are_undone_with_its_loss(gaps_s):
    box = in_room()
    for gap_s in (*gaps_s, 3.5):
        box.play(LEAVE, gap_s / 2, LEAVE_UP, gap_s / 2)
        if box.phase() is Phase.LEAVING:
            box.play(box.left())
    box.play(ButtonReleased(Button.LEAVE, is_lost=True))
    assert not box.state.is_out


def test_a_box_that_was_left_with_a_hold_stays_out_while_the_leave_button_chatters():
    box = in_room(with_hold_of_leave())
    box.play(LEAVE, 1.1, LEAVE_UP, box.left(), 60)
    chatter(box, Button.LEAVE, 60, 0.3)
    assert box.phase() is Phase.LEFT


def test_a_room_button_works_with_as_many_rooms_as_presses_are_counted():
    box = in_room(with_presets(*map(str, range(MOST_PRESSES))))
    box.play(ButtonPressed(Button.NEXT_ROOM))
    assert box.view().preset == "0"


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_mute_on_the_page_stays_when_the_talk_wire_is_lost(mode):
    box = in_room(with_mode(mode))
    box.play(PRESS, 1, MUTE, 2, LOST)
    assert box.view().is_muted_on_page


@pytest.mark.parametrize("button", [Button.TALK, Button.NEXT_ROOM])
def test_leaving_by_a_hold_is_not_undone_with_the_loss_of_another_wire(button):
    box = in_room(with_hold_of_leave())
    box.play(ButtonPressed(button), 0.3, ButtonReleased(button), 0.2)
    box.play(LEAVE, 1.1, LEAVE_UP, box.left(), 2)
    box.play(ButtonReleased(button, is_lost=True))
    assert box.phase() is Phase.LEFT


def test_a_press_that_unmutes_counts_however_many_there_were_before():
    box = in_room(with_mode(HOLD))
    chatter(box, Button.TALK, 60, 3)
    box.play(MUTE, 3, PRESS)
    assert box.is_live()


@pytest.mark.parametrize("period_s", [0.035, 0.06])
@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_bad_contact_of_the_talk_button_latches_no_talk(mode, period_s):
    box = in_room(with_mode(mode))
    chatter(box, Button.TALK, 7, period_s)
    assert not box.is_live()


def test_a_bounce_of_the_release_of_a_long_press_latches_no_talk():
    box = in_room(with_mode(HYBRID))
    box.play(PRESS, 20, RELEASE, 0.03, PRESS, 0.03, RELEASE)
    assert not box.is_live()


def test_a_bounce_of_the_release_of_the_leave_button_does_not_join_again():
    box = in_room()
    box.play(LEAVE, 0.15, LEAVE_UP, 0.02, LEAVE, 0.02, LEAVE_UP, box.left())
    assert box.phase() is Phase.LEFT


FAST = (Button.LEAVE, Button.NEXT_ROOM, Button.VOLUME_UP)


@pytest.mark.parametrize("button", FAST)
def test_the_one_press_of_a_wire_that_floats_quickly_is_undone_with_its_loss(button):
    """Edges quicker than a contact settles are one press without a release."""
    box = in_room(with_presets("garage"))
    box.play(ButtonPressed(button), box.left())
    box.play(3.6, ButtonReleased(button, is_lost=True))
    view = box.view()
    assert (view.preset, view.volume_percent) == (None, 80)
    assert not box.state.is_out


@pytest.mark.parametrize("mute", [(MUTE,), (PRESS, RELEASE)])
def test_the_one_press_of_a_talk_wire_that_floats_quickly_leaves_the_box_mute(mute):
    box = in_room(with_mode(OPEN))
    box.play(*mute, 60, PRESS, 3.6, LOST)
    assert not box.is_live()


def test_the_one_press_of_a_quickly_floating_wire_does_not_undo_a_choice_after_it():
    box = in_room(with_presets("garage", "cellar"))
    box.play(ButtonPressed(Button.NEXT_ROOM), 1, JoinAsked("cellar"), box.left())
    box.play(2, ButtonReleased(Button.NEXT_ROOM, is_lost=True))
    assert (box.phase(), box.view().preset) == (Phase.FETCHING, "cellar")


def test_a_person_can_mute_an_open_box_whose_talk_contact_is_bad():
    box = in_room(with_mode(OPEN))
    chatter(box, Button.TALK, 60)
    box.play(UNMUTE)
    assert box.is_live()
    box.play(2, PRESS, RELEASE)
    assert not box.is_live()


def test_flickers_of_a_press_do_not_undo_it():
    box = in_room()
    flicker = ButtonReleased(Button.LEAVE), ButtonPressed(Button.LEAVE, is_resumed=True)
    box.play(LEAVE, *(0.02, *flicker) * 8, LEAVE_UP, box.left())
    assert box.phase() is Phase.LEFT


@pytest.mark.parametrize("period_s", [0.1, 0.17])
def test_drumming_on_a_volume_button_counts_every_press(period_s):
    box = in_room()
    box.play(VolumeAsked(20))
    chatter(box, Button.VOLUME_UP, 10, period_s)
    assert box.view().volume_percent == 70


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


def test_presses_that_are_handled_late_are_judged_by_their_own_times():
    box = in_room(with_presets("garage", "cellar"))
    box.play(5)
    at_s = box.now_s
    for ago_s in (0.6, 0.3, 0.0):
        press = ButtonPressed(Button.NEXT_ROOM, at_s=at_s - ago_s)
        box.play(press, ButtonReleased(Button.NEXT_ROOM, at_s=at_s - ago_s))
    assert box.view().preset is None


def test_the_leave_button_works_while_the_room_button_chatters():
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, Button.NEXT_ROOM, 60)
    box.enter()
    box.play(LEAVE, LEAVE_UP, box.left())
    assert chatter(box, Button.NEXT_ROOM, 60) == ()
    assert box.phase() is Phase.LEFT
    box.play(ButtonReleased(Button.NEXT_ROOM, is_lost=True))
    assert box.phase() is Phase.LEFT


@pytest.mark.parametrize("presses", [6, 25, 60])
def test_a_box_that_is_left_while_the_room_button_chatters_stays_out(presses):
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, Button.NEXT_ROOM, presses)
    box.enter()
    box.play(LEAVE, LEAVE_UP, box.left())
    assert chatter(box, Button.NEXT_ROOM, 60) == ()
    hum(box, Button.LEAVE, 180)
    assert (box.phase(), box.view().preset) == (Phase.LEFT, None)


def test_a_talk_button_that_chatters_undoes_no_mute():
    box = in_room(with_mode(OPEN))
    chatter(box, Button.TALK, 60)
    box.play(UNMUTE)
    assert box.is_live()
    box.play(MUTE)
    chatter(box, Button.TALK, 60)
    assert not box.is_live()


def test_a_moderators_mute_stays_while_the_talk_button_chatters():
    box = in_room(with_mode(HOLD))
    chatter(box, Button.TALK, 60)
    box.play(MUTE)
    chatter(box, Button.TALK, 60)
    assert box.view().is_muted_on_page


@pytest.mark.parametrize("presses", [2, 60])
def test_a_choice_of_a_healthy_button_stays_when_the_talk_wire_is_lost(presses):
    box = in_room(with_presets("garage", "cellar"))
    box.play(box.lost(Cause.ROOM_CLOSED, is_announced=True))
    chatter(box, Button.TALK, presses)
    box.play(1, ButtonPressed(Button.NEXT_ROOM), 1)
    box.enter()
    chatter(box, Button.TALK, 60)
    box.play(LOST)
    assert (box.phase(), box.view().preset) == (Phase.IN_ROOM, "garage")


def test_a_box_that_a_press_called_back_stays_when_the_leave_wire_is_lost():
    box = in_room()
    box.play(box.lost(Cause.ROOM_CLOSED, is_announced=True))
    chatter(box, Button.LEAVE, 60)
    box.play(PRESS, RELEASE)
    box.enter()
    chatter(box, Button.LEAVE, 60)
    box.play(ButtonReleased(Button.LEAVE, is_lost=True))
    assert box.phase() is Phase.IN_ROOM


def test_a_volume_that_is_chosen_on_the_page_stays_when_its_button_is_lost():
    box = in_room()
    chatter(box, Button.VOLUME_UP, 60)
    box.play(VolumeAsked(30))
    chatter(box, Button.VOLUME_UP, 10)
    box.play(ButtonReleased(Button.VOLUME_UP, is_lost=True))
    assert box.view().volume_percent == 30


def test_a_room_button_without_presets_does_not_call_a_box_back_that_somebody_left():
    box = in_room()
    chatter(box, Button.NEXT_ROOM, 25)
    box.play(LEAVE, LEAVE_UP, box.left())
    assert chatter(box, Button.NEXT_ROOM, 60) == ()
    box.play(ButtonReleased(Button.NEXT_ROOM, is_lost=True))
    assert box.phase() is Phase.LEFT


def test_a_hold_of_the_leave_button_is_not_undone_by_the_loss_of_the_room_button():
    box = in_room(with_hold_of_leave())
    chatter(box, Button.NEXT_ROOM, 60)
    box.enter()
    box.play(LEAVE, 1.1, LEAVE_UP, box.left())
    chatter(box, Button.NEXT_ROOM, 10)
    box.play(ButtonReleased(Button.NEXT_ROOM, is_lost=True))
    assert (box.phase(), box.view().preset) == (Phase.LEFT, None)


def with_hold_of_leave():
    config = with_presets("garage", "cellar")
    return replace(config, talk=replace(config.talk, leave_hold_ms=1000))


@pytest.mark.parametrize(
    ("request_made", "preset"), [(LeaveAsked(), None), (JoinAsked("cellar"), "cellar")]
)
def test_a_request_after_a_press_called_the_box_back_is_not_undone_with_the_talk_wire(
    request_made, preset
):
    box = in_room(with_presets("garage", "cellar"))
    box.play(box.lost(Cause.ROOM_CLOSED, is_announced=True), PRESS, RELEASE)
    box.enter()
    box.play(request_made, box.left(), LOST)
    phase = Phase.LEFT if preset is None else Phase.FETCHING
    assert (box.phase(), box.view().preset) == (phase, preset)


def test_a_box_that_was_left_while_the_talk_button_chattered_stays_out():
    box = in_room()
    box.play(box.lost(Cause.ROOM_CLOSED, is_announced=True))
    chatter(box, Button.TALK, 2)
    box.enter()
    box.play(0.2, LEAVE, LEAVE_UP, box.left(), 1)
    chatter(box, Button.TALK, 60)
    box.play(LOST)
    assert box.phase() is Phase.LEFT


def test_a_choice_with_the_other_button_stays_when_an_ignored_one_is_lost():
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, Button.LEAVE, 60)
    box.enter()
    box.play(ButtonPressed(Button.NEXT_ROOM), box.left())
    box.enter()
    chatter(box, Button.LEAVE, 10)
    box.play(ButtonReleased(Button.LEAVE, is_lost=True))
    assert (box.phase(), box.view().preset) == (Phase.IN_ROOM, "garage")


def test_a_box_that_was_called_with_the_leave_button_stays_when_the_room_one_is_lost():
    box = in_room(with_presets("garage"))
    box.play(LEAVE, LEAVE_UP, box.left(), 60)
    chatter(box, Button.NEXT_ROOM, 60)
    box.play(LEAVE, LEAVE_UP)
    box.enter()
    chatter(box, Button.NEXT_ROOM, 10)
    box.play(ButtonReleased(Button.NEXT_ROOM, is_lost=True))
    assert box.phase() is Phase.IN_ROOM


def test_a_button_that_is_repaired_works_at_once():
    box = in_room()
    hum(box, Button.LEAVE, 182)
    box.play(box.left())
    box.enter()
    box.play(3, LEAVE, LEAVE_UP)
    assert box.phase() is Phase.LEAVING


@pytest.mark.parametrize("request_made", [LeaveAsked(), JoinAsked("cellar")])
@pytest.mark.parametrize("button", [Button.LEAVE, Button.NEXT_ROOM])
def test_a_button_that_is_ignored_stays_so_after_a_request_on_the_page(
    button, request_made
):
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, button, 60)
    box.enter()
    box.play(request_made, box.left())
    if box.phase() is Phase.FETCHING:
        box.enter()
    wanted = box.phase(), box.view().preset
    assert chatter(box, button, 60) == ()
    box.play(ButtonReleased(button, is_lost=True))
    assert (box.phase(), box.view().preset) == wanted


@pytest.mark.parametrize("button", [Button.LEAVE, Button.NEXT_ROOM])
def test_a_room_that_is_chosen_on_the_page_stays_while_a_button_chatters(button):
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, button, 20)
    box.play(JoinAsked("cellar"), box.left())
    box.enter()
    chatter(box, button, 60)
    assert box.view().preset == "cellar"


def test_a_talk_button_that_chatters_does_not_call_a_box_back_that_was_put_out():
    box = in_room()
    chatter(box, Button.TALK, 600)
    box.play(box.lost(Cause.ROOM_CLOSED, is_announced=True))
    assert of(FetchToken, chatter(box, Button.TALK, 500)) == ()
    box.play(QUIET_S)
    assert len(of(FetchToken, box.play(PRESS))) == 1


@pytest.mark.parametrize("button", VOLUME)
def test_a_floating_wire_of_a_volume_button_leaves_the_volume_as_it_was(button):
    box = in_room()
    box.play(VolumeAsked(40))
    hum(box, button, 180)
    assert box.view().volume_percent == 40
    assert box.commands[-2:] == (SetVolume(40), StoreVolumeAndGain(percent=40))


@pytest.mark.parametrize("buttons", [VOLUME, VOLUME[::-1]])
def test_without_a_common_ground_the_volume_stays_as_it_was(buttons):
    box = in_room()
    float_together(box, buttons, 180)
    assert box.view().volume_percent == 80
    assert box.commands[-1] == StoreVolumeAndGain(percent=80)


def test_a_volume_that_was_chosen_stays_when_its_button_fails():
    box = in_room()
    box.play(ButtonPressed(Button.VOLUME_UP), ButtonReleased(Button.VOLUME_UP), 60)
    assert box.play(ButtonReleased(Button.VOLUME_UP, is_lost=True)) == ()
    assert box.view().volume_percent == 85


@pytest.mark.parametrize("button", [x for x in Button if x is not Button.TALK])
def test_the_loss_of_another_button_does_not_end_a_talk(button):
    box = live(HYBRID)
    box.play(0.1, RELEASE, ButtonReleased(button, is_lost=True))
    assert box.is_live()


def test_flickers_of_a_long_press_do_not_end_its_talk():
    box = in_room(with_mode(HOLD))
    box.play(MUTE, 1, PRESS, *(10, RELEASE, 0.02, PRESS) * 5)
    assert box.is_live()
    assert box.view().faults == ()


def test_bounces_of_a_hold_do_not_undo_its_leaving():
    box = in_room(with_hold_of_leave())
    box.play(*(LEAVE, 0.02, LEAVE_UP, 0.02) * 2, LEAVE, 1.1, box.left())
    box.play(*(LEAVE_UP, 0.02, LEAVE, 0.02) * 3, LEAVE_UP)
    assert box.phase() is Phase.LEFT


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_the_bounce_of_a_button_that_was_held_at_the_start_is_no_press(mode):
    box = started(with_mode(mode))
    box.play(ButtonPressed(Button.TALK, is_at_boot=True))
    box.enter()
    box.play(10, RELEASE, 0.02, PRESS, 0.03, RELEASE)
    assert not box.is_live()


def test_an_open_box_whose_button_was_held_at_the_start_is_not_muted_by_its_loss():
    box = in_room(with_mode(OPEN))
    box.play(ButtonPressed(Button.TALK, is_at_boot=True), 1, RELEASE)
    assert box.is_live()
    box.play(1, LOST)
    assert box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_bad_contact_of_the_talk_button_does_not_end_a_talk_of_the_page(mode):
    box = in_room(with_mode(mode))
    chatter(box, Button.TALK, 7, 0.035)
    box.play(PAGE_DOWN, 1, PRESS, 0.02, RELEASE, 0.02, PRESS, 0.02, RELEASE)
    assert box.is_live()


def test_a_wire_that_seems_to_rest_between_two_presses_leaves_the_box_in_its_room():
    box = in_room()
    box.play(LEAVE, 0.01, LEAVE_UP, box.left(), 1.5, LEAVE, 1.5)
    box.play(ButtonReleased(Button.LEAVE, is_lost=True))
    assert not box.state.is_out


def test_a_talk_before_a_leave_button_chattered_leaves_nothing_with_its_wire():
    box = in_room()
    box.play(PRESS, 2, RELEASE, 1)
    chatter(box, Button.LEAVE, 10)
    box.enter()
    box.play(1, LOST)
    assert box.phase() is Phase.IN_ROOM


@pytest.mark.parametrize("is_left", [False, True])
@pytest.mark.parametrize(
    "buttons",
    [(Button.TALK, Button.LEAVE), (Button.LEAVE, Button.NEXT_ROOM)],
)
@pytest.mark.parametrize("seed", range(8))
def test_a_break_of_two_wires_leaves_the_box_where_it_is(buttons, seed, is_left):
    random = Random(seed)
    events: list[tuple[float, Event]] = []
    for button in random.sample(buttons, 2):
        begin_s, is_quick = random.uniform(0, 0.3), random.random() < 0.5
        # A wire that floats quickly makes one press, hum one in each period.
        for number in range(1 if is_quick else 100):
            events.append((begin_s + 0.02 * number, ButtonPressed(button)))
            if not is_quick:
                up_s = begin_s + 0.02 * number + 0.01
                events.append((up_s, ButtonReleased(button)))
        lost = ButtonReleased(button, is_lost=True)
        events.append((random.uniform(3.4, 3.6), lost))
    box = in_room(with_presets("garage", "cellar"))
    box.play(*((LEAVE, 0.1, LEAVE_UP, box.left(), 60) if is_left else ()))
    start_s = box.now_s
    for at_s, event in sorted(events, key=lambda pair: pair[0]):
        box.play(start_s + at_s - box.now_s, event)
        if box.phase() is Phase.LEAVING and random.random() < 0.5:
            box.play(box.left())
        if box.phase() is Phase.FETCHING and random.random() < 0.5:
            box.enter()
    box.play(3)
    if not is_left and not box.state.is_in_room:
        box.enter()
    assert box.phase() is (Phase.LEFT if is_left else Phase.IN_ROOM)
    assert box.view().preset is None
    assert not box.is_live()
    assert not box.state.talk.is_latched


def test_a_bad_contact_mutes_an_open_box_so_that_the_page_can_undo_it():
    box = in_room(with_mode(OPEN))
    chatter(box, Button.TALK, 10)
    box.play(UNMUTE, 0.2, PRESS, 0.03, RELEASE)
    assert not box.is_live()
    box.play(UNMUTE)
    assert box.is_live()


@pytest.mark.parametrize(
    "story",
    [
        (PRESS, 0.02, PAGE_DOWN, 0.01, RELEASE),
        (0.1, PRESS, 0.02, PAGE_DOWN, 0.01, RELEASE),
        (0.1, PRESS, 0.02, PAGE_DOWN, 0.01, LOST),
        (
            *(PAGE_DOWN, 1, PRESS, 0.02, RELEASE),
            *(ButtonPressed(Button.TALK, is_resumed=True), 0.02, RELEASE),
        ),
    ],
)
@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_an_end_of_a_bad_contact_does_not_end_a_talk_of_the_page(mode, story):
    box = in_room(with_mode(mode))
    chatter(box, Button.TALK, 7, 0.035)
    box.play(*story)
    assert box.is_live()
    box.play(PAGE_UP)
    assert not box.is_live()


@pytest.mark.parametrize("bounces", [5, 9])
def test_the_bounce_of_a_worn_button_after_a_long_press_undoes_nothing(bounces):
    box = in_room(with_hold_of_leave())
    box.play(LEAVE, 1.1, box.left(), *(LEAVE_UP, 0.02, LEAVE, 0.02) * bounces, LEAVE_UP)
    assert box.phase() is Phase.LEFT
    box = in_room()
    box.play(LEAVE, 0.15, *(LEAVE_UP, 0.02, LEAVE, 0.02) * bounces, LEAVE_UP)
    assert (box.phase(), box.state.goal) == (Phase.LEAVING, Goal.STAY_OUT)


def test_a_leave_button_that_chatters_slowly_and_rests_leaves_the_box_in_its_room():
    box = in_room()
    chatter(box, Button.LEAVE, 25, 0.3)
    box.play(2)
    chatter(box, Button.LEAVE, 40, 0.3)
    assert not box.state.is_out


@pytest.mark.parametrize("pause_s", [1.5, 3.0])
@pytest.mark.parametrize("choice", [JoinAsked("10"), LeaveAsked(), LEAVE])
def test_many_presses_of_a_healthy_button_before_another_choice_are_no_fault(
    choice, pause_s
):
    box = in_room(with_presets(*map(str, range(11)), "garage"))
    for _ in range(11):
        press = ButtonPressed(Button.NEXT_ROOM), 0.1, ButtonReleased(Button.NEXT_ROOM)
        box.play(*press, pause_s)
        if box.phase() is Phase.LEAVING:
            box.play(box.left())
    box.play(choice)
    assert box.view().faults == ()
    box.play(1, *press)
    assert box.view().preset == "garage" or choice == JoinAsked("10")
    assert box.view().faults == ()


def test_a_person_who_leaves_while_the_room_button_chatters_slowly_is_out():
    box = in_room(with_presets("garage", "cellar"))
    chatter(box, Button.NEXT_ROOM, 12, 0.3)
    box.play(LEAVE, 0.1, LEAVE_UP, box.left())
    chatter(box, Button.NEXT_ROOM, 10, 0.3)
    box.play(ButtonReleased(Button.NEXT_ROOM, is_lost=True), box.left())
    assert (box.phase(), box.view().preset) == (Phase.LEFT, None)


def test_a_hold_of_a_bad_leave_button_does_not_leave():
    box = in_room(with_hold_of_leave())
    chatter(box, Button.LEAVE, 10)
    box.play(LEAVE, 2, LEAVE_UP, 0.02, LEAVE, 2)
    assert box.phase() is Phase.IN_ROOM


def test_a_volume_that_the_other_button_set_stays_when_a_volume_button_is_lost():
    box = in_room()
    quieter = Button.VOLUME_DOWN
    box.play(ButtonPressed(Button.VOLUME_UP), 0.1, ButtonReleased(Button.VOLUME_UP))
    box.play(*(0.3, ButtonPressed(quieter), 0.1, ButtonReleased(quieter)) * 6)
    box.play(ButtonReleased(Button.VOLUME_UP, is_lost=True))
    assert box.view().volume_percent == 55


def test_an_unmute_on_the_page_stays_when_the_talk_wire_is_lost():
    box = in_room(with_mode(HOLD))
    box.play(MUTE, 1, PRESS, 0.5, RELEASE, 0.5, MUTE, 0.5, UNMUTE, 0.5, LOST)
    assert not box.view().is_muted_on_page


def test_a_bad_contact_of_the_talk_button_does_not_move_the_box():
    box = in_room(with_presets("garage", "cellar"))
    box.play(ButtonPressed(Button.NEXT_ROOM), 0.1, ButtonReleased(Button.NEXT_ROOM))
    box.play(box.left(), 0.3, PRESS, 0.1, RELEASE)
    box.play(box.no_token(is_final=True))
    box.enter()
    box.play(0.5, LOST)
    assert (box.phase(), box.view().preset) == (Phase.IN_ROOM, None)


NEXT = (ButtonPressed(Button.NEXT_ROOM), 0.1, ButtonReleased(Button.NEXT_ROOM), 0.5)
NEXT_LOST = ButtonReleased(Button.NEXT_ROOM, is_lost=True)
LEAVE_NOW = (LEAVE, 0.1, LEAVE_UP, 0.5)


def in_open_mode(leave_hold_ms=0):
    talk_config = TalkConfig(mode=OPEN, leave_hold_ms=leave_hold_ms)
    return in_room(replace(with_presets("garage", "cellar"), talk=talk_config))


def settled(box, *story):
    """Play the events, and let the box carry out each change of the room."""
    for event in story:
        box.play(event)
        if box.phase() is Phase.LEAVING:
            box.play(box.left())
        if box.phase() is Phase.FETCHING:
            box.enter()
    return box.phase()


@pytest.mark.parametrize(
    ("hold_ms", "before", "after"),
    [
        (0, (*LEAVE_NOW, *LEAVE_NOW), LEAVE_NOW),
        (1000, (), (LEAVE, 1.1, LEAVE_UP, 0.5)),
        (1000, (), (LEAVE, 1.1)),
    ],
)
def test_who_leaves_after_a_wire_has_pressed_another_button_stays_out(
    hold_ms, before, after
):
    box = in_open_mode(hold_ms)
    settled(box, *before, *NEXT)
    assert settled(box, *after) is Phase.LEFT
    assert settled(box, NEXT_LOST) is Phase.LEFT
    assert not box.is_live()


def test_who_calls_the_box_back_after_a_wire_has_pressed_another_button_has_it_back():
    box = in_open_mode()
    assert settled(box, *LEAVE_NOW, *NEXT, *LEAVE_NOW, *LEAVE_NOW) is Phase.IN_ROOM
    assert settled(box, NEXT_LOST, 3600) is Phase.IN_ROOM


def test_the_volume_that_was_chosen_with_the_other_button_stays():
    box = in_room()
    up, down = ((ButtonPressed(one), 0.1, ButtonReleased(one), 0.5) for one in VOLUME)
    box.play(*down, *up, *down, *down)
    chosen = box.view().volume_percent
    box.play(ButtonReleased(Button.VOLUME_UP, is_lost=True))
    assert box.view().volume_percent == chosen


def test_who_leaves_while_a_wire_presses_another_button_stays_out():
    box = in_open_mode()
    story = (LEAVE, 0.05, ButtonPressed(Button.NEXT_ROOM), 0.05, LEAVE_UP, NEXT_LOST)
    assert settled(box, *story) is Phase.LEFT


def test_a_press_without_an_effect_is_no_choice():
    box = in_open_mode(leave_hold_ms=1000)
    assert settled(box, LEAVE, 1.1, LEAVE_UP, 60, *NEXT) is Phase.IN_ROOM
    assert settled(box, LEAVE, 0.1, LEAVE_UP, NEXT_LOST) is Phase.LEFT


@pytest.mark.parametrize("is_reversed", [False, True])
def test_two_wires_with_long_contacts_do_not_make_choices_for_each_other(is_reversed):
    box = in_open_mode()
    settled(box, *NEXT, *LEAVE_NOW)
    lost = (ButtonReleased(Button.LEAVE, is_lost=True), NEXT_LOST)
    assert settled(box, *(lost[::-1] if is_reversed else lost)) is Phase.IN_ROOM
    assert box.view().preset is None


def test_a_request_on_the_page_for_what_there_is_stays():
    box = in_open_mode()
    settled(box, *NEXT, JoinAsked("garage"), NEXT_LOST)
    assert box.view().preset == "garage"


def test_a_room_that_refuses_the_box_does_not_keep_it_in_the_room_of_the_wire():
    box = in_open_mode()
    settled(box, *NEXT)
    box.play(*NEXT, box.left())
    box.play(box.no_token(is_final=True))
    box.enter()
    assert box.view().preset == "garage"
    settled(box, NEXT_LOST)
    assert box.view().preset is None


def test_the_way_back_from_a_wire_does_not_end_in_its_room():
    box = in_open_mode()
    settled(box, *NEXT)
    box.play(NEXT_LOST, box.left())
    box.play(box.no_token(is_final=True))
    assert box.view().preset is None


def test_a_jammed_button_collects_no_changes():
    box = in_room()
    box.play(ButtonPressed(Button.NEXT_PAGE))
    for _ in range(50):
        for button in VOLUME:
            box.play(ButtonPressed(button), 0.1, ButtonReleased(button), 10)
    assert len(box.state.changes) < 10


def test_two_bad_contacts_keep_their_order():
    box = in_room()
    seen = set()
    for _ in range(20):
        for button in VOLUME:
            box.play(ButtonPressed(button), 0.01, ButtonReleased(button), 0.01)
            seen.add(box.view().faults)
    assert len(seen) <= 3
