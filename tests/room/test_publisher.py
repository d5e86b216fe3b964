"""Own track after interruptions and revocations, in a room that only counts."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.config import Config
from appliance.room import publisher
from appliance.room.publisher import DTX, TRIES, OwnTrack
from tests.room.conftest import join_room
from tests.room.fakes import DEADLINE_S

SHORT_S = 0.1


class CountingRoom:
    """Room of the SDK and its local participant."""

    def __init__(self, *, has_dtx=True, has_encoder=True):
        self.local_participant = self
        self.has_dtx = has_dtx
        self.has_encoder = has_encoder
        self.gets_encoder = False
        """The next publication has an encoder."""
        self.permissions = SimpleNamespace(
            can_publish=True,
            can_publish_sources=[],
            can_subscribe=True,
            can_publish_data=True,
        )
        self.track_publications: dict[str, Any] = {}
        self.published: list[str] = []
        self.unpublished: list[str] = []
        self.readings = asyncio.Semaphore(0)

    async def publish_track(self, track, _options):
        self.has_encoder |= self.gets_encoder
        sid = f"TR_{len(self.published)}"
        self.published.append(sid)
        found = SimpleNamespace(sid=sid, muted=track.muted)
        self.track_publications[sid] = found
        return found

    async def unpublish_track(self, sid):
        self.unpublished.append(sid)
        del self.track_publications[sid]

    async def get_rtc_stats(self):
        self.readings.release()
        stats = []
        for sid in self.published if self.has_encoder else ():
            codec, stream = RtcStats(), RtcStats()
            codec.codec.rtc.id = "opus"
            codec.codec.codec.sdp_fmtp_line = DTX if self.has_dtx else ""
            stream.outbound_rtp.rtc.id = sid
            stream.outbound_rtp.stream.codec_id = "opus"
            stats += [codec, stream]
        return SimpleNamespace(publisher_stats=stats)

    async def read(self, times):
        """Wait until the statistics have been read so often."""
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(times):
                await self.readings.acquire()


class Feed:
    def __init__(self):
        self.is_connected = False

    def connect(self, _send):
        self.is_connected = True

    def disconnect(self):
        self.is_connected = False


class Track(OwnTrack):
    """Own track with the connection's pause, which a session has."""

    def __init__(self, command, room, context):
        self._has_paused = False
        super().__init__(command, room, context, None, lambda: self._has_paused)

    def pause(self):
        self._has_paused = True

    def resume(self, *, is_republished):
        self._has_paused = False
        super().resume(is_republished=is_republished)


@asynccontextmanager
async def joined(room):
    """Publish the track in the room; yield it and the failures that it gives up for."""
    feed = Feed()
    given_up: list[object] = []
    context: Any = SimpleNamespace(post=lambda _: None, feed=feed, config=Config())
    command = join_room(1, "wss://x", "token")
    own = Track(command, room, context)
    assert await own.publish() is None
    own.now()
    task = asyncio.ensure_future(own.follow(given_up.append))
    try:
        yield own, feed, given_up
    finally:
        task.cancel()
        own.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(publisher, "AGAIN_S", 0.01)


async def until(is_so):
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_dtx_is_not_asked_for_again_if_the_track_stayed_published():
    room = CountingRoom(has_dtx=False)
    async with joined(room) as (own, feed, _):
        assert len(room.published) == TRIES
        own.pause()
        room.readings = asyncio.Semaphore(0)
        own.resume(is_republished=False)
        await room.read(1)
        await asyncio.sleep(SHORT_S)
        assert len(room.published) == TRIES
        assert feed.is_connected


async def test_dtx_is_asked_for_again_if_the_sdk_has_published_again():
    room = CountingRoom(has_dtx=False)
    async with joined(room) as (own, feed, _):
        own.pause()
        room.has_encoder = False
        room.readings = asyncio.Semaphore(0)
        own.resume(is_republished=True)
        await room.read(1)
        # The check has not ended when the connection breaks again.
        own.pause()
        room.has_encoder = True
        room.readings = asyncio.Semaphore(0)
        await room.read(1)
        await asyncio.sleep(SHORT_S)
        own.resume(is_republished=False)
        await until(lambda: len(room.published) == 2 * TRIES and feed.is_connected)


async def test_a_track_that_is_not_sent_after_an_interruption_is_replaced(monkeypatch):
    room = CountingRoom()
    async with joined(room) as (own, feed, given_up):
        monkeypatch.setattr(publisher, "SENDING_S", SHORT_S)
        room.has_encoder = False
        own.pause()
        own.resume(is_republished=False)
        room.gets_encoder = True
        await until(lambda: len(room.published) == 2 and feed.is_connected)
    assert room.unpublished[0] == "TR_0"
    assert given_up == []


async def test_a_revocation_while_the_track_is_checked_does_not_end_the_session(
    monkeypatch,
):
    room = CountingRoom()
    async with joined(room) as (own, feed, given_up):
        monkeypatch.setattr(publisher, "SENDING_S", SHORT_S)
        room.has_encoder = False
        own.pause()
        room.readings = asyncio.Semaphore(0)
        own.resume(is_republished=False)
        await room.read(1)
        room.permissions.can_publish = False
        own.changed()
        await until(lambda: room.unpublished)
        assert not feed.is_connected
    assert given_up == []
    assert room.published == ["TR_0"]


async def test_nothing_is_unpublished_during_an_interruption():
    room = CountingRoom()
    async with joined(room) as (own, feed, given_up):
        own.pause()
        room.permissions.can_publish = False
        own.changed()
        await until(lambda: not feed.is_connected)
        await asyncio.sleep(SHORT_S)
        assert room.unpublished == []
        room.permissions.can_publish = True
        own.resume(is_republished=False)
        await until(lambda: feed.is_connected)
    assert (room.published, room.unpublished) == (["TR_0", "TR_1"], ["TR_0"])
    assert given_up == []
