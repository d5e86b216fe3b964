"""Waits between attempts to reach the room."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import session
from appliance.core.commands import FetchToken, LeaveRoom
from appliance.core.events import Cause, LeaveAsked, LinkChanged, Ticked
from appliance.core.reconnect import (
    JITTER_S,
    LONGEST_ASKED_S,
    LONGEST_S,
    MINUTE_S,
    TEN_MINUTES_S,
    minutes_wait_s,
    wait_s,
)
from appliance.core.state import Goal, Phase
from appliance.core.step import wake_at_s
from tests.core.story import (
    LEAVE,
    CoreHarness,
    in_room,
    joining,
    of,
    started,
)

failures = st.integers(1, 10**9)
jitters = st.floats(0, 1)
HOME, ELSEWHERE = map(LinkChanged, ("192.168.1.5", "10.0.0.7"))


def remaining_s(box: CoreHarness) -> float:
    """Return how long the box is going to wait before its next attempt."""
    assert box.phase() is Phase.WAITING
    return box.state.retry_at_s - box.now_s


def next_try(box: CoreHarness) -> None:
    box.play(remaining_s(box))
    assert box.phase() is Phase.FETCHING


# lengths of the waits


def test_the_waits_double_from_half_a_second_to_the_cap():
    plain = [0.5, 1, 2, 4, 8, 16, 29.75, 29.75]
    for count, expected_s in enumerate(plain, 1):
        assert abs(wait_s(count, 0.5) - expected_s) <= JITTER_S


@given(failures, jitters)
def test_a_wait_is_never_shorter_than_the_first_nor_longer_than_the_cap(count, jitter):
    assert 0.25 <= wait_s(count, jitter) <= LONGEST_S


@given(failures)
def test_boxes_stay_spread_even_at_the_cap(count):
    waits = sorted(wait_s(count, box / 50) for box in range(50))
    gaps = [later - sooner for sooner, later in pairwise(waits)]
    assert max(gaps) < 2 * JITTER_S / 49
    assert waits[-1] - waits[0] > 1.9 * JITTER_S


@given(failures)
def test_a_box_that_was_replaced_waits_for_minutes_and_never_for_hours(count):
    assert MINUTE_S <= minutes_wait_s(count) <= TEN_MINUTES_S
    assert minutes_wait_s(count) <= minutes_wait_s(count + 1)


def test_a_box_that_was_replaced_again_waits_twice_as_long():
    waits = [minutes_wait_s(count) for count in range(1, 7)]
    assert waits == [60, 120, 240, 480, 600, 600]


# back-off


@pytest.mark.parametrize(
    ("stage", "firsts_s"),
    [("token", (0.5, 1, 2, 4, 8, 16)), ("room", (0.5, 1, 2, 4, *[8] * 36))],
)
def test_waits_double_to_the_cap_and_never_end(stage, firsts_s):
    """A room that nothing answers for is tried every 8 s for five minutes."""
    box = started()
    waits = []
    for _ in range(100):
        if stage == "room":
            box.play(box.token())
        box.play(box.no_token() if stage == "token" else box.failed())
        waits.append(remaining_s(box))
        next_try(box)
    rest_s = waits[len(firsts_s) :]
    assert waits[: len(firsts_s)] == pytest.approx(firsts_s, abs=2 * JITTER_S)
    assert all(LONGEST_S - 2 * JITTER_S <= found_s <= LONGEST_S for found_s in rest_s)
    assert box.state.ticket == 101


@pytest.mark.parametrize(
    ("asked_s", "waited_s"), [(120.0, 120.0), (0.0, 0.5), (1e9, LONGEST_ASKED_S)]
)
def test_the_wait_that_the_token_source_asks_for_is_kept_up_to_5_min(asked_s, waited_s):
    box = started()
    box.play(box.no_token(retry_after_s=asked_s))
    assert remaining_s(box) == pytest.approx(waited_s, abs=JITTER_S)


def test_no_attempt_starts_before_its_time():
    box = started()
    box.play(box.no_token())
    assert box.play(remaining_s(box) - 0.01) == ()
    assert of(FetchToken, box.play(0.02)) == (FetchToken(2, None, None),)


def test_a_long_session_resets_the_back_off():
    box = started()
    for _ in range(6):
        box.play(box.no_token())
        next_try(box)
    box.enter()
    box.play(session.STABLE_S, box.lost())
    assert remaining_s(box) < 1


def test_a_short_session_lengthens_the_wait():
    box = started()
    for _ in range(6):
        box.enter()
        box.play(session.STABLE_S - 1, box.lost())
        last_s = remaining_s(box)
        next_try(box)
    assert last_s > 7


@pytest.mark.parametrize("ending", ["lost in the pause", "lost after the pause"])
def test_a_long_session_resets_the_back_off_even_if_it_ends_with_a_pause(ending):
    box = started()
    for _ in range(6):
        box.play(box.no_token())
        next_try(box)
    box.enter()
    box.play(3600, box.paused(), 1)
    if ending == "lost after the pause":
        box.play(box.resumed(), 1)
    box.play(box.lost())
    assert remaining_s(box) < 1


def test_a_press_resets_the_back_off():
    box = started()
    for _ in range(6):
        box.play(box.no_token())
        next_try(box)
    box.play(LEAVE, 0.2, LEAVE)
    box.play(box.no_token())
    assert box.state.failures == 1
    assert remaining_s(box) < 1


def test_in_the_room_the_cause_of_earlier_failures_is_cleared():
    box = started()
    box.play(box.no_token(), 1)
    box.enter()
    assert (box.state.cause, box.state.reason) == (None, "")


def test_leaving_clears_the_cause_of_the_failure():
    box = started()
    box.play(box.no_token(is_final=True), LeaveAsked())
    assert (box.state.cause, box.state.reason) == (None, "")


# final answers


@pytest.mark.parametrize("stage", ["token", "join"])
def test_after_a_refusal_the_next_attempt_is_in_ten_minutes_or_on_a_new_address(
    stage,
):
    box = started()
    if stage == "token":
        box.play(box.no_token(Cause.REFUSED, is_final=True))
    if stage == "join":
        box.play(box.token())
        box.play(box.failed(Cause.REFUSED, is_final=True))
    assert box.phase() is Phase.REFUSED
    assert box.play(539) == ()
    assert of(FetchToken, box.play(122))
    box.play(box.no_token(Cause.REFUSED, is_final=True), HOME)
    assert of(FetchToken, box.play(ELSEWHERE))


def test_a_token_of_the_configuration_that_cannot_be_used_is_tried_again():
    box = started()
    box.play(box.no_token(Cause.MISCONFIGURED, is_final=True))
    assert box.play(539) == ()
    assert of(FetchToken, box.play(122))


def test_a_failure_that_comes_too_late_is_ignored():
    box = started()
    failed = box.no_token()
    box.play(failed)
    before = box.state
    assert box.play(failed, box.failed(), box.lost()) == ()
    assert box.state == before


# time limits


def test_fetching_a_token_has_a_time_out():
    box = started()
    assert box.play(session.FETCH_S - 0.01) == ()
    late = box.token()
    assert box.play(0.02, late) == ()
    assert box.state.reason == "no token arrived in time"
    next_try(box)


def test_a_server_that_never_answers_is_left_for_a_new_session():
    box = joining()
    assert box.play(session.JOIN_S - 0.01) == ()
    assert box.play(0.02) == (LeaveRoom(1),)
    assert (box.state.cause, box.state.goal) == (Cause.SERVER_LOST, Goal.REJOIN)
    assert box.state.reason == "the server did not answer in time"
    assert of(FetchToken, box.play(session.LEAVE_S)) == (FetchToken(2, None, None),)


def test_a_session_that_does_not_resume_is_left_for_a_new_one():
    box = in_room()
    box.play(box.paused())
    assert box.play(session.RESUME_S - 0.01) == ()
    assert box.play(0.02) == (LeaveRoom(1),)
    assert of(FetchToken, box.play(box.left())) == (FetchToken(2, None, None),)


def test_further_attempts_of_one_pause_do_not_prolong_it():
    box = in_room()
    box.play(box.paused(), 20, box.paused())
    assert box.play(10) == (LeaveRoom(1),)


def test_a_resumed_session_has_no_time_limit():
    box = in_room()
    box.play(box.paused(), 29, box.resumed())
    assert box.play(86_400) == ()
    assert wake_at_s(box.state) == float("inf")


def test_a_silent_server_counts_as_a_failure():
    box = joining()
    box.play(session.JOIN_S, session.LEAVE_S)
    box.play(box.no_token())
    assert box.state.failures == 2


# a long time


def test_a_day_of_outages_with_ticks_accumulates_nothing():
    box = started()
    for _ in range(0, 86_400, 5):
        box.play(5, Ticked())
        if box.phase() is Phase.FETCHING:
            box.play(box.no_token(Cause.NO_INTERNET))
    assert 2800 < box.state.ticket < 3000
    assert len(box.commands) < 2 * box.state.ticket
    assert box.state.chat.lines == ()
    assert box.state.lost == ()
