"""Delay of NetEQ, read from real connections and computed from statistics."""

import asyncio
import gc
import warnings

import pytest
from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.room import subscriber
from appliance.room.neteq_delay import NeteqDelay
from tests.room.fakes import DEADLINE_S

FAST_S = 0.1


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(subscriber, "READ_S", FAST_S)


async def answers(box, talker, count):
    """Return the delays the playback got, once there are so many."""
    async with asyncio.timeout(DEADLINE_S):
        while len(box.playback.held_s.get(talker, ())) < count:
            await asyncio.sleep(FAST_S)
    return list(box.playback.held_s[talker])


async def test_the_playback_gets_the_delay_of_every_talker(server, box):
    async with server.friend("ann") as ann, server.friend("bob") as bob:
        await ann.say(700)
        await bob.say(1100)
        await box.join(server)
        await box.playback.count(2)
        for talker in box.playback.talkers:
            found = await answers(box, talker, subscriber.FRESH + 5)
            assert all(0.0 <= held_s < 0.5 for held_s in found)
            assert found[-1] > 0.001


async def test_the_delay_of_silent_talkers_is_read_seldom(server, box):
    box.playback.is_quiet = True
    async with server.friend("ann") as ann:
        await ann.say(700)
        await box.join(server)
        talker = await box.talker()
        await answers(box, talker, subscriber.FRESH)
        before = len(box.playback.held_s[talker])
        await asyncio.sleep(2.5 * subscriber.SELDOM * FAST_S)
        assert 1 <= len(box.playback.held_s[talker]) - before <= 4


async def test_a_talker_may_leave_while_its_delay_is_read(server, box):
    async with server.friend("bob") as bob:
        await bob.say(1100)
        await box.join(server)
        still_there = await box.talker()
        for name in "ann", "joe", "sue":
            async with server.friend(name) as friend:
                await friend.say(700)
                await box.playback.count(2)
        before = len(box.playback.held_s.get(still_there, ()))
        await answers(box, still_there, before + 3)


async def test_a_reading_that_is_cancelled_before_it_began_leaves_no_coroutine(
    server, box
):
    async with server.friend("ann") as ann:
        await ann.say(700)
        await box.join(server)
        await box.talker()
        looking = asyncio.ensure_future(
            box.room._session._subscriber._read_delays(is_rare=True)
        )
        # Its coroutines are created and not started yet.
        await asyncio.sleep(0)
        looking.cancel()
        await asyncio.wait({looking})
        with warnings.catch_warnings(record=True) as found:
            gc.collect()
        assert not found


def statistics(*numbers):
    """Return statistics with these sums: delay in s, samples, inserted, removed."""
    stats = RtcStats()
    inbound = stats.inbound_rtp.inbound
    inbound.total_processing_delay = numbers[0]
    inbound.jitter_buffer_emitted_count = numbers[1]
    inbound.inserted_samples_for_deceleration = numbers[2]
    inbound.removed_samples_for_acceleration = numbers[3]
    return [stats, RtcStats()]


class Track(rtc.Track):
    """Track with the given statistics."""

    def __init__(self, answers):
        self._answers = iter(answers)

    async def get_stats(self):
        return next(self._answers)


async def test_the_delay_is_a_mean_plus_the_remainder_of_time_stretching():
    answers = (
        statistics(48.0, 960, 0, 0),
        statistics(48.0, 960, 0, 0),
        statistics(48.0 + 4.8, 960 + 480, 600, 240),
        statistics(48.0 + 9.6, 960 + 960, 600, 840),
        [RtcStats()],
    )
    buffer = NeteqDelay(Track(answers))
    found = [await buffer.held_s() for _ in answers]
    assert found[1] is None
    assert found[2] == pytest.approx(0.010 + 360 / 48_000)
    assert found[3] == pytest.approx(0.010 + 240 / 48_000)
    assert found[4] is None
    assert buffer.readings == 5
