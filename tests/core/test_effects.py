"""Commands to the sound card and the room that follow from a change of state."""

import pytest

from appliance.core.commands import CloseSound, Earcon, FetchToken, OpenSound
from appliance.core.events import JoinAsked, LeaveAsked, LinkChanged, Started
from appliance.core.step import QUIET_S
from tests.core.story import (
    ALICE,
    HOLD,
    LEAVE,
    OPEN,
    CoreHarness,
    earcons,
    in_room,
    started,
    with_mode,
)


def sound(*commands) -> list[type]:
    """Return the commands to the sound card."""
    return [type(x) for x in commands if isinstance(x, OpenSound | CloseSound)]


# the sound card


def test_the_microphone_is_opened_with_the_first_attempt_and_not_before():
    box = CoreHarness()
    assert sound(*box.play(LinkChanged("10.0.0.7"), JoinAsked(), 60)) == []
    assert isinstance(box.play(Started())[0], OpenSound)


def test_an_outage_leaves_the_sound_card_open():
    box = in_room()
    box.play(box.paused(), 31, 3)
    box.play(box.no_token(), 60)
    box.enter()
    assert sound(*box.commands) == [OpenSound]


def test_the_microphone_is_closed_after_leaving_and_opened_for_the_next_session():
    box = in_room()
    assert sound(*box.play(LEAVE)) == []
    assert sound(*box.play(box.left())) == [CloseSound]
    assert sound(*box.play(1, LEAVE)) == [OpenSound]


def test_the_microphone_is_closed_when_the_box_is_refused_and_only_once():
    box = started()
    assert sound(*box.play(box.no_token(is_final=True))) == [CloseSound]
    assert sound(*box.play(LeaveAsked())) == []
    assert sound(*box.play(JoinAsked())) == [OpenSound]


def test_joining_again_while_leaving_keeps_the_card_open():
    box = in_room()
    box.play(LEAVE, 1, LEAVE, box.left())
    assert sound(*box.commands) == [OpenSound]


def test_the_card_is_opened_before_the_token_is_fetched():
    box = in_room()
    box.play(LEAVE, box.left())
    commands = box.play(1, LEAVE)
    assert [type(command) for command in commands] == [OpenSound, FetchToken]


# earcons


def test_joining_and_losing_the_room_have_an_earcon():
    box = started()
    assert earcons(box.enter()) == (Earcon.JOINED,)
    assert earcons(box.play(box.lost())) == (Earcon.LOST,)


def test_a_pause_has_one_earcon_however_it_ends():
    box = in_room()
    assert earcons(box.play(box.paused())) == (Earcon.LOST,)
    assert earcons(box.play(box.lost())) == ()


@pytest.mark.parametrize("mode", [HOLD, OPEN])
def test_an_outage_soon_after_another_one_has_no_earcon(mode):
    box = in_room(with_mode(mode))
    assert earcons(box.play(box.lost(), 2)) == (Earcon.LOST,)
    assert len(earcons(box.enter())) == 1
    assert earcons(box.play(60, box.lost(), 2)) == ()
    assert earcons(box.enter()) == ()
    assert box.is_live() == (mode is OPEN)


def test_the_end_of_a_long_outage_is_heard_whatever_was_before():
    box = in_room(with_mode(HOLD))
    box.play(box.lost(), 2)
    box.enter()
    assert earcons(box.play(60, box.lost(), QUIET_S)) == ()
    box.play(40)
    assert earcons(box.enter()) == (Earcon.JOINED,)


def test_failed_attempts_have_no_earcon():
    box = started()
    for _ in range(20):
        box.play(box.token())
        box.play(box.failed(), 40)
    assert earcons(box.commands) == ()


@pytest.mark.parametrize("event", [LEAVE, LeaveAsked(), JoinAsked(display_name="Hall")])
def test_leaving_on_request_has_no_earcon(event):
    box = in_room()
    assert earcons(box.play(event, box.left())) == ()


def test_participants_who_come_and_go_have_no_earcon():
    box = in_room()
    assert box.play(box.people(), box.people(ALICE)) == ()
