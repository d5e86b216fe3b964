"""Joining again after leaving a voice agent, which stays a while and hears nobody."""

import pytest

from appliance.config import Config, Preset, RoomConfig
from appliance.core.commands import Earcon, FetchToken
from appliance.core.events import (
    JoinAsked,
    LeaveAsked,
    LinkChanged,
)
from appliance.core.session import AGENT_ENDS_S
from appliance.core.state import Phase
from tests.core.story import (
    LEAVE,
    CoreHarness,
    earcons,
    in_room,
    joining,
    of,
)
from tests.core.test_voice_agent import ROBOT, agent, expecting, gone

AWAY, HOME = map(LinkChanged, (None, "10.0.0.7"))


def with_agent_and_presets() -> CoreHarness:
    """Return a box with an agent in one of two rooms."""
    box = joining(Config(room=RoomConfig(presets=(Preset(name="garage"),))))
    box.play(box.joined(ROBOT), agent(box))
    return box


def fetches(box, *story):
    return len(of(FetchToken, box.play(*story)))


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(lambda box: (LEAVE, box.left(), 0.5, LEAVE), id="button"),
        pytest.param(lambda box: (LEAVE, 0.1, LEAVE, box.left()), id="twice"),
        pytest.param(
            lambda box: (LeaveAsked(), box.left(), JoinAsked(None, None)), id="page"
        ),
        pytest.param(lambda box: (JoinAsked(None, "Ann"), box.left()), id="new name"),
    ],
)
def test_the_same_room_is_joined_again_only_when_the_agent_has_gone(story):
    box = with_agent_and_presets()
    began_s = box.now_s
    assert fetches(box, *story(box)) == 0
    assert box.phase() is Phase.WAITING
    assert box.view().banner == "waiting for the agent, retry in 4 s"
    assert fetches(box, began_s + AGENT_ENDS_S - 0.1 - box.now_s) == 0
    assert fetches(box, 0.2) == 1
    assert earcons(box.play(box.token(), box.joined(ROBOT))) == (Earcon.JOINED,)


def test_a_room_of_an_expected_agent_is_left_as_long_although_it_has_gone_before():
    box = expecting()
    box.play(box.people(ROBOT), agent(box), gone(box), box.people(), LEAVE, box.left())
    assert fetches(box, 1.0, LEAVE, AGENT_ENDS_S - 1.1) == 0
    assert fetches(box, 0.2) == 1


def test_another_room_is_joined_at_once():
    box = with_agent_and_presets()
    assert fetches(box, JoinAsked("garage", None), box.left()) == 1
    box = with_agent_and_presets()
    assert fetches(box, LEAVE, box.left(), JoinAsked("garage", None)) == 1


def test_coming_back_through_another_room_takes_as_long():
    box = with_agent_and_presets()
    assert fetches(box, JoinAsked("garage", None), box.left(), 1.0) == 1
    box.enter()
    assert fetches(box, JoinAsked(None, None), box.left(), AGENT_ENDS_S - 2.0) == 0
    assert fetches(box, 2.0) == 1


def test_without_an_agent_and_after_an_outage_the_room_is_joined_at_once():
    box = in_room()
    assert fetches(box, LEAVE, box.left(), 1.0, LEAVE) == 1
    box = with_agent_and_presets()
    assert fetches(box, box.lost(), 1.0) == 1
    box = with_agent_and_presets()
    assert fetches(box, box.paused(), LEAVE, box.left(), 1.0, LEAVE) == 1


def test_a_press_on_leave_during_the_wait_stays_out():
    box = with_agent_and_presets()
    box.play(LEAVE, box.left(), 1.0, LEAVE, 0.5, LEAVE)
    assert fetches(box, 60.0) == 0
    assert box.phase() is Phase.LEFT
