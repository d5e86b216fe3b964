"""What the library says of the connection: how long a packet takes, how many left."""

import asyncio
import time
from collections.abc import Iterable

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.core.events import RttMeasured
from appliance.ports import MicrophoneFeed, Post

EVERY_S = 10.0
"""Our choice: fresh enough to read, rare enough to cost nothing."""
LOOK_S = 1.0
"""How soon the uplink's curiosity is noticed, and the first round trip."""
SOON_S = 0.16
"""Eight packets of 21: six or seven answers find the place. Asking takes 2 ms."""
STEP_S = 0.005
"""A smaller change is not worth a new picture."""


async def measure(
    ticket: int, room: rtc.Room, feed: MicrophoneFeed, post: Post
) -> None:
    """Post the round trip time once and whenever it changed, until cancelled.

    The uplink is told how many packets have left, and more often if it wants to know.
    """
    last_s: float | None = None
    due_s = 0.0
    while True:
        if feed.wants_stats or time.monotonic() >= due_s:
            rtt_s = await _ask(room, feed)
            due_s = due_s if rtt_s is None else time.monotonic() + EVERY_S
            if rtt_s is not None and _is_news(rtt_s, last_s):
                last_s = rtt_s
                post(RttMeasured(ticket, rtt_s))
        await asyncio.sleep(SOON_S if feed.wants_stats else LOOK_S)


def _is_news(now_s: float, last_s: float | None) -> bool:
    return last_s is None or abs(now_s - last_s) > STEP_S


async def _ask(room: rtc.Room, feed: MicrophoneFeed) -> float | None:
    """Tell the uplink what has left, and return the round trip time if it is known."""
    asked = feed.packets
    try:
        stats = await room.get_rtc_stats()
    except RuntimeError:
        # The connection broke in this very moment.
        return None
    feed.learn(asked, packets_sent(stats.publisher_stats))
    return _rtt_s((*stats.publisher_stats, *stats.subscriber_stats))


def _rtt_s(stats: Iterable[RtcStats]) -> float | None:
    """Return the round trip time in seconds, in steps of a millisecond.

    Source: `currentRoundTripTime` of the nominated candidate pairs, W3C webrtc-stats.
    """
    pairs = (
        found.candidate_pair.candidate_pair
        for found in stats
        if found.HasField("candidate_pair")
    )
    used = (pair for pair in pairs if pair.nominated and pair.responses_received)
    return max((pair.current_round_trip_time for pair in used), default=None)


def packets_sent(stats: Iterable[RtcStats]) -> int:
    """Return how many packets of sound have left.

    Source: `packetsSent` of the outbound stream, W3C webrtc-stats.
    """
    return sum(
        found.outbound_rtp.sent.packets_sent
        for found in stats
        if found.HasField("outbound_rtp")
    )


def encoders(stats: Iterable[RtcStats]) -> dict[str, str]:
    """Return what each encoder at work was agreed to do, by its stream's name.

    A stream whose track has ended stays on the list.

    Source: `codecId` of the outbound stream, only there once the codec is agreed upon,
    and that codec's `sdpFmtpLine`, W3C webrtc-stats.
    """
    found = tuple(stats)
    agreed = {
        one.codec.rtc.id: one.codec.codec.sdp_fmtp_line
        for one in found
        if one.HasField("codec")
    }
    return {
        one.outbound_rtp.rtc.id: agreed[one.outbound_rtp.stream.codec_id]
        for one in found
        if one.HasField("outbound_rtp") and one.outbound_rtp.stream.codec_id in agreed
    }
