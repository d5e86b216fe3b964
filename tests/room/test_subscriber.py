"""How long the library keeps what is said, asked of a real connection."""

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
    """Return what the playout was told, once it was told so often."""
    async with asyncio.timeout(DEADLINE_S):
        while len(box.playback.held_s.get(talker, ())) < count:
            await asyncio.sleep(FAST_S)
    return list(box.playback.held_s[talker])


async def test_the_playout_is_told_how_long_sound_was_kept(server, box):
    async with server.friend("ann") as ann, server.friend("bob") as bob:
        await ann.say(700)
        await bob.say(1100)
        await box.join(server)
        await box.playback.count(2)
        for talker in box.playback.talkers:
            found = await answers(box, talker, subscriber.FRESH + 5)
            assert all(0.0 <= held_s < 0.5 for held_s in found)
            assert found[-1] > 0.001


async def test_who_says_nothing_is_seldom_asked_about(server, box):
    box.playback.is_quiet = True
    async with server.friend("ann") as ann:
        await ann.say(700)
        await box.join(server)
        talker = await box.talker()
        await answers(box, talker, subscriber.FRESH)
        before = len(box.playback.held_s[talker])
        await asyncio.sleep(2.5 * subscriber.SELDOM * FAST_S)
        assert 1 <= len(box.playback.held_s[talker]) - before <= 4


async def test_who_leaves_while_we_ask_does_no_harm(server, box):
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


async def test_a_look_that_is_given_up_before_it_began_leaves_nothing_behind(
    server, box
):
    async with server.friend("ann") as ann:
        await ann.say(700)
        await box.join(server)
        await box.talker()
        looking = asyncio.ensure_future(
            box.room._session._subscriber._read_delays(is_rare=True)
        )
        # It has made what it wants to ask, and asked nothing yet.
        await asyncio.sleep(0)
        looking.cancel()
        await asyncio.wait({looking})
        with warnings.catch_warnings(record=True) as found:
            gc.collect()
        assert not found


def told(*numbers):
    """Return the library's answer: seconds in sum, samples, stretched, shortened."""
    stats = RtcStats()
    inbound = stats.inbound_rtp.inbound
    inbound.total_processing_delay = numbers[0]
    inbound.jitter_buffer_emitted_count = numbers[1]
    inbound.inserted_samples_for_deceleration = numbers[2]
    inbound.removed_samples_for_acceleration = numbers[3]
    return [stats, RtcStats()]


class Track(rtc.Track):
    """Answers what it is given."""

    def __init__(self, answers):
        self._answers = iter(answers)

    async def get_stats(self):
        return next(self._answers)


async def test_it_is_the_mean_since_the_last_answer_and_what_stretching_left():
    answers = (
        told(48.0, 960, 0, 0),
        told(48.0, 960, 0, 0),
        told(48.0 + 4.8, 960 + 480, 600, 240),
        told(48.0 + 9.6, 960 + 960, 600, 840),
        [RtcStats()],
    )
    buffer = NeteqDelay(Track(answers))
    found = [await buffer.held_s() for _ in answers]
    assert found[1] is None
    assert found[2] == pytest.approx(0.010 + 360 / 48_000)
    assert found[3] == pytest.approx(0.010 + 240 / 48_000)
    assert found[4] is None
    assert buffer.readings == 5
