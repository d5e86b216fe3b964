"""A session from the token to the room, and its end."""

from dataclasses import replace

import pytest

from appliance.core.commands import (
    CloseGate,
    Earcon,
    FetchToken,
    JoinRoom,
    LeaveRoom,
    PlayEarcon,
)
from appliance.core.events import (
    Button,
    ButtonPressed,
    JoinAsked,
    LeaveAsked,
    Started,
    TokenReady,
)
from appliance.core.session import LEAVE_S
from appliance.core.state import Phase
from tests.core.story import (
    ALICE,
    BOB,
    LEAVE,
    PRESS,
    CoreHarness,
    in_room,
    joining,
    of,
    started,
    with_presets,
)

NEXT_ROOM = ButtonPressed(Button.NEXT_ROOM)


# from boot into the room


def test_a_started_box_fetches_a_token_joins_and_is_in_the_room():
    box = CoreHarness()
    assert of(FetchToken, box.play(Started())) == (FetchToken(1, None, None),)
    token = box.token()
    assert of(JoinRoom, box.play(token)) == (JoinRoom(1, token.details),)
    assert box.play(box.joined(ALICE)) == (PlayEarcon(Earcon.JOINED),)
    assert box.phase() is Phase.IN_ROOM
    assert (box.state.room, box.state.identity) == ("kitchen", "box")
    assert box.state.people == (ALICE,)


def test_every_server_that_accepts_the_token_may_be_joined():
    box = CoreHarness()
    box.play(Started())
    others = ("wss://b.example.com", "wss://c.example.com")
    details = replace(box.token().details, fallback_urls=others)
    (join,) = of(JoinRoom, box.play(TokenReady(1, details)))
    assert join.details == details


def test_starting_twice_is_one_session():
    box = started()
    assert not of(FetchToken, box.play(Started()))


def test_answers_that_come_twice_change_nothing():
    box = started()
    token, joined = box.token(), box.joined(ALICE)
    box.play(token)
    assert box.play(token) == ()
    box.play(joined, 5)
    before = box.state
    assert box.play(token, joined, box.resumed()) == ()
    assert box.state == before


def test_a_pause_before_the_box_is_in_the_room_is_no_pause():
    box = joining()
    box.play(box.paused())
    assert box.phase() is Phase.JOINING


def test_people_are_known_only_in_a_room():
    box = joining()
    box.play(box.people(ALICE))
    assert not box.state.people
    box.play(box.joined(ALICE), box.people(ALICE, BOB))
    assert box.state.people == (ALICE, BOB)
    box.play(box.lost())
    assert not box.state.people


def test_a_pause_keeps_the_people_and_a_loss_forgets_them():
    box = in_room()
    box.play(box.paused())
    assert box.state.people == (ALICE,)
    box.play(box.people(BOB))
    assert box.state.people == (BOB,)
    box.play(box.lost())
    assert not box.state.people


# leaving and coming back


def test_leaving_closes_the_gate_before_the_session_ends():
    box = in_room()
    box.play(PRESS)
    assert box.play(LEAVE) == (CloseGate(0), LeaveRoom(1))


def test_a_left_box_stays_out_until_it_is_asked_back():
    box = in_room()
    box.play(LEAVE, box.left())
    assert box.phase() is Phase.LEFT
    assert box.play(86_400) == ()
    assert of(FetchToken, box.play(LEAVE)) == (FetchToken(2, None, None),)


def test_leaving_on_the_page_twice_is_leaving_once():
    box = in_room()
    box.play(LeaveAsked(), LeaveAsked(), box.left())
    assert box.play(LeaveAsked()) == ()
    assert box.phase() is Phase.LEFT


def test_a_second_press_while_leaving_joins_again_afterwards():
    box = in_room()
    assert box.play(LEAVE, 0.2, LEAVE) == (LeaveRoom(1),)
    assert of(FetchToken, box.play(box.left())) == (FetchToken(2, None, None),)


def test_the_last_request_while_leaving_counts():
    box = in_room()
    box.play(LEAVE, LEAVE, LEAVE, box.left())
    assert box.phase() is Phase.LEFT


def test_leaving_without_an_answer_ends_after_a_time_out():
    box = in_room()
    box.play(LEAVE, LEAVE_S - 0.01)
    assert box.phase() is Phase.LEAVING
    box.play(0.02)
    assert box.phase() is Phase.LEFT


@pytest.mark.parametrize("answer", ["left", "lost", "failed"])
def test_leaving_is_over_whichever_side_ends_the_session(answer):
    box = in_room()
    box.play(LEAVE, getattr(box, answer)())
    assert box.phase() is Phase.LEFT


@pytest.mark.parametrize("answer", ["joined", "paused", "resumed", "people"])
def test_events_of_the_old_room_are_ignored_while_leaving(answer):
    box = in_room()
    box.play(LEAVE)
    before = box.state
    assert box.play(getattr(box, answer)()) == ()
    assert box.state == before


def test_late_events_of_the_old_session_do_not_end_the_new_one():
    box = in_room()
    late = (box.left(), box.lost(), box.failed(), box.paused(), box.people(BOB))
    box.play(LEAVE, LEAVE_S, LEAVE)
    box.enter()
    before = box.state
    assert box.play(*late) == ()
    assert box.state == before


def test_a_report_of_leaving_that_was_not_asked_for_is_ignored():
    box = in_room()
    assert box.play(box.left()) == ()
    assert box.phase() is Phase.IN_ROOM


def test_a_token_that_comes_after_leaving_is_not_used():
    box = started()
    assert of(JoinRoom, box.play(LEAVE, box.token())) == ()
    assert box.phase() is Phase.LEFT


def test_leaving_while_joining_leaves_the_room_and_a_late_join_is_ignored():
    box = joining()
    assert box.play(LEAVE) == (LeaveRoom(1),)
    assert box.play(box.joined(ALICE)) == ()
    assert box.phase() is Phase.LEAVING


def test_leaving_while_waiting_ends_the_wait():
    box = started()
    box.play(box.no_token(), LEAVE)
    assert box.play(3600) == ()
    assert box.phase() is Phase.LEFT


def test_a_refused_box_tries_again_on_a_press_and_stays_out_if_the_page_says_leave():
    box = started()
    box.play(box.no_token(is_final=True))
    assert of(FetchToken, box.play(LEAVE))
    box.play(box.no_token(is_final=True), LeaveAsked())
    assert box.phase() is Phase.LEFT


def test_a_request_to_join_before_the_start_sets_the_first_room():
    box = CoreHarness(with_presets("garage"))
    assert box.play(JoinAsked("garage", "Hall")) == ()
    started = of(FetchToken, box.play(Started()))
    assert started == (FetchToken(1, "garage", "Hall"),)


def test_a_box_that_is_told_to_leave_before_the_start_stays_out():
    box = CoreHarness()
    box.play(LEAVE)
    assert not of(FetchToken, box.play(Started()))
    assert box.phase() is Phase.LEFT
