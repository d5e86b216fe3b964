import pytest

from appliance.core import session
from appliance.core.backoff import JITTER_S, LONGEST_S
from appliance.core.commands import DropToken, FetchToken, LeaveRoom
from appliance.core.events import Cause, LeaveAsked, LinkChanged, Ticked
from appliance.core.state import Goal, Phase
from appliance.core.step import wake_at_s
from tests.core.story import (
    LEAVE,
    Box,
    in_room,
    joining,
    of,
    started,
)

HOME, ELSEWHERE = map(LinkChanged, ("192.168.1.5", "10.0.0.7"))


def wait_s(box: Box) -> float:
    """Return how long the box is going to wait."""
    assert box.phase() is Phase.WAITING
    return box.state.retry_at_s - box.now_s


def next_try(box: Box) -> None:
    box.play(wait_s(box))
    assert box.phase() is Phase.FETCHING


# back-off


@pytest.mark.parametrize(
    ("road", "firsts_s"),
    [("token", (0.5, 1, 2, 4, 8, 16)), ("room", (0.5, 1, 2, 4, *[8] * 36, 16))],
)
def test_waits_double_to_the_cap_and_never_end(road, firsts_s):
    box = started()
    waits = []
    for _ in range(100):
        if road == "room":
            box.play(box.token())
        box.play(box.no_token() if road == "token" else box.failed())
        waits.append(wait_s(box))
        next_try(box)
    for found_s, wanted_s in zip(waits, firsts_s, strict=False):
        assert abs(found_s - wanted_s) <= JITTER_S
    rest_s = waits[len(firsts_s) :]
    assert all(LONGEST_S - 2 * JITTER_S <= found_s <= LONGEST_S for found_s in rest_s)
    assert box.state.ticket == 101


def test_no_try_starts_before_its_time():
    box = started()
    box.play(box.no_token())
    assert box.play(wait_s(box) - 0.01) == ()
    assert of(FetchToken, box.play(0.02)) == (FetchToken(2, None, None),)


def test_a_steady_visit_makes_earlier_failures_good():
    box = started()
    for _ in range(6):
        box.play(box.no_token())
        next_try(box)
    box.enter()
    box.play(session.STEADY_S, box.lost())
    assert wait_s(box) < 1


def test_a_short_visit_lengthens_the_wait():
    box = started()
    for _ in range(6):
        box.enter()
        box.play(session.STEADY_S - 1, box.lost())
        last_s = wait_s(box)
        next_try(box)
    assert last_s > 7


@pytest.mark.parametrize("ending", ["lost in the pause", "lost after the pause"])
def test_a_steady_visit_counts_even_if_it_ends_with_a_pause(ending):
    box = started()
    for _ in range(6):
        box.play(box.no_token())
        next_try(box)
    box.enter()
    box.play(3600, box.paused(), 1)
    if ending == "lost after the pause":
        box.play(box.resumed(), 1)
    box.play(box.lost())
    assert wait_s(box) < 1


def test_a_press_starts_with_a_clean_slate():
    box = started()
    for _ in range(6):
        box.play(box.no_token())
        next_try(box)
    box.play(LEAVE, LEAVE)
    box.play(box.no_token())
    assert box.state.failures == 1
    assert wait_s(box) < 1


def test_in_the_room_nothing_is_left_of_earlier_failures():
    box = started()
    box.play(box.no_token(), 1)
    box.enter()
    assert (box.state.cause, box.state.reason) == (None, "")


def test_leaving_forgets_why_there_was_no_room():
    box = started()
    box.play(box.no_token(is_final=True), LeaveAsked())
    assert (box.state.cause, box.state.reason) == (None, "")


# final answers


@pytest.mark.parametrize("road", ["token", "join", "loss"])
def test_after_a_final_no_the_next_try_is_in_ten_minutes_or_when_something_changes(
    road,
):
    box = started()
    if road == "token":
        box.play(box.no_token(Cause.REFUSED, is_final=True))
    if road == "join":
        box.play(box.token())
        box.play(box.failed(Cause.REFUSED, is_final=True))
    if road == "loss":
        box.enter()
        box.play(box.lost(Cause.REFUSED, is_final=True))
    assert box.phase() is Phase.REFUSED
    assert box.play(539) == ()
    assert of(FetchToken, box.play(122))
    box.play(box.no_token(Cause.REFUSED, is_final=True), HOME)
    assert of(FetchToken, box.play(ELSEWHERE))


def test_a_wrong_configuration_is_not_tried_again_by_itself():
    box = started()
    box.play(box.no_token(Cause.MISCONFIGURED, is_final=True))
    assert box.play(86_400) == ()


def test_a_failure_that_comes_too_late_is_ignored():
    box = started()
    failed = box.no_token()
    box.play(failed)
    before = box.state
    assert box.play(failed, box.failed(), box.lost()) == ()
    assert box.state == before


# time limits


def test_a_token_that_never_comes_is_given_up():
    box = started()
    assert box.play(session.FETCH_S - 0.01) == ()
    assert box.play(0.02) == (DropToken(1),)
    assert box.state.reason == "no token came in time"
    next_try(box)


def test_a_server_that_never_answers_is_left_for_a_fresh_visit():
    box = joining()
    assert box.play(session.JOIN_S - 0.01) == ()
    assert box.play(0.02) == (LeaveRoom(1),)
    assert (box.state.cause, box.state.goal) == (Cause.SERVER_LOST, Goal.REJOIN)
    assert box.state.reason == "the server did not answer in time"
    assert of(FetchToken, box.play(session.LEAVE_S)) == (FetchToken(2, None, None),)


def test_a_session_that_does_not_resume_is_left_for_a_fresh_visit():
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


def test_a_day_of_outages_with_a_tick_each_second_leaves_nothing_behind():
    box = started()
    for _ in range(86_400):
        box.play(1, Ticked())
        if box.phase() is Phase.FETCHING:
            box.play(box.no_token(Cause.NO_INTERNET))
    assert 2800 < box.state.ticket < 3000
    assert len(box.commands) < 2 * box.state.ticket
    assert box.state.chat.lines == ()
    assert box.state.lost == ()
