"""Another room that cannot be joined: the box returns to the previous room."""

import pytest

from appliance.core.commands import FetchToken, LeaveRoom
from appliance.core.events import (
    Button,
    ButtonPressed,
    Cause,
    JoinAsked,
    LeaveAsked,
    LinkChanged,
)
from appliance.core.reconnect import CHANGE_S, LONGEST_S
from appliance.core.session import FETCH_S, JOIN_S, LEAVE_S
from appliance.core.state import Phase
from tests.core.story import CoreHarness, in_room, of, started, with_presets

GARAGE = JoinAsked("garage")
WAIT_S = 2.0
"""Longer than the first two waits, shorter than the time-out for a token."""


def moving(*names: str) -> CoreHarness:
    """Return a box in the kitchen that has left it for the garage."""
    box = in_room(with_presets("garage", *names))
    box.play(GARAGE, box.left())
    return box


def presets(commands):
    """Return the rooms for which a token was fetched."""
    return [command.preset for command in of(FetchToken, commands)]


def test_a_refused_room_is_given_up_for_the_room_before():
    box = moving()
    box.play(box.token())
    answers = box.play(box.failed(Cause.REFUSED, is_final=True))
    assert presets(answers) == [None]
    assert not of(LeaveRoom, answers)
    box.enter()
    shown = box.view()
    assert (shown.preset, shown.room) == (None, "kitchen")
    assert shown.banner == "in kitchen (garage: refused)"
    (fault,) = shown.faults
    assert fault.startswith("garage: no room there")
    assert not shown.lamps.fault


def test_a_refused_token_gives_the_room_up_too():
    box = moving()
    assert presets(box.play(box.no_token(Cause.REFUSED, is_final=True))) == [None]


def next_try(box):
    """Play the wait for the next attempt."""
    assert box.phase() is Phase.WAITING
    return box.play(box.state.retry_at_s - box.now_s)


@pytest.mark.parametrize("stage", ["token", "room"])
def test_a_room_that_fails_for_half_a_minute_is_given_up(stage):
    box = moving()
    began_s, fetched = box.now_s, ["garage"]
    while fetched == ["garage"]:
        if stage == "room":
            box.play(box.token())
        failed = box.play(box.no_token() if stage == "token" else box.failed())
        fetched = presets(failed) or presets(next_try(box))
    assert fetched == [None]
    assert CHANGE_S <= box.now_s - began_s <= CHANGE_S + LONGEST_S
    assert "garage: no" in box.view().faults[0]


@pytest.mark.parametrize("attempt_s", [0.0, 5.0])
def test_a_room_whose_server_starts_within_20_s_is_joined(attempt_s):
    box = moving()
    ready_s = box.now_s + 20.0
    while box.now_s < ready_s:
        box.play(box.token(), attempt_s)
        box.play(box.failed())
        assert presets(next_try(box)) == ["garage"]
    box.enter()
    assert (box.phase(), box.view().preset) == (Phase.IN_ROOM, "garage")


@pytest.mark.parametrize("stage", ["token", "room"])
def test_a_room_that_never_answers_is_given_up(stage):
    box = moving()
    fetched = []
    for _ in range(2):
        if stage == "room":
            box.play(box.token())
        fetched += presets(box.play(max(FETCH_S, JOIN_S) + LEAVE_S + WAIT_S))
    assert fetched == ["garage", None]
    assert "in time" in box.view().faults[0]


def test_a_missing_network_gives_no_room_up():
    box = moving()
    box.play(LinkChanged(None))
    for _ in range(6):
        box.play(box.no_token(Cause.NO_INTERNET), 40)
    box.play(LinkChanged("10.0.0.7"), CHANGE_S / 2)
    box.play(box.no_token(Cause.NO_INTERNET))
    assert box.view().preset == "garage"


def test_a_failed_room_that_is_chosen_again_is_tried_again():
    box = moving()
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    box.enter()
    assert presets(box.play(GARAGE, box.left())) == ["garage"]
    assert box.view().faults == ()
    box.enter()
    assert (box.view().preset, box.view().banner) == ("garage", "in kitchen")


def test_a_room_that_is_chosen_again_meanwhile_has_all_its_time():
    box = moving()
    for _ in range(6):
        box.play(box.no_token(), CHANGE_S / 2, GARAGE)
    assert box.view().preset == "garage"


def test_after_several_changes_the_box_goes_back_to_the_last_room_it_was_in():
    box = moving("attic")
    box.play(JoinAsked("attic"))
    assert presets(box.play(box.no_token(is_final=True))) == [None]


def test_a_room_that_was_joined_is_not_given_up():
    box = moving()
    box.enter()
    box.play(box.lost(), 1)
    assert box.play(box.no_token(Cause.REFUSED, is_final=True)) != ()
    assert (box.phase(), box.view().preset) == (Phase.REFUSED, "garage")


def test_on_the_way_back_the_room_before_is_retried_without_end():
    box = moving()
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    for _ in range(6):
        box.play(box.no_token(), 40)
    assert box.view().preset is None
    assert "(garage: refused)" in box.view().banner


def test_without_a_room_before_the_chosen_room_is_retried():
    box = started(with_presets("garage"))
    box.play(GARAGE)
    for _ in range(6):
        box.play(box.no_token(), 40)
    assert box.view().preset == "garage"


def test_a_room_that_was_left_on_request_is_not_joined_again():
    box = in_room(with_presets("garage"))
    box.play(LeaveAsked(), box.left(), GARAGE)
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    assert (box.phase(), box.view().preset) == (Phase.REFUSED, "garage")


@pytest.mark.parametrize("way", ["by presses", "after a failure"])
def test_on_the_way_back_another_change_has_the_same_room_to_go_back_to(way):
    box = moving()
    if way == "by presses":
        box.play(JoinAsked(None))
    else:
        box.play(box.no_token(Cause.REFUSED, is_final=True))
    assert box.view().preset is None
    box.play(GARAGE)
    assert presets(box.play(box.no_token(is_final=True))) == [None]


def test_leaving_clears_the_note_about_the_failed_room():
    box = moving()
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    box.enter()
    box.play(LeaveAsked(), box.left())
    assert box.view().faults == ()
    assert "garage" not in box.view().banner


def test_the_room_of_the_configuration_can_fail_too():
    box = in_room(with_presets("garage"))
    box.play(GARAGE, box.left())
    box.enter()
    box.play(ButtonPressed(Button.NEXT_ROOM), box.left())
    assert presets(box.play(box.no_token(is_final=True))) == ["garage"]
    box.enter()
    assert "(first room: no token)" in box.view().banner
