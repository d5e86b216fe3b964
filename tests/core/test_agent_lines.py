"""Typed lines that wait for a voice agent."""

import pytest

from appliance.core.chat import Delivery
from appliance.core.commands import LeaveRoom, SendChat
from appliance.core.events import ChatTyped
from appliance.core.voice_agent import STARTING_S
from tests.core.story import ALICE, in_room, joining, of
from tests.core.test_agent_return import returned
from tests.core.test_voice_agent import (
    INITIALIZING,
    LISTENING,
    ROBOT,
    agent,
    expecting,
    gone,
)

HELLO = ChatTyped("c1", "hello", 5)


def sends(box, *story):
    """Play and return the ids of the lines that are sent."""
    return [command.id for command in of(SendChat, box.play(*story))]


def test_a_line_waits_for_the_expected_agent_until_it_is_ready():
    box = expecting()
    assert sends(box, HELLO, 5.0, box.people(ROBOT), agent(box, INITIALIZING)) == []
    assert [line.state for line in box.view().chat] == [Delivery.QUEUED]
    assert sends(box, ChatTyped("c2", "you", 6), 2.0) == []
    assert sends(box, agent(box, LISTENING)) == ["c1", "c2"]
    assert sends(box, ChatTyped("c3", "now", 7)) == ["c3"]


def test_a_line_typed_to_an_agent_that_is_starting_waits():
    """It receives text only when it is ready."""
    box = joining()
    box.play(box.joined(ROBOT), agent(box, INITIALIZING))
    assert sends(box, HELLO, 1.0) == []
    assert sends(box, agent(box)) == ["c1"]


@pytest.mark.parametrize("is_expected", [False, True])
def test_lines_of_an_outage_wait_for_the_agent_of_the_new_room(is_expected):
    box = expecting()
    box.play(box.people(ROBOT), agent(box), 20.0, box.lost(), HELLO, 1.0)
    token = box.token(expects_agent=is_expected)
    people = () if is_expected else (ROBOT,)
    assert sends(box, token, box.joined(*people)) == []
    assert sends(box, box.people(ROBOT), agent(box, INITIALIZING), 1.0) == []
    assert sends(box, agent(box)) == ["c1"]


def test_a_line_is_sent_at_once_if_a_person_is_there():
    box = expecting()
    assert sends(box, box.people(ALICE), HELLO) == ["c1"]
    box = expecting()
    box.play(HELLO, 1.0)
    assert sends(box, box.people(ALICE)) == ["c1"]
    box = in_room()
    box.play(box.people(ALICE, ROBOT), agent(box, INITIALIZING))
    assert sends(box, HELLO) == ["c1"]


def test_a_line_does_not_wait_for_ever():
    box = expecting()
    box.play(20.0, box.people(ROBOT), agent(box, INITIALIZING), HELLO)
    assert sends(box, STARTING_S - 1.0) == []
    assert sends(box, 2.0) == ["c1"]
    assert sends(box, 60.0) == []


def test_a_line_waits_for_the_agent_that_leaving_and_joining_brings():
    box = expecting()
    box.play(box.people(ROBOT), agent(box), gone(box), box.people(), 40.0)
    assert sends(box, HELLO) == []
    assert [line.state for line in box.view().chat] == [Delivery.QUEUED]
    assert len(of(LeaveRoom, box.play(21.0))) == 1
    assert of(SendChat, returned(box)) == ()
    assert sends(box, 40.0, box.people(ROBOT)) == []
    assert sends(box, agent(box)) == ["c1"]


def test_a_line_waits_although_the_list_of_participants_is_first():
    box = expecting()
    assert sends(box, 40.0, HELLO, box.people(ROBOT)) == []
    assert sends(box, agent(box, INITIALIZING), 1.0, gone(box), box.people()) == []
    assert sends(box, box.people(ROBOT), agent(box, INITIALIZING), 1.0) == []
    assert sends(box, agent(box)) == ["c1"]


def test_a_line_waits_through_an_interruption():
    box = expecting()
    assert sends(box, HELLO, box.paused(), 2.0, box.resumed()) == []
    assert sends(box, box.people(ROBOT), agent(box)) == ["c1"]


def test_where_no_agent_is_expected_a_line_is_sent_into_the_empty_room():
    box = joining()
    box.play(box.joined())
    assert sends(box, HELLO) == ["c1"]
