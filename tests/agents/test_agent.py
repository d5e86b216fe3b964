"""Conversations with a real voice agent, whose models are scripted."""

import asyncio
import itertools
import logging

import pytest
from livekit import rtc

from appliance.config import TalkMode
from appliance.core.events import AgentState, ChatTyped, MuteAsked
from tests.agents.conftest import AGENT, QUIET, a_box
from tests.room.fakes import DEADLINE_S

LISTENING, THINKING, SPEAKING = "listening", "thinking", "speaking"
LONG = "one two three four five six seven eight nine ten eleven twelve"
SESSION_ENDS_S = 2.0
"""Time in which the agent learns that the box has left, and ends its session."""


def is_state(state):
    return lambda view: view.agent is not None and view.agent.state == state


def lines(view):
    return [(line.sender_name or "me", line.text) for line in view.chat]


def refusals(caplog):
    return [x for x in caplog.messages if "turn not taken" in x]


def talker(box):
    """Return the name of the agent's track in the playback."""
    (one,) = (x for x in box.playback.talkers if x.startswith(AGENT))
    return one


async def test_a_spoken_question_is_shown_answered_and_kept(server, agent):
    async with agent.visiting(server), a_box(server) as box:
        view = await box.until(is_state(LISTENING))
        assert view.agent.name == "Agent"
        assert [person.name for person in view.people] == ["Agent"]
        await box.say()
        await box.until(is_state(THINKING))
        await box.until(is_state(SPEAKING))
        await box.until(lambda view: len(view.chat) == 2)
        view = await box.until(is_state(LISTENING))
    assert lines(view) == [("me", "one two three"), ("Agent", "that is right")]
    seen = [(x.talker, x.text) for view in box.views for x in view.captions]
    assert [x for x in dict.fromkeys(seen) if x[0] == "Box"] == [
        ("Box", "one"),
        ("Box", "one two"),
        ("Box", "one two three"),
    ]
    grown = [text for speaker, text in dict.fromkeys(seen) if speaker == "Agent"]
    assert len(grown) > 1
    assert all(later.startswith(text) for text, later in itertools.pairwise(grown))
    assert view.faults == ()


async def test_a_typed_question_gets_an_answer_that_can_be_read(server, agent):
    async with agent.visiting(server), a_box(server) as box:
        await box.until(is_state(LISTENING))
        box.app.post(ChatTyped("id", "how are you", 1))
        view = await box.until(lambda view: len(view.chat) == 2)
        assert await agent.until(asked="how are you")
    assert lines(view) == [("me", "how are you"), ("Agent", "that is right")]


async def test_a_press_silences_the_agent_and_nobody_else(server, agent, caplog):
    caplog.set_level(logging.DEBUG, "appliance.room.agent")
    async with (
        agent.visiting(server, answer=LONG),
        a_box(server) as box,
        server.friend("ann") as ann,
    ):
        await ann.say(600)
        await box.until(is_state(LISTENING))
        box.app.post(ChatTyped("id", "count", 1))
        await box.until(is_state(SPEAKING))
        await box.playback.count(2)
        box.press()
        view = await box.until(lambda view: view.talk == "talking")
        assert view.agent.state is AgentState.SPEAKING
        assert box.playback.muted == {talker(box)}
        await box.until(is_state(LISTENING))
        box.release()
        await box.until(lambda view: view.talk == "muted")
        assert box.playback.muted == set()
        async with asyncio.timeout(DEADLINE_S):
            while len(refused := refusals(caplog)) < 2:
                await asyncio.sleep(0.05)
    assert refused == [f"turn not taken  turn={x} code=1400" for x in ("start", "end")]


async def test_an_agent_that_takes_turns_hears_whoever_presses(server, agent):
    async with (
        agent.visiting(server, takes_turns=True),
        a_box(server) as box,
        a_box(server, "garage") as other,
    ):
        for one, identity in ((box, "box"), (other, "garage")):
            await one.until(is_state(LISTENING))
            await one.say()
            await agent.until(turn="start", by=identity)
            await agent.until(turn="end", by=identity)
            await one.until(
                lambda view: (
                    ("me", "one two three") in lines(view)
                    and lines(view)[-1] == ("Agent", "that is right")
                )
            )
            await one.until(is_state(LISTENING))
        assert "listens to whoever talks" in box.view.agent_note
        assert not agent.now(turn="cancel")


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_turn_outlasts_a_new_connection(server, agent, is_over):
    full = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
    async with (
        agent.visiting(server, takes_turns=True, stays=True),
        a_box(server) as box,
    ):
        await box.until(is_state(LISTENING))
        box.press()
        await agent.until(turn="start", by="box")
        await asyncio.sleep(1.0)
        await box.sdk_room.simulate_scenario(full)
        await box.until(lambda view: view.connection == "reconnecting")
        if is_over:
            box.release()
        await box.until(lambda view: view.connection == "connected")
        box.release()
        await agent.until(turn="end", by="box")
        await box.until(lambda view: ("Agent", "that is right") in lines(view))
        turns = [x["turn"] for x in agent.reports if "turn" in x]
    assert turns == ["start", "end"]


