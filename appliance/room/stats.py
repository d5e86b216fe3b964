"""WebRTC statistics: round trip time, sent packets, parameters of the encoders."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.core.events import RttMeasured
from appliance.ports import MicrophoneFeed, Post

EVERY_S: Final = 10.0
"""Interval of the round trip time; our choice: current, at negligible cost."""
LOOK_S: Final = 1.0
"""Interval at which `wants_stats` is checked, and of the first round trip time."""
SOON_S: Final = 0.16
"""Interval while the feed wants statistics: 8 packets of the DTX period of 21, so that
6 or 7 answers locate the period. A request takes 2 ms."""
STEP_S: Final = 0.005
"""Smallest change that is posted: each redraws the screen."""


async def measure(
    ticket: int, room: rtc.Room, feed: MicrophoneFeed, post: Post
) -> None:
    """Post the round trip time once and whenever it changed, until cancelled.

    The feed gets the number of sent packets, more often if it wants statistics.
    """
    last_s: float | None = None
    due_s = 0.0
    while True:
        if feed.wants_stats or time.monotonic() >= due_s:
            rtt_s = await _ask(room, feed)
            due_s = due_s if rtt_s is None else time.monotonic() + EVERY_S
            if rtt_s is not None and _is_changed(rtt_s, last_s):
                last_s = rtt_s
                post(RttMeasured(ticket, rtt_s))
        await asyncio.sleep(SOON_S if feed.wants_stats else LOOK_S)


def _is_changed(now_s: float, last_s: float | None) -> bool:
    return last_s is None or abs(now_s - last_s) > STEP_S


async def _ask(room: rtc.Room, feed: MicrophoneFeed) -> float | None:
    """Give the feed the number of sent packets, and return the round trip time."""
    asked = feed.packets
    try:
        stats = await room.get_rtc_stats()
    except RuntimeError:
        # The connection was lost in this moment.
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
    """Return the number of audio packets sent.

    Source: `packetsSent` of the outbound stream, W3C webrtc-stats.
    """
    return sum(
        found.outbound_rtp.sent.packets_sent
        for found in stats
        if found.HasField("outbound_rtp")
    )


def encoders(stats: Iterable[RtcStats]) -> dict[str, str]:
    """Return the negotiated parameters of each encoder, by the id of its stream.

    A stream whose track has ended is still included.

    Source: `codecId` of the outbound stream, present once the codec is negotiated, and
    that codec's `sdpFmtpLine`, W3C webrtc-stats.
    """
    found = tuple(stats)
    lines = {
        one.codec.rtc.id: one.codec.codec.sdp_fmtp_line
        for one in found
        if one.HasField("codec")
    }
    return {
        one.outbound_rtp.rtc.id: lines[one.outbound_rtp.stream.codec_id]
        for one in found
        if one.HasField("outbound_rtp") and one.outbound_rtp.stream.codec_id in lines
    }
