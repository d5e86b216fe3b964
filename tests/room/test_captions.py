"""Captions from participants that may send anything."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from livekit import rtc

from appliance.core.chat import UNKNOWN_ID
from appliance.core.events import (
    AgentChanged,
    AgentState,
    CaptionReceived,
    PeopleChanged,
)
from appliance.room.chat_format import TEXT_CHARACTERS
from tests.room.conftest import open_box
from tests.room.fakes import DEADLINE_S

TOPIC = "lk.transcription"
FINAL = "lk.transcription_final"
SEGMENT = "lk.segment_id"
ROBOT = "agent-AJ_x"


async def said(friend, text, segment="s1", *, is_final=True, **more):
    """Send a whole caption, as an agent sends what a person said."""
    attributes = {SEGMENT: segment, FINAL: str(is_final).lower()} | more
    me = friend.room.local_participant
    await me.send_text(text, topic=TOPIC, attributes=attributes)


async def begun(friend, segment="s1"):
    """Begin a caption that grows, as an agent sends what it says itself."""
    me = friend.room.local_participant
    attributes = {SEGMENT: segment, FINAL: "false"}
    return await me.stream_text(topic=TOPIC, attributes=attributes)


@pytest.fixture
async def stage(server):
    """A box in a room with an agent that a test plays."""

    @asynccontextmanager
    async def open_stage(**claims):
        async with open_box() as box:
            await box.join(server)
            async with server.friend(ROBOT, kind="agent", **claims) as robot:
                # The server announces a participant without a track 3 s late.
                await robot.stay_muted()
                await box.until(AgentChanged)
                yield box, robot
            await box.leave()

    return open_stage


async def caption(box, is_it=lambda _: True):
    found = await box.until(CaptionReceived, lambda event: is_it(event.caption))
    return found.caption


def captions(box):
    """Return every caption that this box has reported."""
    return [x.caption for x in box.events if isinstance(x, CaptionReceived)]


async def test_a_caption_grows_until_it_is_final(stage):
    async with stage() as (box, robot):
        writer = await begun(robot)
        await writer.write("it is")
        first = await caption(box)
        await writer.write(" late")
        second = await caption(box, lambda x: x.text != first.text)
        await writer.aclose(attributes={FINAL: "true"})
        last = await caption(box, lambda x: x.is_final)
    texts = [x.text for x in (first, second, last)]
    assert texts == ["it is", "it is late", "it is late"]
    assert not first.is_final
    assert {x.segment for x in (first, second, last)} == {"s1"}
    assert (last.talker, last.talker_id) == ("Agent", ROBOT)


async def test_a_text_without_end_is_cut_and_its_stream_closed(stage):
    async with stage() as (box, robot):
        writer = await begun(robot)
        for _ in range(40):
            await writer.write("x" * 1000)
        await said(robot, "next", "s2")
        await caption(box, lambda x: x.text == "next")
        longest = max(len(x.text) for x in captions(box))
        await writer.aclose()
    assert longest == TEXT_CHARACTERS


async def test_what_an_agent_said_before_it_paused_for_long_is_final(
    server, stage, monkeypatch
):
    monkeypatch.setattr("appliance.room.chat_channel.SILENCE_S", 1.0)
    async with stage() as (box, robot), server.friend("ann") as ann:
        for friend in (ann, robot):
            writer = await begun(friend)
            await writer.write("let me look that up")
        last = await caption(box, lambda x: x.is_final)
        assert (last.talker_id, last.text) == (ROBOT, "let me look that up")
        await said(ann, "over", "s2")
        last = await caption(box, lambda x: x.is_final)
        assert (last.talker_id, last.text) == ("ann", "over")


async def test_what_an_agent_said_before_it_crashed_is_final(stage):
    async with stage() as (box, robot):
        writer = await begun(robot)
        await writer.write("the answer")
        await caption(box)
        await robot.room.disconnect()
        last = await caption(box, lambda x: x.is_final)
    assert (last.talker_id, last.text) == (ROBOT, "the answer")


async def test_of_what_an_agent_said_without_end_the_part_that_was_read_is_final(stage):
    async with stage() as (box, robot):
        writer = await begun(robot)
        for _ in range(40):
            await writer.write("x" * 1000)
        last = await caption(box, lambda x: x.is_final)
        await writer.aclose()
    assert len(last.text) == TEXT_CHARACTERS


async def test_impossible_captions_are_dropped_and_odd_ones_made_harmless(stage):
    async with stage() as (box, robot):
        await said(robot, "long id", "s" * 300)
        await said(robot, "\x00\u202e", "s0")
        await said(robot, "   ", "s1")
        await said(robot, "a\x1b[31m\u202eb", "s2", **{"lk.transcribed_track_id": "x"})
        found = await caption(box)
    assert (found.segment, found.text) == ("s2", "a[31mb")


async def test_packets_of_the_older_protocol_are_not_captions(server, stage):
    async with stage() as (box, robot):
        await robot.say(440)
        sid = next(iter(robot.room.local_participant.track_publications))
        segment = rtc.TranscriptionSegment(
            id="t1", text="twice", start_time=0, end_time=0, language="", final=True
        )
        await robot.room.local_participant.publish_transcription(
            rtc.Transcription(ROBOT, sid, [segment])
        )
        await said(robot, "once")
        assert (await caption(box)).text == "once"


async def test_a_flood_of_captions_does_not_cut_off_the_agent(server, stage):
    async with stage() as (box, robot), server.friend("ann") as ann:
        writer = await begun(robot)
        await writer.write("it is")
        await caption(box)
        for number in range(70):
            await said(ann, "x", f"flood {number}")
        # Of a flood, the box drops what it cannot read at once.
        async with asyncio.timeout(DEADLINE_S):
            while all(x.text != "over" for x in captions(box)):
                await said(ann, "over", "last")
                await asyncio.sleep(0.2)
        await writer.write(" late")
        await writer.aclose(attributes={FINAL: "true"})
        last = await caption(box, lambda x: x.talker_id == ROBOT and x.is_final)
    assert last.text == "it is late"


async def test_nobody_may_say_anything_as_an_unknown_sender(server, stage):
    async with stage() as (box, robot), server.friend(UNKNOWN_ID) as guest:
        await said(guest, "forged")
        await said(robot, "true")
        await caption(box, lambda x: x.talker_id == ROBOT)
        found = captions(box)
    assert {x.text for x in found} == {"true"}


async def test_the_replacement_of_an_agent_that_crashed_is_the_one_to_talk_to(
    server, box
):
    """The server lists the one that has crashed until it notices that."""
    claims = {"kind": "agent", "canUpdateOwnMetadata": True}
    state = {"lk.agent.state": "listening"}
    await box.join(server)
    async with server.friend("crashed", **claims) as crashed:
        await crashed.stay_muted()
        await crashed.room.local_participant.set_attributes(state)
        await box.until(AgentChanged, lambda event: event.agent.state == "listening")
        async with server.friend(ROBOT, **claims) as robot:
            await robot.stay_muted()
            await box.until(PeopleChanged, lambda event: len(event.people) == 2)
            await robot.room.local_participant.set_attributes(state)
            agent = (await box.until(AgentChanged)).agent
            assert (agent.id, agent.state) == (ROBOT, AgentState.LISTENING)
            seen = [x.agent for x in box.events if isinstance(x, AgentChanged)]
            # One that is not ready does not take the place of one that is.
            assert [x and x.id for x in seen[-2:]] == ["crashed", ROBOT]
        agent = (await box.until(AgentChanged)).agent
        assert agent.id == "crashed"


async def test_the_state_of_an_agent_and_its_name_are_followed(server, box):
    await box.join(server)
    claims = {"kind": "agent", "canUpdateOwnMetadata": True}
    async with server.friend(ROBOT, **claims) as robot:
        await robot.stay_muted()
        agent = (await box.until(AgentChanged)).agent
        assert (agent.name, agent.state) == ("Agent", AgentState.INITIALIZING)
        me = robot.room.local_participant
        await me.set_attributes({"lk.agent.state": "thinking", "lk.agent.name": "Jo"})
        agent = (await box.until(AgentChanged)).agent
        assert (agent.name, agent.state) == ("Jo", AgentState.THINKING)
        await me.set_attributes({"lk.agent.state": "dreaming", "push-to-talk": "1"})
        agent = (await box.until(AgentChanged)).agent
        assert (agent.state, agent.takes_turns) == (AgentState.IDLE, True)
    assert (await box.until(AgentChanged)).agent is None
