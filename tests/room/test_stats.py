"""What the library says of a real connection, and what is made of it."""

import asyncio

import numpy as np
import pytest
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.audio.dtx_schedule import PERIOD
from appliance.audio.encoder_feed import PACKET_BLOCKS, EncoderFeed
from appliance.pcm import SILENCE
from appliance.room import publisher, stats
from tests.room.conftest import Box
from tests.room.fakes import DEADLINE_S, FakeUplink, strongest_hz, tone

PACKET_S = 0.01
"""Twice as fast as life: the encoder counts, it does not look at a clock. Five times as
fast, and on a busy machine the packets of one answer are those of the next as well."""
LONG_PACKETS = 500
"""5 s; finding out takes two."""
KEPT_S = 0.06
"""The library answers the same for 50 ms."""


class Hand(EncoderFeed):
    """An uplink that is fed by hand."""

    def __init__(self):
        super().__init__()
        self._tried = 0

    def stop(self, packets):
        self.send([(SILENCE, SILENCE)] * packets)

    async def fall_silent(self):
        """Be silent until some packets may come late.

        A machine that stands still makes answers contradict each other, until it is not
        worth asking any more: then another word begins another silence.
        """
        async with asyncio.timeout(DEADLINE_S):
            while not self.late_packets:
                if self.packets > self._tried + LONG_PACKETS:
                    self.say(word())
                self.stop(1)
                await asyncio.sleep(PACKET_S)

    def say(self, samples):
        self.send(samples.reshape(-1, PACKET_BLOCKS, 480))
        self._tried = self.packets


async def sent(box):
    await asyncio.sleep(2 * KEPT_S)
    found = await box.room._session._room.get_rtc_stats()
    return stats.packets_sent(found.publisher_stats)


def nothing():
    return np.zeros(0, np.int16)


def word():
    return tone(700, 48_000)


def word_and_breath():
    """The encoder takes the breath for silence, or not: nobody can tell."""
    breath = np.random.default_rng(1).normal(scale=20, size=48_000)
    return np.concatenate((word(), breath.astype(np.int16)))


@pytest.mark.parametrize("said", [nothing, word, word_and_breath])
async def test_what_may_come_late_does_not_leave_at_all(server, said):
    hand = Hand()
    box = Box(hand)
    async with box.room, server.friend("ann"):
        await box.join(server)
        hand.say(said())
        await hand.fall_silent()
        first = before = await sent(box)
        walked = 0
        while walked < 2 * PERIOD:
            late = hand.late_packets
            hand.stop(late)
            assert await sent(box) == before
            hand.stop(1)
            before = await sent(box)
            walked += late + 1
    assert before - first >= 3


class Counting(FakeUplink):
    """Speaks as fast as life from the moment on when it is connected."""

    given = 0

    def connect(self, send):
        def counted(block):
            self.given += 1
            send(block)

        super().connect(counted)


async def test_nothing_that_is_said_from_the_first_moment_on_is_lost(server):
    with Counting() as feed:
        box = Box(feed)
        async with box.room:
            await box.join(server)
            await asyncio.sleep(0.5)
            feed.disconnect()
            assert await sent(box) == feed.given // PACKET_BLOCKS > 10


@pytest.mark.parametrize("misunderstandings", [1, 2, 3])
async def test_nor_when_the_server_answers_without_dtx(
    server, monkeypatch, misunderstandings
):
    streams: list[str] = []

    def misunderstood(reports):
        agreed = stats.encoders(reports)
        streams.extend(name for name in agreed if name not in streams)
        return agreed | dict.fromkeys(streams[:misunderstandings], "stereo=1")

    monkeypatch.setattr(publisher, "encoders", misunderstood)
    with Counting() as feed:
        box = Box(feed)
        async with box.room, server.friend("ann") as friend:
            await box.join(server)
            # The first half second is that of a new jitter buffer.
            await friend.hear(0.5)
            assert strongest_hz(await friend.hear(0.5)) == pytest.approx(440, abs=10)
            feed.disconnect()
            assert await sent(box) == feed.given // PACKET_BLOCKS > 10
            assert len(friend.room.remote_participants["box"].track_publications) == 1
    assert misunderstandings <= len(streams) <= publisher.TRIES


async def test_what_the_encoder_is_to_do_is_known_once_it_is_agreed_upon():
    agreed, another = "minptime=10;usedtx=1", "minptime=10;stereo=1"
    reports = [RtcStats() for _ in range(5)]
    for one, codec, line in zip(reports, "ab", (agreed, another), strict=False):
        one.codec.rtc.id, one.codec.codec.sdp_fmtp_line = codec, line
    for one, name, codec in zip(reports[2:], "xyz", ("b", "", "a"), strict=True):
        one.outbound_rtp.rtc.id, one.outbound_rtp.stream.codec_id = name, codec
    assert stats.encoders(reports) == {"x": another, "z": agreed}


async def test_the_uplink_is_told_what_has_left_as_often_as_it_asks(server, box):
    box.feed.wants_stats = True
    await box.join(server)
    async with asyncio.timeout(DEADLINE_S):
        while len(box.feed.answers) < 5:
            await asyncio.sleep(stats.SOON_S)
    counts = [count for _, count in box.feed.answers]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
