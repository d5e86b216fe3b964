"""Detection of rooms without audio; `test_join_again` has one of a real library."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.core.events import RoomLost
from appliance.room import stats
from appliance.room.connection import NO_AUDIO, NOT_SENT
from appliance.room.ffi import FfiEvents, ffi_events
from appliance.room.stats import AudioWatch
from tests.room.fakes import DEADLINE_S
from tests.room.test_permissions import hears_friend

GIVEN = 500


@pytest.fixture(autouse=True)
def first_time():
    ffi_events().failures.clear()


def is_stuck(*readings):
    """Return of each reading whether it shows that nothing passes."""
    watch = AudioWatch(NOT_SENT, GIVEN)
    return [watch.is_stuck(*reading) for reading in readings]


STUCK = (0, 7), (GIVEN - 1, 7), (GIVEN, 7)


def test_a_library_that_is_given_much_and_passes_nothing_is_noticed():
    assert is_stuck(*STUCK) == [False, False, True]


def test_one_that_passes_nothing_in_the_next_room_has_to_be_started_again():
    is_stuck(*STUCK)
    with pytest.raises(RuntimeError, match="sends nothing"):
        is_stuck(*STUCK)


def test_one_that_has_passed_something_since_has_not():
    is_stuck(*STUCK)
    is_stuck((0, 0), (GIVEN, 1))
    assert is_stuck(*STUCK)[-1]


@pytest.mark.parametrize(
    "readings",
    [
        [(0, 0), (GIVEN, 1), (2 * GIVEN, 2)],
        [(9, 7), (9, 7), (9, 7)],
        # A mute or an interruption; another track, or another connection.
        [(0, 7), (None, 7), (GIVEN, 7)],
        [(GIVEN, 7), (0, 0), (GIVEN - 1, 0)],
    ],
)
def test_what_passes_no_sound_a_mute_and_a_new_track_are_no_failure(readings):
    assert not any(is_stuck(*readings))


async def test_a_real_library_sends_packets_of_silence_into_an_empty_room(
    server, box, monkeypatch
):
    monkeypatch.setattr(stats, "EVERY_S", 0.5)
    monkeypatch.setattr(stats, "BLOCKS_GIVEN", 100)
    await box.join(server)
    box.feed.is_open = False
    session = box.room.session
    async with asyncio.timeout(DEADLINE_S):
        while (session.own.encoded_blocks or 0) < 450:
            await asyncio.sleep(0.05)
    assert not any(isinstance(event, RoomLost) for event in box.events)


async def does_not_fail(read):
    """Follow a room with these statistics for a second, in which it is not given up."""
    room: Any = SimpleNamespace(get_rtc_stats=read)
    own: Any = SimpleNamespace(encoded_blocks=None)
    subscriber: Any = SimpleNamespace(is_playing=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await stats.follow(1, room, lambda _: None, own, subscriber)


async def test_a_process_that_was_stopped_has_a_moment_to_catch_up(monkeypatch):
    """The packets that came meanwhile are counted before their sound is there."""
    monkeypatch.setattr(stats, "FIRST_S", 0.1)
    made = 0
    pair, stream = RtcStats(), RtcStats()
    pair.candidate_pair.candidate_pair.nominated = True
    pair.candidate_pair.candidate_pair.responses_received = 1

    async def read():
        stream.inbound_rtp.received.packets_received += stats.PACKETS_GIVEN
        asyncio.get_running_loop().call_later(0.15, wake)
        return SimpleNamespace(publisher_stats=[pair], subscriber_stats=[stream])

    def wake():
        nonlocal made
        made += 1

    monkeypatch.setattr(FfiEvents, "blocks", property(lambda _: made), raising=False)
    await does_not_fail(read)


async def test_statistics_that_do_not_come_are_read_again(monkeypatch):
    """Without them a room without audio would not be noticed."""
    monkeypatch.setattr(stats, "READ_S", 0.05)
    monkeypatch.setattr(stats, "FIRST_S", 0.05)
    readings = 0

    async def never():
        nonlocal readings
        readings += 1
        await asyncio.Event().wait()

    await does_not_fail(never)
    assert readings > 1


async def test_a_room_in_which_received_packets_become_no_sound_is_given_up(
    server, box, monkeypatch
):
    monkeypatch.setattr(stats, "EVERY_S", 0.5)
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server)
        await hears_friend(box)
        # As if the library made nothing of the packets any more.
        stuck = property(lambda _: 7, lambda *_: None)
        monkeypatch.setattr(FfiEvents, "blocks", stuck, raising=False)
        assert (await box.until(RoomLost)).failure is NO_AUDIO
