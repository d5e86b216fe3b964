"""Return of an expected voice agent that is missing."""

from dataclasses import replace

import pytest

from appliance.core.commands import Earcon, FetchToken, LeaveRoom
from appliance.core.events import (
    Cause,
    ChatTyped,
    FirstBlockSent,
    JoinAsked,
    LinkChanged,
    RoomPaused,
    RoomResumed,
    TailEnded,
)
from appliance.core.faults import NO_AGENT
from appliance.core.reconnect import CLOSED_S, PAUSE_S
from appliance.core.state import Phase
from appliance.core.view import ConnectionState
from tests.core.story import (
    ALICE,
    HOLD,
    HYBRID,
    LEAVE,
    MICROPHONE_LOST,
    OPEN,
    PRESS,
    RELEASE,
    earcons,
    in_room,
    of,
    started,
    with_presets,
)
from tests.core.test_voice_agent import (
    QUIET,
    ROBOT,
    VOICE,
    agent,
    expecting,
    gone,
    say,
)

HELLO = ChatTyped("c1", "hello", 5)
USES = [
    pytest.param((PRESS, 0.5, RELEASE), id="press"),
    pytest.param((HELLO,), id="line"),
]


def returned(box):
    """Play the end of a session and the begin of the next one."""
    commands = box.play(box.left(), CLOSED_S + 5.0)
    return (*commands, *box.play(box.token(expects_agent=True), box.joined()))


def leaves(box, *story):
    return len(of(LeaveRoom, box.play(*story)))


def test_a_box_alone_leaves_waits_until_the_room_has_ended_and_joins_again():
    box = expecting()
    assert leaves(box, 59.0) == 0
    assert leaves(box, 2.0) == 1
    box.play(box.left())
    assert box.phase() is Phase.WAITING
    assert box.view().banner == "waiting for the agent, retry in 27 s"
    assert of(FetchToken, box.play(CLOSED_S)) == ()
    assert len(of(FetchToken, box.play(5.0))) == 1


def test_a_network_that_is_missing_meanwhile_is_named():
    box = expecting()
    box.play(61.0, box.left(), LinkChanged(None))
    assert box.view().banner == "disconnected: no network, retry in 27 s"


def test_an_interruption_does_not_begin_the_wait_anew():
    box = expecting()
    assert leaves(box, 40.0, box.paused(), 1.0, box.resumed(), 18.0) == 0
    assert leaves(box, 3.0) == 1


@pytest.mark.parametrize(
    ("missing", "back"),
    [
        (LinkChanged(None), LinkChanged("10.0.0.7")),
        (RoomPaused(1), RoomResumed(1)),
    ],
    ids=["network", "connection"],
)
def test_an_agent_that_has_joined_during_an_interruption_is_not_left(missing, back):
    box = expecting()
    assert leaves(box, 50.0, missing, 20.0, back, 0.5) == 0
    assert leaves(box, box.people(ROBOT), agent(box), 3600.0) == 0


@pytest.mark.parametrize("story", [(), (HELLO,)], ids=["alone", "with a waiting line"])
def test_it_does_so_again_after_ever_longer_waits(story):
    box = expecting()
    box.play(*story)
    waits_s = []
    for _ in range(6):
        began_s = box.now_s
        while not leaves(box, 5.0):
            assert box.now_s < began_s + 1000.0
        waits_s.append(box.now_s - began_s)
        returned(box)
    assert waits_s == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


@pytest.mark.parametrize("mode", [HOLD, OPEN])
def test_no_earcon_sounds_for_it_but_a_fault_is_shown(mode):
    box = expecting(mode)
    assert box.view().faults == ()
    assert earcons(box.play(61.0)) == ()
    assert box.view().faults == (NO_AGENT,)
    assert earcons(returned(box)) == ()
    assert box.view().faults == (NO_AGENT,)
    assert box.view().lamps.fault
    box.play(box.people(ROBOT), agent(box))
    assert box.view().faults == ()


def test_neither_a_missing_agent_nor_a_missing_microphone_hides_the_connection():
    def seen():
        view = box.view()
        return view.connection, view.lamps.online, view.banner

    box = expecting()
    box.play(MICROPHONE_LOST)
    there = ConnectionState.CONNECTED, True, "in kitchen, waiting for the agent"
    assert seen() == there
    box.play(61.0)
    assert seen() == (ConnectionState.RECONNECTING, False, "reconnecting")
    box.play(box.left())
    waiting = "waiting for the agent, retry in 27 s"
    assert seen() == (ConnectionState.DISCONNECTED, False, waiting)
    returned(box)
    assert seen() == there
    assert box.view().faults == ("microphone: USB: unplugged", NO_AGENT)


def test_an_agent_that_has_left_is_fetched_too():
    box = expecting()
    box.play(box.people(ROBOT), agent(box))
    say(box)
    assert leaves(box, 3600.0) == 0
    assert leaves(box, gone(box), box.people(), 59.0) == 0
    assert leaves(box, 2.0) == 1


