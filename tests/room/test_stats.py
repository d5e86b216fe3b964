"""Statistics of real connections, and the DTX schedule that depends on them."""

import asyncio

import numpy as np
import pytest
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.audio.dtx_schedule import PERIOD
from appliance.audio.encoder_feed import PACKET_BLOCKS, EncoderFeed
from appliance.pcm import SILENCE
from appliance.room import publisher, stats
from tests.room.conftest import Box
from tests.room.fakes import DEADLINE_S, FakeFeed, strongest_hz, tone

PACKET_S = 0.01
"""Half of real time: the encoder counts packets and has no clock. At a fifth, answers
overlap on a busy machine."""
LONG_PACKETS = 500
"""5 s; locating the DTX period takes 2 s."""
KEPT_S = 0.06
"""The library caches its statistics for 50 ms."""


class ManualFeed(EncoderFeed):
    """Feed whose packets the test sends."""

    def __init__(self):
        super().__init__()
        self._tried = 0

    def stop(self, packets):
        self.send([(SILENCE, SILENCE)] * packets)

    async def fall_silent(self):
        """Send silence until some packets may be late.

        Stalls of the machine make answers contradict each other until they are ignored:
        then another word begins another silence.
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
    """The encoder may or may not treat the faint noise as silence."""
    breath = np.random.default_rng(1).normal(scale=20, size=48_000)
    return np.concatenate((word(), breath.astype(np.int16)))


@pytest.mark.parametrize("said", [nothing, word, word_and_breath])
async def test_packets_that_may_be_late_are_not_sent_by_the_encoder(server, said):
    feed = ManualFeed()
    box = Box(feed)
    async with box.room, server.friend("ann"):
        await box.join(server)
        feed.say(said())
        await feed.fall_silent()
        first = before = await sent(box)
        walked = 0
        while walked < 2 * PERIOD:
            late = feed.late_packets
            feed.stop(late)
            assert await sent(box) == before
            feed.stop(1)
            before = await sent(box)
            walked += late + 1
    assert before - first >= 3


class Counting(FakeFeed):
    """Feed that counts the blocks sent since it was connected."""

    given = 0

    def connect(self, send):
        def counted(block):
            self.given += 1
            send(block)

        super().connect(counted)


async def test_no_packet_is_lost_after_connecting(server):
    with Counting() as feed:
        box = Box(feed)
        async with box.room:
            await box.join(server)
            await asyncio.sleep(0.5)
            feed.disconnect()
            assert await sent(box) == feed.given // PACKET_BLOCKS > 10


@pytest.mark.parametrize("misunderstandings", [1, 2, 3])
async def test_no_packet_is_lost_when_the_server_answers_without_dtx(
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
            # The jitter buffer is new for the first half second.
            await friend.hear(0.5)
            assert strongest_hz(await friend.hear(0.5)) == pytest.approx(440, abs=10)
            feed.disconnect()
            assert await sent(box) == feed.given // PACKET_BLOCKS > 10
            assert len(friend.room.remote_participants["box"].track_publications) == 1
    assert misunderstandings <= len(streams) <= publisher.TRIES


async def test_the_parameters_of_an_encoder_are_known_once_negotiated():
    agreed, another = "minptime=10;usedtx=1", "minptime=10;stereo=1"
    reports = [RtcStats() for _ in range(5)]
    for one, codec, line in zip(reports, "ab", (agreed, another), strict=False):
        one.codec.rtc.id, one.codec.codec.sdp_fmtp_line = codec, line
    for one, name, codec in zip(reports[2:], "xyz", ("b", "", "a"), strict=True):
        one.outbound_rtp.rtc.id, one.outbound_rtp.stream.codec_id = name, codec
    assert stats.encoders(reports) == {"x": another, "z": agreed}


async def test_the_feed_gets_statistics_while_it_wants_them(server, box):
    box.feed.wants_stats = True
    await box.join(server)
    async with asyncio.timeout(DEADLINE_S):
        while len(box.feed.answers) < 5:
            await asyncio.sleep(stats.SOON_S)
    counts = [count for _, count in box.feed.answers]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
