"""Requests for another room or name."""

import pytest

from appliance.core.commands import (
    FetchToken,
    JoinRoom,
    LeaveRoom,
)
from appliance.core.events import (
    Button,
    ButtonPressed,
    JoinAsked,
    LeaveAsked,
    StopAsked,
)
from appliance.core.session import LEAVE_S
from appliance.core.state import Phase
from tests.core.story import (
    LEAVE,
    in_room,
    joining,
    of,
    started,
    with_presets,
)

NEXT_ROOM = ButtonPressed(Button.NEXT_ROOM)
RENAME = JoinAsked(display_name="Hall")


# joining what is joined, and other rooms


@pytest.mark.parametrize("make", [started, joining, in_room])
def test_a_request_to_join_the_current_room_changes_nothing(make):
    box = make()
    assert box.play(JoinAsked()) == ()


def test_a_request_to_join_ends_the_wait():
    box = started()
    box.play(box.no_token())
    assert of(FetchToken, box.play(JoinAsked())) == (FetchToken(2, None, None),)


def test_a_new_name_starts_a_new_session_and_is_kept():
    box = in_room()
    assert box.play(RENAME) == (LeaveRoom(1),)
    assert of(FetchToken, box.play(box.left())) == (FetchToken(2, None, "Hall"),)
    box.enter()
    assert box.play(JoinAsked()) == ()
    assert box.state.display_name == "Hall"


def test_one_press_moves_to_the_next_room_and_after_the_last_back_to_the_first():
    box = in_room(with_presets("garage", "attic"))
    seen = []
    for _ in range(3):
        box.play(1, NEXT_ROOM)
        (command,) = of(FetchToken, box.play(box.left()))
        box.enter()
        seen.append(command.preset)
    assert seen == ["garage", "attic", None]


def test_the_preset_goes_to_token_source_and_server():
    box = in_room(with_presets("garage"))
    box.play(JoinAsked("garage"), box.left())
    (command,) = of(JoinRoom, box.play(box.token()))
    assert command.preset == "garage"


def test_the_old_rooms_name_is_not_shown_for_the_new_one():
    box = in_room(with_presets("garage"))
    box.play(box.lost())
    assert box.state.room == "kitchen"
    box.play(NEXT_ROOM)
    assert box.state.room == ""


def test_several_presses_while_leaving_skip_rooms():
    box = in_room(with_presets("garage", "attic"))
    assert box.play(NEXT_ROOM, 0.2, NEXT_ROOM) == (LeaveRoom(1),)
    assert of(FetchToken, box.play(box.left())) == (FetchToken(2, "attic", None),)


def test_without_presets_the_next_room_button_does_nothing():
    box = in_room()
    assert box.play(NEXT_ROOM) == ()
    box.play(LEAVE, box.left())
    assert box.play(NEXT_ROOM) == ()


def test_a_preset_that_is_not_configured_changes_nothing():
    box = in_room(with_presets("garage"))
    before = box.state
    assert box.play(JoinAsked("cellar")) == ()
    assert box.state == before


def test_switching_rooms_while_fetching_a_token_fetches_the_right_one():
    box = started(with_presets("garage"))
    commands = box.play(NEXT_ROOM)
    assert commands == (FetchToken(2, "garage", None),)


# stopping


@pytest.mark.parametrize(
    "event", [LEAVE, LeaveAsked(), JoinAsked(), RENAME, NEXT_ROOM, StopAsked()]
)
def test_no_request_revives_a_box_that_is_stopping(event):
    box = in_room(with_presets("garage"))
    box.play(StopAsked(), event, box.left())
    assert box.phase() is Phase.STOPPED


def test_a_stop_while_leaving_does_not_prolong_it():
    box = in_room()
    box.play(LEAVE, LEAVE_S - 0.5, StopAsked(), 0.5)
    assert box.phase() is Phase.STOPPED
