"""Own track during interruptions and revocations, in a room that only counts."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.config import Config
from appliance.room import publisher
from appliance.room.connection import NOT_PUBLISHED
from appliance.room.publisher import DTX, TRIES, OwnTrack
from tests.room.conftest import join_room
from tests.room.fakes import DEADLINE_S

SHORT_S = 0.1


class CountingRoom:
    """Room of the SDK and its local participant."""

    def __init__(self, *, has_dtx=True):
        self.local_participant = self
        self.has_dtx = has_dtx
        self.permissions = SimpleNamespace(
            can_publish=True,
            can_publish_sources=[],
            can_subscribe=True,
            can_publish_data=True,
        )
        self.track_publications: dict[str, Any] = {}
        self.published: list[str] = []
        self.unpublished: list[str] = []

    async def publish_track(self, track, _options):
        await asyncio.sleep(0)
        sid = f"TR_{len(self.published)}"
        self.published.append(sid)
        found = SimpleNamespace(sid=sid, muted=track.muted)
        self.track_publications[sid] = found
        return found

    async def unpublish_track(self, sid):
        self.unpublished.append(sid)
        del self.track_publications[sid]

    async def get_rtc_stats(self):
        stats = []
        for sid in self.published:
            codec, stream = RtcStats(), RtcStats()
            codec.codec.rtc.id = "opus"
            codec.codec.codec.sdp_fmtp_line = DTX if self.has_dtx else ""
            stream.outbound_rtp.rtc.id = sid
            stream.outbound_rtp.stream.codec_id = "opus"
            stats += [codec, stream]
        return SimpleNamespace(publisher_stats=stats)


class Feed:
    def __init__(self):
        self.is_connected = False

    def connect(self, _send):
        self.is_connected = True

    def disconnect(self):
        self.is_connected = False


@asynccontextmanager
async def joined(room):
    """Publish the track in the room; yield it, its feed, and the connection's pause."""
    feed, pause = Feed(), asyncio.Event()
    context: Any = SimpleNamespace(feed=feed, config=Config())
    command = join_room(1, "wss://x", "token")
    own = OwnTrack(command, room, context, None, pause.is_set)
    assert await own.publish() is None
    task = asyncio.ensure_future(own.follow())
    try:
        yield own, feed, pause
        assert not task.done()
    finally:
        task.cancel()
        own.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(publisher, "AGAIN_S", 0.01)
    monkeypatch.setattr(publisher, "LOOK_S", 0.01)


async def until(is_so):
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_server_that_never_permits_dtx_is_asked_a_few_times():
    room = CountingRoom(has_dtx=False)
    async with joined(room) as (_, feed, _):
        await asyncio.sleep(SHORT_S)
        assert len(room.published) == TRIES
        assert feed.is_connected


async def test_statistics_that_do_not_come_end_the_publishing(monkeypatch):
    """Once seen: the library never answered a request for them."""

    async def never():
        await asyncio.Event().wait()

    monkeypatch.setattr(publisher, "READ_S", SHORT_S)
    room: Any = CountingRoom()
    room.get_rtc_stats = never
    context: Any = SimpleNamespace(feed=Feed(), config=Config())
    command = join_room(1, "wss://x", "token")
    own = OwnTrack(command, room, context, None, lambda: False)
    async with asyncio.timeout(DEADLINE_S):
        assert await own.publish() is NOT_PUBLISHED
    own.close()


async def test_a_track_that_was_dropped_for_a_moment_only_is_published_again():
    room = CountingRoom()
    async with joined(room) as (own, feed, _):
        room.permissions.can_publish = False
        own.permissions_changed()
        assert not feed.is_connected
        room.permissions.can_publish = True
        own.permissions_changed()
        await until(lambda: feed.is_connected)
    assert (room.published, room.unpublished) == (["TR_0", "TR_1"], ["TR_0"])


async def test_a_track_that_is_published_again_is_no_lost_permission():
    room = CountingRoom()
    async with joined(room) as (own, feed, _), asyncio.timeout(DEADLINE_S):
        room.has_dtx = False
        own.resumed()
        while len(room.published) < 1 + TRIES or not feed.is_connected:
            assert own.permissions().may_publish or own.is_republishing
            await asyncio.sleep(0)
        assert not own.is_republishing


async def test_nothing_is_published_or_unpublished_during_an_interruption():
    room = CountingRoom()
    async with joined(room) as (own, feed, pause):
        pause.set()
        room.permissions.can_publish = False
        own.permissions_changed()
        room.permissions.can_publish = True
        await asyncio.sleep(SHORT_S)
        assert (room.published, room.unpublished) == (["TR_0"], [])
        assert not feed.is_connected
        pause.clear()
        await until(lambda: feed.is_connected)
    assert (room.published, room.unpublished) == (["TR_0", "TR_1"], ["TR_0"])