def test_an_agent_that_has_crashed_is_fetched_although_its_avatar_stays():
    box = expecting()
    avatar = replace(ROBOT, id="avatar")
    box.play(box.people(ROBOT, avatar), agent(box))
    say(box)
    assert leaves(box, box.people(avatar), gone(box), 59.0) == 0
    assert leaves(box, 2.0) == 1


@pytest.mark.parametrize("use", USES)
def test_an_agent_that_ended_by_itself_is_fetched_when_somebody_wants_it(use):
    box = expecting()
    box.play(61.0)
    returned(box)
    box.play(box.people(ROBOT), agent(box), 20.0, gone(box), box.people())
    assert leaves(box, 8 * 3600.0) == 0
    assert box.view().faults == ()
    assert leaves(box, *use, PAUSE_S + 1.0) == 1


@pytest.mark.parametrize("use", USES)
def test_after_long_waits_an_agent_that_somebody_wants_is_fetched_soon(use):
    box = expecting()
    for wait_s in (61.0, 121.0, 241.0, 481.0, 601.0):
        box.play(wait_s)
        returned(box)
    box.play(box.people(ROBOT), agent(box), 5.0)
    assert leaves(box, gone(box), box.people(), 70.0) == 0
    assert leaves(box, *use, PAUSE_S + 1.0) == 1


@pytest.mark.parametrize("is_used", [False, True])
def test_an_agent_that_crashes_is_fetched_only_if_somebody_has_used_it(is_used):
    box = expecting()
    box.play(box.people(ROBOT), agent(box), *((PRESS, 1.0, RELEASE) if is_used else ()))
    assert leaves(box, gone(box), box.people(), 3600.0) == is_used


def test_a_box_that_is_used_stays():
    box = expecting(HYBRID)
    assert leaves(box, 55.0, PRESS, FirstBlockSent(0.01), VOICE, 8.0) == 0
    assert leaves(box, RELEASE, TailEnded(), QUIET, PAUSE_S - 1.0) == 0
    assert leaves(box, 2.0) == 1


def test_somebody_who_tries_again_and_again_does_not_keep_the_agent_away():
    box = expecting(HYBRID)
    for wait_s in (61.0, 121.0, 241.0, 481.0):
        box.play(wait_s)
        returned(box)
    assert leaves(box, 300.0) == 0
    say(box)
    assert box.view().faults == (NO_AGENT,)
    assert leaves(box, PAUSE_S + 1.0) == 1


def test_in_open_mode_a_box_leaves_in_a_pause_between_two_sounds():
    box = expecting(OPEN)
    box.play(FirstBlockSent(0.01))
    assert leaves(box, VOICE, 70.0, VOICE) == 0
    assert leaves(box, QUIET, PAUSE_S - 1.0, VOICE, 1.0, QUIET, PAUSE_S - 1.0) == 0
    assert leaves(box, 2.0) == 1


def test_a_box_with_people_or_without_an_expected_agent_or_that_was_left_stays():
    box = expecting()
    assert leaves(box, box.people(ALICE), 3600.0) == 0
    box = in_room()
    box.play(box.people(ROBOT), agent(box), gone(box), box.people())
    assert leaves(box, 3600.0) == 0
    box = expecting()
    box.play(LEAVE, box.left())
    assert leaves(box, 3600.0) == 0
    assert box.phase() is Phase.LEFT


def test_somebody_who_leaves_while_it_waits_keeps_it_out():
    box = expecting()
    box.play(61.0, box.left(), 5.0, LEAVE)
    assert of(FetchToken, box.play(3600.0)) == ()
    assert NO_AGENT not in box.view().faults


@pytest.mark.parametrize("people", [(ALICE,), (ALICE, ROBOT)])
def test_a_room_with_people_does_not_end_and_is_joined_again_at_once(people):
    box = expecting()
    box.play(box.people(*people), *([agent(box)] if ROBOT in people else []))
    box.play(LEAVE, box.left())
    assert len(of(FetchToken, box.play(1, LEAVE))) == 1


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(lambda box: (LEAVE, 0.2, LEAVE, box.left()), id="while it leaves"),
        pytest.param(lambda box: (box.left(), LEAVE, 0.2, LEAVE), id="leave and join"),
        pytest.param(lambda box: (box.left(), JoinAsked()), id="join"),
        pytest.param(
            lambda box: (box.left(), LinkChanged(None), LinkChanged("10.0.0.7")),
            id="network",
        ),
    ],
)
def test_nothing_makes_it_join_before_the_room_has_ended(story):
    box = expecting()
    box.play(60.5)
    assert box.phase() is Phase.LEAVING
    assert of(FetchToken, box.play(*story(box), CLOSED_S)) == ()
    assert len(of(FetchToken, box.play(5.0))) == 1


def test_another_room_is_joined_at_once_meanwhile():
    box = started(with_presets("garage"))
    box.play(box.token(expects_agent=True), box.joined(), 61.0, box.left())
    assert len(of(FetchToken, box.play(JoinAsked("garage")))) == 1


def test_an_outage_meanwhile_is_shown_and_heard_as_one():
    box = expecting()
    box.play(61.0)
    returned(box)
    assert earcons(box.play(box.lost())) == (Earcon.LOST,)
    assert box.state.cause is Cause.SERVER_LOST
    assert "server lost" in box.view().banner