async def test_a_mute_takes_a_turn_back(server, agent):
    async with agent.visiting(server, takes_turns=True), a_box(server) as box:
        await box.until(is_state(LISTENING))
        box.press()
        await agent.until(turn="start", by="box")
        box.app.post(MuteAsked(is_on=True))
        await agent.until(turn="cancel", by="box")
        box.release()
        assert not agent.now(turn="end")


async def test_in_open_mode_an_agent_that_takes_turns_answers_after_a_pause(
    server, agent
):
    async with (
        agent.visiting(server, takes_turns=True),
        a_box(server, mode=TalkMode.OPEN) as box,
    ):
        await box.until(is_state(LISTENING))
        await agent.until(turn="start", by="box")
        await asyncio.sleep(1.0)
        box.app.post(QUIET)
        await agent.until(turn="end", by="box")
        await box.until(lambda view: ("Agent", "that is right") in lines(view))
        assert box.view.talk == "talking"


async def test_an_agent_whose_session_is_over_is_named(server, agent):
    async with (
        agent.visiting(server, takes_turns=True, is_dead=True),
        a_box(server) as box,
    ):
        await box.until(is_state(LISTENING))
        box.press()
        view = await box.until(lambda view: view.faults)
        assert "Agent does not react" in view.faults[0]
        box.release()


async def test_an_agent_that_stopped_hearing_when_the_box_left_is_named(server, agent):
    """The framework ends an agent's session when its participant leaves."""
    async with agent.visiting(server):
        async with a_box(server) as box:
            await box.until(is_state(LISTENING))
            await box.say()
            await box.until(lambda view: ("Agent", "that is right") in lines(view))
        asked = len(agent.now(asked="one two three"))
        await asyncio.sleep(SESSION_ENDS_S)
        async with a_box(server) as box:
            await box.until(lambda view: view.agent is not None)
            await box.say(2.0)
            view = await box.until(lambda view: view.faults)
        assert len(agent.now(asked="one two three")) == asked
    assert "Agent does not react" in view.faults[0]


async def test_what_is_said_before_the_agent_comes_is_answered(server, agent):
    async with a_box(server, expects_agent=True) as box:
        assert box.view.banner == "in kitchen, waiting for the agent"
        await box.say()
        await box.until(lambda view: view.talk == "muted")
        async with agent.visiting(server):
            heard = await agent.until(asked="one two three")
            assert heard
            (report,) = (x for x in agent.reports if "heard_s" in x)
            assert report["heard_s"] >= 0.9
            await box.until(lambda view: ("Agent", "that is right") in lines(view))


async def test_what_is_typed_before_the_agent_comes_is_answered(server, agent):
    async with a_box(server, expects_agent=True) as box:
        box.app.post(ChatTyped("id", "how are you", 1))
        async with agent.visiting(server):
            assert await agent.until(asked="how are you")
            await box.until(lambda view: ("Agent", "that is right") in lines(view))


async def test_a_latched_talk_goes_on_when_the_expected_agent_comes(server, agent):
    async with a_box(server, mode=TalkMode.HYBRID, expects_agent=True) as box:
        await box.say(0.1)
        await box.until(lambda view: view.talk == "talking")
        latched = len(box.views)
        async with agent.visiting(server):
            await box.until(is_state(LISTENING))
            assert {view.talk for view in box.views[latched:]} == {"talking"}


async def test_an_expected_agent_hears_what_is_said_after_it_came(server, agent):
    async with a_box(server, expects_agent=True) as box, agent.visiting(server):
        await box.until(is_state(LISTENING))
        await box.say(1.0)
        await agent.until(asked="one two three")
        (report,) = (x for x in agent.reports if "heard_s" in x)
        assert report["heard_s"] >= 0.9
    # Without a stream from the box it waits for three seconds.
    warnings = [x["warning"] for x in agent.reports if "warning" in x]
    assert [x for x in warnings if x.startswith("timeout waiting")] == []
