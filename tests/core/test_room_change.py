"""Another room that cannot be joined: the box goes back to the room before."""

import pytest

from appliance.core.commands import FetchToken
from appliance.core.events import (
    Button,
    ButtonPressed,
    Cause,
    ChatTyped,
    JoinAsked,
    LeaveAsked,
    LinkChanged,
)
from appliance.core.reconnect import CHANGE_FAILURES
from appliance.core.session import FETCH_S, JOIN_S, LEAVE_S
from appliance.core.state import Phase
from tests.core.story import CoreHarness, in_room, of, started, with_presets

GARAGE = JoinAsked("garage")


def moving(*names: str) -> CoreHarness:
    """Return a box in the kitchen that has left it for the garage."""
    box = in_room(with_presets("garage", *names))
    box.play(GARAGE, box.left())
    return box


def presets(commands):
    """Return the rooms for which a token was fetched."""
    return [command.preset for command in of(FetchToken, commands)]


@pytest.mark.parametrize("stage", ["token", "room"])
def test_a_room_that_refuses_the_box_is_given_up_for_the_room_before(stage):
    box = moving()
    if stage == "token":
        box.play(box.no_token(Cause.REFUSED, is_final=True))
    else:
        box.play(box.token(), box.failed(Cause.REFUSED, is_final=True))
    assert presets(box.play(1)) == [None]
    box.enter()
    shown = box.view()
    assert (shown.preset, shown.room) == (None, "kitchen")
    assert shown.banner == "in kitchen (garage: refused)"
    (fault,) = shown.faults
    assert fault == f"garage: no {stage} there; the box went back to the last room"
    assert not shown.lamps.fault


@pytest.mark.parametrize("stage", ["token", "room", "nothing", "no answer"])
def test_a_room_that_fails_again_and_again_is_given_up(stage):
    box = moving()
    for _ in range(CHANGE_FAILURES):
        assert box.view().preset == "garage"
        if stage == "token":
            box.play(box.no_token())
        elif stage == "room":
            box.play(box.token(), box.failed())
        elif stage == "no answer":
            box.play(box.token(), JOIN_S, LEAVE_S)
        else:
            box.play(FETCH_S)
        fetched = presets(box.play(*((8.5,) if box.phase() is Phase.WAITING else ())))
    assert fetched in ([None], [])
    assert box.view().preset is None
    assert "garage: " in box.view().faults[0]


def test_the_wait_that_a_token_source_asks_for_is_kept_on_the_way_back():
    box = moving()
    box.play(box.no_token(Cause.REFUSED, is_final=True, retry_after_s=60.0))
    assert presets(box.play(59)) == []
    assert presets(box.play(1)) == [None]


def test_a_missing_network_gives_no_room_up():
    box = moving()
    box.play(LinkChanged(None))
    for _ in range(2 * CHANGE_FAILURES):
        box.play(box.no_token(Cause.NO_INTERNET), 40)
    box.play(LinkChanged("10.0.0.7"))
    box.play(box.no_token(Cause.NO_INTERNET))
    assert box.view().preset == "garage"


def test_a_failed_room_that_is_chosen_again_is_tried_again():
    box = moving()
    box.play(box.no_token(Cause.REFUSED, is_final=True), 1)
    box.enter()
    assert presets(box.play(GARAGE, box.left())) == ["garage"]
    assert box.view().faults == ()
    box.enter()
    assert (box.view().preset, box.view().banner) == ("garage", "in kitchen")


def test_after_several_changes_the_box_goes_back_to_the_last_room_it_was_in():
    box = moving("attic")
    box.play(JoinAsked("attic"))
    assert presets(box.play(box.no_token(is_final=True), 1)) == [None]


def test_a_line_for_a_room_that_is_given_up_fails():
    box = moving()
    box.play(ChatTyped("c1", "hello", 5), box.no_token(is_final=True))
    assert [line.reason for line in box.view().chat] == ["the box went to another room"]


def test_a_room_that_was_joined_is_not_given_up():
    box = moving()
    box.enter()
    box.play(box.lost(), 1)
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    assert (box.phase(), box.view().preset) == (Phase.REFUSED, "garage")


def test_on_the_way_back_the_room_before_is_retried_without_end():
    box = moving()
    box.play(box.no_token(Cause.REFUSED, is_final=True), 1)
    for _ in range(2 * CHANGE_FAILURES):
        box.play(box.no_token(), 40)
    assert box.view().preset is None
    assert "(garage: refused)" in box.view().banner


def test_without_a_room_before_the_chosen_room_is_retried():
    box = started(with_presets("garage"))
    box.play(box.no_token(), GARAGE)
    for _ in range(2 * CHANGE_FAILURES):
        box.play(box.no_token(), 40)
    assert box.view().preset == "garage"


def test_a_room_that_was_left_on_request_is_not_joined_again():
    box = in_room(with_presets("garage"))
    box.play(LeaveAsked(), box.left(), GARAGE)
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    assert (box.phase(), box.view().preset) == (Phase.REFUSED, "garage")


def test_leaving_clears_the_note_about_the_failed_room():
    box = moving()
    box.play(box.no_token(Cause.REFUSED, is_final=True), 1)
    box.enter()
    box.play(LeaveAsked(), box.left())
    assert box.view().faults == ()
    assert "garage" not in box.view().banner


def test_the_room_of_the_configuration_can_fail_too():
    box = moving()
    box.enter()
    box.play(ButtonPressed(Button.NEXT_ROOM), box.left())
    assert presets(box.play(box.no_token(is_final=True), 1)) == ["garage"]
    box.enter()
    assert "(first room: no token)" in box.view().banner
