"""How long a packet takes to the server and back."""

import asyncio

from livekit import rtc

from appliance.core.events import RttMeasured
from appliance.ports import Post

EVERY_S = 10.0
"""Our choice: fresh enough to read, rare enough to cost nothing."""
AGAIN_S = 1.0
"""Right after joining, nothing has come back yet."""
STEP_S = 0.005
"""A smaller change is not worth a new picture."""


async def measure(ticket: int, room: rtc.Room, post: Post) -> None:
    """Post the round trip time once and whenever it changed, until cancelled."""
    last_s: float | None = None
    while True:
        now_s = await _rtt_s(room)
        if now_s is not None and _is_news(now_s, last_s):
            last_s = now_s
            post(RttMeasured(ticket, now_s))
        await asyncio.sleep(AGAIN_S if now_s is None else EVERY_S)


def _is_news(now_s: float, last_s: float | None) -> bool:
    return last_s is None or abs(now_s - last_s) > STEP_S


async def _rtt_s(room: rtc.Room) -> float | None:
    """Return the round trip time in whole milliseconds, None while it is not known.

    Source: `currentRoundTripTime` of the nominated candidate pairs, W3C webrtc-stats.
    """
    try:
        stats = await room.get_rtc_stats()
    except RuntimeError:
        # The connection broke in this very moment.
        return None
    pairs = (
        found.candidate_pair.candidate_pair
        for found in (*stats.publisher_stats, *stats.subscriber_stats)
        if found.HasField("candidate_pair")
    )
    used = (pair for pair in pairs if pair.nominated and pair.responses_received)
    return max((pair.current_round_trip_time for pair in used), default=None)
