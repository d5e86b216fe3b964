"""Statistics of real connections, and what depends on them."""

import asyncio
from contextlib import suppress

import pytest
from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.core.events import ConnectionMeasured, Reception, RoomResumed
from appliance.pcm import PACKET_BLOCKS
from appliance.room import publisher, stats
from tests.room.conftest import RoomHarness, open_box
from tests.room.fakes import DEADLINE_S, FakeFeed
from tests.room.test_permissions import hears_tone

KEPT_S = 0.06
"""The library caches its statistics for 50 ms."""
SOME_BLOCKS = 40
NOBODY_HEARD = Reception(None, None, 0)


async def sent(box):
    await asyncio.sleep(2 * KEPT_S)
    found = await box.sdk_room.get_rtc_stats()
    return sum(
        one.outbound_rtp.sent.packets_sent
        for one in found.publisher_stats
        if one.HasField("outbound_rtp")
    )


async def sends_all(box, feed):
    """Stop the feed, and wait until each packet is sent; a busy encoder is late."""
    feed.disconnect()
    packets = feed.given // PACKET_BLOCKS
    with suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE_S):
            while await sent(box) < packets:
                pass
    assert await sent(box) == packets >= SOME_BLOCKS // PACKET_BLOCKS


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
        box = RoomHarness(feed)
        async with box.room:
            await box.join(server)
            async with asyncio.timeout(DEADLINE_S):
                while feed.given < SOME_BLOCKS:
                    await asyncio.sleep(KEPT_S)
            await sends_all(box, feed)


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
        box = RoomHarness(feed)
        async with box.room, server.friend("ann") as friend:
            await box.join(server)
            async with asyncio.timeout(DEADLINE_S):
                await hears_tone(friend)
            await sends_all(box, feed)
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


async def test_after_a_full_reconnect_a_track_without_dtx_is_published_again(
    server, monkeypatch
):
    full = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
    is_misunderstood = False

    def agreed(reports):
        found = stats.encoders(reports)
        return dict.fromkeys(found, "stereo=1") if is_misunderstood else found

    monkeypatch.setattr(publisher, "encoders", agreed)
    async with open_box() as box, server.friend("ann") as friend:
        await box.join(server)
        await friend.hear(0.5)
        is_misunderstood = True
        await box.sdk_room.simulate_scenario(full)
        await box.until(RoomResumed)
        async with asyncio.timeout(DEADLINE_S):
            while box.feed.connects < 2:
                await asyncio.sleep(KEPT_S)
        assert box.feed.is_connected


async def test_what_arrives_is_measured(server, box, monkeypatch):
    monkeypatch.setattr(stats, "EVERY_S", 0.2)
    async with server.friend("ann") as ann, server.friend("bob") as bob:
        await ann.say(700)
        await bob.say(1100)
        await box.join(server)
        await box.playback.count(2)
        measured = await box.until(
            ConnectionMeasured, lambda event: (event.reception.delay_s or 0) > 0.001
        )
    assert measured.reception.delay_s < 0.5
    assert 0 <= measured.reception.concealed_ratio < 1
    assert measured.reception.lost_packets == 0
    assert measured.lost_packets == 0


def inbound(name, delay_s, emitted, concealed=0, *, silent=0, lost=0):
    report = RtcStats()
    report.inbound_rtp.rtc.id = name
    report.inbound_rtp.received.packets_lost = lost
    report.inbound_rtp.inbound.jitter_buffer_delay = delay_s
    report.inbound_rtp.inbound.jitter_buffer_emitted_count = emitted
    report.inbound_rtp.inbound.concealed_samples = concealed
    report.inbound_rtp.inbound.silent_concealed_samples = silent
    return report


def test_reception_is_the_change_since_the_last_reading_over_all_streams():
    receiving = stats.Receiving()
    assert receiving.update([RtcStats()]) == NOBODY_HEARD
    receiving.update([inbound("a", 9600.0, 480_000, 4800, lost=7)])
    now = [
        inbound(
            "a", 9600.0 + 24_000, 480_000 + 480_000, 4800 + 9600, silent=4800, lost=9
        ),
        inbound("b", 24_000.0, 480_000, lost=1),
    ]
    measured = receiving.update(now)
    assert measured == Reception(0.05, 4800 / (960_000 + 4800), 3)


@pytest.mark.parametrize(
    "silent",
    [[inbound("a", 9600.0, 480_000)], [RtcStats()], []],
    ids=["silence", "nobody", "no reading"],
)
def test_an_interval_in_which_nobody_is_heard_has_no_values(silent):
    receiving = stats.Receiving()
    assert receiving.update([]) == NOBODY_HEARD
    receiving.update([inbound("a", 9600.0, 480_000)])
    assert receiving.update(silent) == NOBODY_HEARD
    assert receiving.update(silent) == NOBODY_HEARD
    heard = receiving.update([inbound("a", 19_200.0, 960_000)])
    assert heard == Reception(0.02, 0.0, 0)
    assert receiving.update(silent) == NOBODY_HEARD


def test_a_stream_that_ended_is_not_counted_backwards():
    receiving = stats.Receiving()
    receiving.update([inbound("a", 9600.0, 480_000, 4800, lost=7)])
    receiving.update([inbound("a", 9600.0, 480_000), inbound("b", 480.0, 48_000)])
    measured = receiving.update([inbound("b", 960.0, 96_000)])
    assert measured == Reception(0.01, 0.0, 0)


def test_a_reading_that_failed_counts_nothing_twice():
    receiving = stats.Receiving()
    first = [inbound("a", 9600.0, 480_000, 4800, lost=7)]
    receiving.update(first)
    assert receiving.update([]) == NOBODY_HEARD
    assert receiving.update(first) == NOBODY_HEARD


def test_what_was_lost_in_a_gap_counts_when_there_is_sound_again():
    receiving = stats.Receiving()
    receiving.update([inbound("a", 9600.0, 480_000)])
    gap = [inbound("a", 9600.0, 480_000, lost=450)]
    assert receiving.update(gap) == NOBODY_HEARD
    measured = receiving.update([inbound("a", 10_080.0, 528_000, lost=450)])
    assert measured == Reception(0.01, 0.0, 450)


def reported(name, lost):
    report = RtcStats()
    report.remote_inbound_rtp.rtc.id = name
    report.remote_inbound_rtp.received.packets_lost = lost
    return report


def test_packets_of_ours_that_the_server_lost_are_the_change_over_all_streams():
    sending = stats.Sending()
    assert sending.update([RtcStats(), reported("a", 0)]) == 0
    assert sending.update([reported("a", 3)]) == 3
    assert sending.update([reported("a", 3)]) == 0
    both = [reported("a", 4), reported("b", 2)]
    assert sending.update(both) == 3


def test_a_packet_that_was_only_late_is_not_counted_twice():
    sending = stats.Sending()
    sending.update([reported("a", 3)])
    assert sending.update([reported("a", 2)]) == 0
    assert sending.update([reported("a", 3)]) == 0
    assert sending.update([reported("a", 4)]) == 1
