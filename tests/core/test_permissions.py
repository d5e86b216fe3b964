"""Permissions of the token, and mutes by a moderator."""

import pytest

from appliance.core.commands import CloseGate, Earcon, OpenGate, UnmuteTrack
from appliance.core.events import FirstBlockSent, Permissions, RoomJoined
from appliance.core.faults import NO_DATA, NO_PUBLISHING, NO_SUBSCRIBING
from appliance.core.view import TalkState
from appliance.display.rendering import lines
from tests.core.story import (
    ALICE,
    OPEN,
    PAGE_DOWN,
    PAGE_UP,
    PRESS,
    PUSH_TO_TALK,
    RELEASE,
    UNMUTE,
    earcons,
    in_room,
    joining,
    live,
    of,
    with_mode,
)

ALL_MODES = (*PUSH_TO_TALK, OPEN)
FLOWED = FirstBlockSent(0.01)


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_moderators_mute_ends_the_talk_and_is_shown(mode):
    box = live(mode)
    box.play(FLOWED)
    assert box.view().lamps.talking
    assert of(CloseGate, box.play(box.permissions(is_server_muted=True))) == (
        CloseGate(0),
    )
    seen = box.view()
    assert not seen.lamps.talking
    assert seen.is_muted
    assert seen.is_muted_by_room
    assert (seen.talk, seen.talk_text) == (TalkState.MUTED, "muted by the room")


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_the_next_press_unmutes_the_track_before_the_gate_opens(mode):
    box = live(mode)
    box.play(box.permissions(is_server_muted=True), 1.0)
    assert of(OpenGate, box.play(RELEASE, 1.0)) == ()
    commands = box.play(PRESS)
    kinds = [type(command) for command in commands]
    assert of(UnmuteTrack, commands) == (UnmuteTrack(box.state.ticket),)
    assert kinds.index(UnmuteTrack) < kinds.index(OpenGate)
    assert box.view().talk_text == "talking"


def test_a_talk_on_the_page_unmutes_once_its_mute_switch_allows_it():
    box = in_room()
    box.play(box.permissions(is_server_muted=True))
    assert not of(UnmuteTrack, box.play(PAGE_DOWN, PAGE_UP))
    assert of(UnmuteTrack, box.play(UNMUTE, PAGE_DOWN))


@pytest.mark.parametrize("undo", [PRESS, UNMUTE])
def test_an_open_microphone_stays_muted_until_it_is_unmuted_locally(undo):
    box = in_room(with_mode(OPEN))
    assert box.is_live()
    box.play(box.permissions(is_server_muted=True), 100.0, box.permissions())
    assert not box.is_live()
    box.play(box.permissions(is_server_muted=True))
    assert of(UnmuteTrack, box.play(undo))
    assert box.is_live()


def test_a_track_that_the_room_mutes_again_is_muted_again():
    box = in_room()
    box.play(
        box.permissions(is_server_muted=True),
        PRESS,
        box.permissions(is_server_muted=True),
    )
    assert not box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_without_permission_a_press_is_refused_with_the_reason(mode):
    box = live(mode)
    box.play(FLOWED, box.permissions(may_publish=False))
    assert not box.is_live()
    assert not box.view().lamps.talking
    assert earcons(box.play(RELEASE, 1, PRESS)) == (Earcon.REFUSED,)
    seen = box.view()
    assert (seen.talk, seen.talk_text) == (
        TalkState.UNAVAILABLE,
        "cannot talk: not allowed",
    )
    assert NO_PUBLISHING in seen.faults
    assert seen.lamps.fault


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_permission_that_comes_back_does_not_talk_by_itself(mode):
    box = live(mode)
    box.play(box.permissions(may_publish=False), 5.0, box.permissions())
    assert not box.is_live()
    box.play(RELEASE, 1.0, PRESS)
    assert box.is_live()
    assert box.view().faults == ()


def test_an_open_microphone_goes_on_when_the_permission_is_back():
    box = in_room(with_mode(OPEN))
    box.play(box.permissions(may_publish=False))
    assert not box.is_live()
    box.play(box.permissions())
    assert box.is_live()


@pytest.mark.parametrize("mode", ALL_MODES)
def test_a_token_without_permissions_is_a_fault_in_words(mode):
    box = joining(with_mode(mode))
    nothing = Permissions(may_publish=False, may_subscribe=False, may_send_data=False)
    box.play(RoomJoined(box.state.ticket, "kitchen", (ALICE,), nothing), PRESS)
    assert not box.is_live()
    seen = box.view()
    assert {NO_PUBLISHING, NO_SUBSCRIBING, NO_DATA} <= set(seen.faults)
    assert seen.lamps.fault


def test_permissions_of_one_room_do_not_apply_to_the_next():
    box = in_room()
    box.play(box.permissions(may_publish=False, is_server_muted=True), box.lost())
    assert box.view().is_muted_by_room is False
    box.play(10.0)
    box.enter()
    box.play(PRESS)
    assert box.is_live()


def test_permissions_of_an_older_session_change_nothing():
    box = in_room()
    old = box.permissions(may_publish=False)
    box.play(box.lost(), 10.0)
    box.enter()
    box.play(old, PRESS)
    assert box.is_live()


@pytest.mark.parametrize("size", [(128, 64), (128, 32)])
def test_the_screen_names_a_mute_by_the_room_and_a_missing_permission(size):
    box = in_room()
    box.play(box.permissions(is_server_muted=True))
    assert "muted by the room" in " ".join(lines(box.view(), size))
    box.play(box.permissions(may_publish=False))
    assert "NOT ALLOWED" in " ".join(lines(box.view(), size))
