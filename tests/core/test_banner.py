"""The texts of the connection's state."""

from dataclasses import replace

import pytest

from appliance.config import ButtonsConfig, Config
from appliance.core.events import Cause, JoinAsked, LeaveAsked, LinkChanged, StopAsked
from appliance.core.state import Phase
from appliance.core.view import CAUSE_TEXT, banner, retry_s
from tests.core.story import (
    ALICE,
    LEAVE,
    PRESS,
    CoreHarness,
    in_room,
    joining,
    started,
)

LOCAL_URL = "ws://127.0.0.1:7880"


def words(box: CoreHarness) -> str:
    return banner(box.state, box.now_s)


def test_each_phase_has_its_text():
    box = CoreHarness()
    seen = [words(box)]
    box = started()
    seen.append(words(box))
    box.play(box.token())
    seen.append(words(box))
    box.play(box.joined())
    seen.append(words(box))
    box.play(box.paused())
    seen.append(words(box))
    box.play(LEAVE)
    seen.append(words(box))
    box.play(box.left())
    seen.append(words(box))
    box.play(StopAsked())
    seen.append(words(box))
    assert seen == [
        "starting",
        "connecting",
        "connecting",
        "in kitchen",
        "reconnecting",
        "leaving",
        "left, press leave to rejoin",
        "stopped",
    ]


def test_a_box_without_buttons_names_none_to_join_again():
    box = in_room(Config(buttons=ButtonsConfig(talk=None, leave=None)))
    box.play(LeaveAsked(), box.left())
    assert words(box) == "left, join on the page"


def test_a_room_without_a_name_is_still_a_room():
    box = joining()
    box.play(replace(box.joined(), room=""))
    assert words(box) == "connected"


def test_a_wait_names_cause_and_seconds_to_the_next_attempt():
    box = started()
    box.play(box.no_token(Cause.NO_INTERNET))
    box.state = replace(box.state, retry_at_s=box.now_s + 7.2)
    assert words(box) == "disconnected: no internet, retry in 8 s"


def test_the_seconds_count_down_to_nothing():
    box = started()
    box.play(box.no_token())
    until_s = box.state.retry_at_s
    counts = [retry_s(box.state, until_s + late_s) for late_s in (-1.5, -1, -0.1, 0, 9)]
    assert counts == [2, 1, 1, 0, 0]


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_text_that_fits_on_two_lines_of_the_screen(cause):
    box = started()
    box.play(box.no_token(cause))
    assert f"disconnected: {CAUSE_TEXT[cause]}, retry in " in words(box)
    assert len(words(box)) <= 60


def test_the_cause_stays_during_the_next_attempt():
    box = started()
    box.play(box.no_token(Cause.SERVER_LOST), 1)
    assert words(box) == "connecting: server lost"


def test_a_refusal_is_named_once():
    box = started()
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    assert words(box) == "refused, asks again in 10 min"


def test_a_wrong_configuration_is_named():
    box = started()
    box.play(box.no_token(Cause.MISCONFIGURED, is_final=True))
    assert words(box) == "refused: wrong configuration, asks again in 10 min"


def test_a_pause_without_a_link_says_so():
    box = in_room()
    box.play(LinkChanged(None), box.paused())
    assert words(box) == "reconnecting: no network"


def test_a_lost_link_is_said_at_once_in_the_room():
    box = in_room()
    box.play(LinkChanged("10.0.0.7"), LinkChanged(None))
    assert words(box) == "reconnecting: no network"
    box.play(LinkChanged("10.0.0.7"))
    assert words(box) == "in kitchen"


@pytest.mark.parametrize("cause", [Cause.SERVER_LOST, Cause.TOKEN_SOURCE])
def test_a_missing_link_explains_every_outage(cause):
    box = started()
    box.play(LinkChanged(None), box.no_token(cause))
    assert words(box).startswith("disconnected: no network, retry in")
    box.play(1)
    assert words(box) == "connecting: no network"


def test_a_room_on_this_machine_needs_no_link():
    box = started()
    box.play(box.token(LOCAL_URL), box.joined(ALICE))
    box.play(LinkChanged(None), PRESS)
    assert words(box) == "in kitchen"
    assert box.is_live()


def test_a_missing_link_is_named_although_the_room_is_on_this_machine():
    box = started()
    box.play(box.token(LOCAL_URL), box.joined(ALICE), LinkChanged(None), box.lost(), 1)
    box.play(box.no_token(Cause.NO_INTERNET))
    assert words(box).startswith("disconnected: no network, retry in")


def test_leaving_for_a_new_session_is_a_reconnect_and_names_its_cause():
    box = joining()
    box.play(25)
    assert words(box) == "reconnecting: server lost"


def test_leaving_for_another_name_is_a_reconnect():
    box = in_room()
    box.play(JoinAsked(display_name="Hall"))
    assert words(box) == "reconnecting"


def test_a_stopping_box_is_leaving():
    box = in_room()
    box.play(JoinAsked(display_name="Hall"), StopAsked())
    assert words(box) == "leaving"


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("cause", [None, *Cause])
def test_the_banner_is_never_empty(phase, cause):
    box = CoreHarness()
    box.state = replace(box.state, phase=phase, cause=cause)
    assert words(box)
