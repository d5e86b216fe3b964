"""Speech that is kept for an expected agent: how much, and for whom."""

import asyncio
import sys
import threading
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
from appliance.room import pre_connect_audio
from appliance.room.pre_connect_audio import (
    KEPT_BLOCKS,
    STALE_S,
    TOPIC,
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
        self.failure: asyncio.Future[Exception] | None = None
        """Error of the next streams, once it is known."""
        self.is_asked = False

    async def stream_bytes(self, _name, **header):
        self.is_asked = True
        if self.failure is not None:
            raise await self.failure
        sent: list[bytes] = []
        self.streams.append((header, sent))
        return Writer(sent)


class Stage:
    """Kept speech in a room without a server, and a clock that a test moves."""

    def __init__(self, me, now_s=None):
        self.me = me
        self.now_s = 100.0
        self.tasks: list[asyncio.Task[None]] = []
        room: Any = SimpleNamespace(local_participant=me)
        self.kept = PreConnectAudio(room, self._spawn, now_s or (lambda: self.now_s))
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


class SharedClock:
    """Clock that holds the other thread until the speech is being taken."""

    def __init__(self):
        self.is_other_recording = threading.Event()
        self._is_taken = False
        self._loop_thread = threading.current_thread()

    def __call__(self):
        if threading.current_thread() is self._loop_thread:
            self._is_taken = self.is_other_recording.is_set()
            return 100.0
        self.is_other_recording.set()
        while not self._is_taken:
            pass
        return 100.0 + STALE_S + 1


@pytest.fixture
def threads_alternate():
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


@pytest.mark.usefixtures("threads_alternate")
async def test_a_block_may_arrive_while_the_speech_is_taken(monkeypatch):
    """Its call finds that the speech is too old, and drops it."""
    # Taking so many is interrupted for sure.
    monkeypatch.setattr(pre_connect_audio, "KEPT_BLOCKS", 20 * KEPT_BLOCKS)
    for _ in range(5):
        clock = SharedClock()
        stage = Stage(Me(), clock)
        stage.speak(20 * KEPT_BLOCKS)
        late = threading.Thread(target=stage.speak, args=(1,))
        late.start()
        clock.is_other_recording.wait()
        try:
            await stage.sent()
        finally:
            late.join()


async def test_of_two_talks_long_apart_only_the_second_is_sent(stage):
    stage.speak(100, level=1)
    stage.now_s += STALE_S + 1
    stage.speak(100, level=2)
    ((_, content),) = await stage.sent()
    pcm = np.frombuffer(content.removesuffix(b"end"), np.int16)
    assert len(pcm) == 16_000
    assert (pcm == 2).all()


@pytest.fixture
async def failure(stage):
    """Return the future error of the next streams."""
    stage.me.failure = asyncio.get_running_loop().create_future()
    return stage.me.failure


async def test_speech_that_could_not_be_sent_is_sent_with_the_next_offer(
    stage, failure
):
    stage.speak(100)
    failure.set_result(rtc.StreamError("closed"))
    assert await stage.sent() == []
    stage.me.failure = None
    ((_, content),) = await stage.sent()
    assert len(content.removesuffix(b"end")) == 2 * 16_000
    assert len(await stage.sent()) == 1


@pytest.mark.parametrize("other", [("PA_1", "TR_2"), ("PA_2", "TR_1")])
async def test_speech_that_a_slow_uplink_could_not_send_is_sent_once_more_at_most(
    stage, failure, other
):
    """It is for a new connection, or another agent."""
    agent, track = other
    stage.speak(100)
    failure.set_result(TimeoutError())
    await stage.sent()
    stage.me.failure = None
    assert await stage.sent() == []
    stage.me.track_publications = Me([track]).track_publications
    ((_, content),) = await stage.sent(Agent(sid=agent))
    assert len(content.removesuffix(b"end")) == 2 * 16_000


async def test_speech_that_an_interruption_held_up_is_sent_after_it(stage, failure):
    stage.speak(100)
    failure.set_result(TimeoutError())
    await stage.sent()
    stage.me.failure = None
    stage.kept.resume(is_new=False)
    ((_, content),) = await stage.sent()
    assert len(content.removesuffix(b"end")) == 2 * 16_000


async def test_speech_that_could_not_be_sent_does_not_follow_a_later_talk(
    stage, failure
):
    """The agent has heard that one meanwhile."""
    stage.speak(100)
    failure.set_result(TimeoutError())
    await stage.sent()
    stage.me.failure = None
    stage.send(SILENCE)
    stage.kept.talk_began()
    stage.me.track_publications = Me(["TR_2"]).track_publications
    ((_, content),) = await stage.sent()
    assert content == b"end"


async def test_two_talks_before_the_agent_comes_are_both_sent(stage):
    stage.speak(100)
    stage.kept.talk_began()
    stage.speak(100)
    ((_, content),) = await stage.sent()
    assert len(content.removesuffix(b"end")) == 4 * 16_000


async def test_the_talk_in_which_the_agent_comes_is_sent(stage):
    """The turn begins in the moment in which the stream is about to be sent."""
    stage.speak(100)
    ready: Any = Agent()
    stage.kept.offer(ready)
    stage.kept.talk_began()
    await asyncio.gather(*stage.tasks)
    ((_, sent),) = stage.me.streams
    assert len(b"".join(sent).removesuffix(b"end")) == 2 * 16_000


async def hanging(stage):
    """Offer speech, and return the offer, whose stream waits for its failure."""
    stage.speak(100)
    offer = asyncio.ensure_future(stage.sent())
    while not stage.me.is_asked:
        await asyncio.sleep(0)
    return offer


async def test_speech_that_fails_only_after_the_interruption_is_sent_after_it(
    stage, failure
):
    offer = await hanging(stage)
    stage.kept.resume(is_new=False)
    failure.set_result(TimeoutError())
    await offer
    stage.me.failure = None
    ((_, content),) = await stage.sent()
    assert len(content.removesuffix(b"end")) == 2 * 16_000


async def test_speech_that_hangs_on_the_old_connection_is_sent_on_the_new_one(
    stage, failure
):
    """It does not wait for another agent."""
    offer = await hanging(stage)
    stage.me.failure = None
    stage.me.track_publications = Me(["TR_2"]).track_publications
    stage.kept.resume(is_new=True)
    again = asyncio.ensure_future(stage.sent())
    while not stage.me.streams:
        await asyncio.sleep(0)
    failure.set_result(TimeoutError())
    await asyncio.gather(offer, again)
    (_, content), (_, other) = await stage.sent(Agent(sid="PA_2"))
    assert len(content.removesuffix(b"end")) == 2 * 16_000
    assert other == b"end"


@pytest.mark.parametrize("error", [rtc.StreamError("closed"), TimeoutError()])
async def test_old_speech_that_could_not_be_sent_is_dropped(stage, failure, error):
    stage.speak(100)
    failure.set_result(error)
    await stage.sent()
    stage.me.failure = None
    stage.now_s += STALE_S + 1
    ((_, content),) = await stage.sent(Agent(sid="PA_2"))
    assert content == b"end"


async def test_what_was_taken_back_while_it_could_not_be_sent_is_dropped(
    stage, failure
):
    offer = await hanging(stage)
    stage.kept.forget()
    failure.set_result(rtc.StreamError("closed"))
    await offer
    stage.me.failure = None
    ((_, content),) = await stage.sent()
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
        friend.room.register_byte_stream_handler(TOPIC, take)
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
            TOPIC, lambda reader, _: streams.put_nowait(reader)
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
