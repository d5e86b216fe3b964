"""Speech that is kept for an expected agent: how much, and for whom."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from appliance.core.commands import TakeTurn, Turn
from appliance.core.events import AgentChanged, RoomJoined
from appliance.pcm import SILENCE
from appliance.room.agent import (
    KEPT_BLOCKS,
    PRE_CONNECT_TOPIC,
    STALE_S,
    PreConnectAudio,
)
from tests.room.conftest import join_room
from tests.room.fakes import BLOCK, DEADLINE_S

MICROPHONE = rtc.TrackSource.SOURCE_MICROPHONE


@dataclass
class Agent:
    """Participant of an agent."""

    identity: str = "agent-AJ_x"
    sid: str = "PA_1"
    attributes: dict[str, str] = field(
        default_factory=lambda: {"lk.agent.state": "listening"}
    )


class Writer:
    def __init__(self, sent):
        self._sent = sent

    async def write(self, pcm):
        self._sent.append(pcm)

    async def aclose(self):
        self._sent.append(b"end")


class Me:
    """Our own participant, which records byte streams."""

    def __init__(self, tracks=("TR_1",)):
        self.track_publications = {
            sid: SimpleNamespace(sid=sid, source=MICROPHONE) for sid in tracks
        }
        self.streams = []
        self.failure: Exception | None = None
        """Error of the next streams."""

    async def stream_bytes(self, _name, **header):
        if self.failure is not None:
            raise self.failure
        sent: list[bytes] = []
        self.streams.append((header, sent))
        return Writer(sent)


class Stage:
    """Kept speech in a room without a server, and a clock that a test moves."""

    def __init__(self, me):
        self.me = me
        self.now_s = 100.0
        self.tasks: list[asyncio.Task[None]] = []
        room: Any = SimpleNamespace(local_participant=me)
        self.kept = PreConnectAudio(room, self._spawn, lambda: self.now_s)
        self.passed: list[object] = []
        self.send = self.kept.recorded(self.passed.append)

    def speak(self, blocks, level=1000):
        block = np.full(BLOCK, level, np.int16)
        for _ in range(blocks):
            self.send(block)
        # The sender's memory is reused.
        block[:] = 0

    async def sent(self, agent=None):
        """Offer to the agent, and return header and content of each stream so far."""
        found: Any = agent or Agent()
        self.kept.offer(found)
        await asyncio.gather(*self.tasks)
        return [(header, b"".join(sent)) for header, sent in self.me.streams]

    def _spawn(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task


@pytest.fixture
async def stage():
    return Stage(Me())


async def test_what_was_said_is_sent_with_the_track_it_belongs_to(stage):
    stage.speak(100)
    stage.send(SILENCE)
    assert len(stage.passed) == 101
    ((header, content),) = await stage.sent()
    assert header["topic"] == "lk.agent.pre-connect-audio-buffer"
    assert header["destination_identities"] == ["agent-AJ_x"]
    assert header["attributes"] == {
        "trackId": "TR_1",
        "sampleRate": "16000",
        "channels": "1",
    }
    pcm = content.removesuffix(b"end")
    assert header["total_size"] == len(pcm)
    assert len(pcm) == 2 * 16_000
    assert (np.frombuffer(pcm, np.int16) == 1000).all()


async def test_of_two_tracks_the_newest_is_named():
    stage = Stage(Me(("TR_1", "TR_2")))
    ((header, _),) = await stage.sent()
    assert header["attributes"]["trackId"] == "TR_2"


async def test_an_agent_is_sent_an_empty_stream_if_nothing_was_said(stage):
    stage.send(SILENCE)
    ((_, content),) = await stage.sent()
    assert content == b"end"


async def test_of_a_long_talk_the_last_ten_seconds_are_kept(stage):
    stage.speak(KEPT_BLOCKS, level=1)
    stage.speak(KEPT_BLOCKS, level=2)
    ((_, content),) = await stage.sent()
    pcm = np.frombuffer(content.removesuffix(b"end"), np.int16)
    assert len(pcm) == 10 * 16_000
    assert (pcm == 2).all()


async def test_what_was_said_long_before_the_agent_came_is_dropped(stage):
    stage.speak(100)
    stage.now_s += STALE_S + 1
    ((_, content),) = await stage.sent()
    assert content == b"end"


async def test_what_was_taken_back_is_not_sent(stage):
    stage.speak(5)
    stage.kept.forget()
    stage.speak(2, level=300)
    ((_, content),) = await stage.sent()
    pcm = np.frombuffer(content.removesuffix(b"end"), np.int16)
    assert set(pcm) == {300}


async def test_speech_that_cannot_be_sent_is_not_sent_again(stage):
    stage.me.failure = rtc.StreamError("closed")
    stage.speak(100)
    assert await stage.sent() == []
    stage.me.failure = None
    assert await stage.sent() == []
    ((_, content),) = await stage.sent(Agent(sid="PA_2"))
    assert content == b"end"


async def test_an_agent_is_sent_one_stream_only(stage):
    stage.speak(10)
    await stage.sent()
    stage.speak(10)
    ((_, content),) = await stage.sent()
    assert len(content) > 3


@asynccontextmanager
async def an_agent(server, identity, **attributes):
    """Let an agent join, and yield the streams that it is sent."""
    streams: asyncio.Queue[bytes] = asyncio.Queue()
    reading = []

    def take(reader, _):
        async def read():
            streams.put_nowait(b"".join([chunk async for chunk in reader]))

        reading.append(asyncio.ensure_future(read()))

    claims = {"kind": "agent", "canUpdateOwnMetadata": True}
    async with server.friend(identity, **claims) as friend:
        friend.room.register_byte_stream_handler(PRE_CONNECT_TOPIC, take)
        await friend.room.local_participant.set_attributes(attributes)
        await friend.stay_muted()
        yield streams
        await asyncio.gather(*reading)


async def test_of_two_agents_the_second_is_sent_an_empty_stream(server, box):
    """Without one it would hear nothing for three seconds."""
    box.room.do(join_room(1, server.url, server.token("box"), expects_agent=True))
    await box.until(RoomJoined)
    ready = {"lk.agent.state": "listening"}
    avatar = {"lk.publish_on_behalf": "agent-AJ_x", **ready}
    async with (
        asyncio.timeout(DEADLINE_S),
        an_agent(server, "agent-AJ_x", **ready) as first,
        an_agent(server, "agent-AJ_avatar", **avatar) as other,
    ):
        assert len(await first.get()) > 0
        async with an_agent(server, "agent-AJ_y", **ready) as second:
            assert await second.get() == b""
        assert (first.qsize(), other.qsize()) == (0, 0)


async def test_what_was_taken_back_while_the_agent_starts_is_not_sent(server, box):
    streams: asyncio.Queue[rtc.ByteStreamReader] = asyncio.Queue()
    box.room.do(join_room(1, server.url, server.token("box"), expects_agent=True))
    await box.until(RoomJoined)
    claims = {"kind": "agent", "canUpdateOwnMetadata": True}
    async with server.friend("agent-AJ_x", **claims) as friend:
        friend.room.register_byte_stream_handler(
            PRE_CONNECT_TOPIC, lambda reader, _: streams.put_nowait(reader)
        )
        await friend.stay_muted()
        await box.until(AgentChanged)
        box.feed.disconnect()
        box.room.do(TakeTurn(1, Turn.CANCEL))
        ready = {"lk.agent.state": "listening"}
        await friend.room.local_participant.set_attributes(ready)
        async with asyncio.timeout(DEADLINE_S):
            assert [chunk async for chunk in await streams.get()] == []


async def test_a_track_that_was_published_again_gets_a_stream_of_its_own(stage):
    await stage.sent()
    stage.me.track_publications = Me(["TR_2"]).track_publications
    streams = await stage.sent()
    assert [x["attributes"]["trackId"] for x, _ in streams] == ["TR_1", "TR_2"]


async def test_an_agent_that_is_not_ready_yet_is_sent_nothing_until_it_is(stage):
    agent = Agent(attributes={})
    stage.speak(10)
    assert await stage.sent(agent) == []
    agent.attributes["lk.agent.state"] = "listening"
    ((_, content),) = await stage.sent(agent)
    assert len(content) > 3


async def test_nothing_is_sent_before_the_track_is_published():
    stage = Stage(Me(tracks=()))
    assert await stage.sent() == []


async def test_of_two_talks_long_apart_only_the_second_is_sent(stage):
    stage.speak(100, level=1)
    stage.now_s += STALE_S + 1
    stage.speak(100, level=2)
    ((_, content),) = await stage.sent()
    pcm = np.frombuffer(content.removesuffix(b"end"), np.int16)
    assert len(pcm) == 16_000
    assert (pcm == 2).all()
