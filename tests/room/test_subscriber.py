"""Participants who publish more audio than anybody needs."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from appliance.pcm import SILENCE
from appliance.room import subscriber as subscriber_module
from appliance.room.ffi import ffi_events
from appliance.room.subscriber import TRACKS_EACH, Subscriber
from tests.room.fakes import DEADLINE_S, FakePlayback


class Publication:
    """Published track; the server confirms a subscription later."""

    def __init__(self, sid, kind=rtc.TrackKind.KIND_AUDIO):
        self.sid = sid
        self.kind = kind
        self.encryption_type = rtc.EncryptionType.NONE
        self.subscribed = False
        self.is_wanted = False
        self.requests = []

    def set_subscribed(self, is_on):
        self.is_wanted = is_on
        self.requests.append(is_on)


class Guest:
    """Participant whose tracks a test publishes."""

    def __init__(self, identity):
        self.identity = identity
        self.track_publications = {}

    def publish(self, subscriber, sid, **more):
        self.track_publications[sid] = Publication(sid, **more)
        other: Any = self
        subscriber.want(other)

    def unpublish(self, subscriber, sid):
        del self.track_publications[sid]
        other: Any = self
        subscriber.want(other)

    def wanted(self):
        return [x.sid for x in self.track_publications.values() if x.is_wanted]


def new_subscriber():
    return Subscriber(FakePlayback(), has_key=False)


def test_of_many_tracks_of_one_participant_the_first_few_are_played():
    subscriber, eve, ann = new_subscriber(), Guest("eve"), Guest("ann")
    eve.publish(subscriber, "video", kind=rtc.TrackKind.KIND_VIDEO)
    for number in range(100):
        eve.publish(subscriber, str(number))
    ann.publish(subscriber, "voice")
    assert eve.wanted() == ["0", "1", "2", "3"]
    assert ann.wanted() == ["voice"]


def test_a_track_that_ends_makes_place_for_the_next_one():
    subscriber, eve = new_subscriber(), Guest("eve")
    for number in range(6):
        eve.publish(subscriber, str(number))
    eve.unpublish(subscriber, "1")
    assert eve.wanted() == ["0", "2", "3", "4"]
    eve.unpublish(subscriber, "5")
    assert eve.wanted() == ["0", "2", "3", "4"]


def test_tracks_that_are_played_keep_their_place_when_the_order_changes():
    subscriber, eve = new_subscriber(), Guest("eve")
    for number in range(6):
        eve.publish(subscriber, str(number))
    for publication in eve.track_publications.values():
        publication.subscribed = publication.is_wanted
        publication.is_wanted = False
    eve.track_publications = dict(reversed(eve.track_publications.items()))
    room: Any = SimpleNamespace(remote_participants={"eve": eve})
    subscriber.want_all(room)
    assert eve.wanted() == []


class Follower:
    """Subscriber that looks for tracks that do not arrive."""

    def __init__(self, guest, *, can_subscribe=True, is_paused=False):
        self.looks = asyncio.Semaphore(0)
        self._is_paused = is_paused
        permissions = SimpleNamespace(can_subscribe=can_subscribe)
        room: Any = SimpleNamespace(
            remote_participants={guest.identity: guest},
            local_participant=SimpleNamespace(permissions=permissions),
        )
        self.subscriber = new_subscriber()
        guest.publish(self.subscriber, "voice")
        self.task = asyncio.ensure_future(self.subscriber.follow(room, self._look))

    async def look(self, times):
        """Wait for so many looks, and end."""
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(times):
                await self.looks.acquire()
        self.task.cancel()

    def _look(self):
        self.looks.release()
        return self._is_paused


@pytest.mark.parametrize(
    ("facts", "is_repeated"),
    [({}, True), ({"is_paused": True}, False), ({"can_subscribe": False}, False)],
)
async def test_a_track_that_does_not_arrive_is_subscribed_to_anew(
    monkeypatch, facts, is_repeated
):
    monkeypatch.setattr(subscriber_module, "LATE_S", 0.01)
    monkeypatch.setattr(subscriber_module, "GAP_S", 0.01)
    ann = Guest("ann")
    follower = Follower(ann, **facts)
    await follower.look(6)
    first, *later = ann.track_publications["voice"].requests
    assert first
    assert (False in later) == is_repeated
    # Each end is followed by a new request.
    ends = [at for at, is_on in enumerate(later) if not is_on]
    assert all(later[at + 1] for at in ends[:-1])


async def test_a_participant_with_six_voices_is_heard_with_four(server, box):
    await box.join(server)
    async with (
        server.friend("eve", listens=False) as eve,
        server.friend("ann", listens=False) as ann,
    ):
        tracks = [await eve.say(500 + 50 * number) for number in range(6)]
        # Hers is subscribed last.
        await ann.say(900)
        async with asyncio.timeout(DEADLINE_S):
            while not played(box, "ann") or len(played(box, "eve")) < TRACKS_EACH:
                await asyncio.sleep(0.05)
        first = played(box, "eve")
        assert len(first) == TRACKS_EACH
        me = eve.room.local_participant
        for track in tracks[:3]:
            await me.unpublish_track(track.sid)
        async with asyncio.timeout(DEADLINE_S):
            while len(last := played(box, "eve")) != 3 or len(last - first) != 2:
                await asyncio.sleep(0.05)


def played(box, identity):
    return {x for x in box.playback.talkers if x.startswith(f"{identity}/")}


async def test_an_exception_in_the_playback_is_raised_in_the_loop(monkeypatch):
    """There it ends the process; the library would print it for each block."""

    def break_down(_block):
        raise ZeroDivisionError

    loop = asyncio.get_running_loop()
    raised = loop.create_future()
    loop.set_exception_handler(lambda _, facts: raised.set_result(facts["exception"]))
    opened: list[Any] = []
    monkeypatch.setattr(ffi_events(), "open", lambda _, take: opened.append(take))
    playback = FakePlayback()
    playback.sink = break_down
    track: Any = SimpleNamespace(
        sid="TR_1", identity="ann", kind=rtc.TrackKind.KIND_AUDIO
    )
    Subscriber(playback, has_key=False).open(track, track, track)
    opened[0](SILENCE)
    assert isinstance(await raised, ZeroDivisionError)
