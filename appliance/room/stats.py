"""WebRTC statistics: round trip time, reception, encoders, and rooms without audio.

LiveKit's library may report a room as joined, or a connection as resumed, that has no
audio in one direction or in both. Nothing else tells: everybody is listed, and chat
works.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.core.events import ConnectionMeasured, Failure, Reception
from appliance.ports import Post
from appliance.room.failures import NO_AUDIO, NOT_SENT
from appliance.room.ffi import ffi_events

if TYPE_CHECKING:
    from appliance.room.publisher import OwnTrack
    from appliance.room.subscriber import Subscriber

EVERY_S: Final = 10.0
"""Interval of reading; our choice: current, at negligible cost."""
FIRST_S: Final = 1.0
"""Interval until the first round trip time is known."""
STEP_S: Final = 0.005
"""Smallest change of the round trip time that counts: each redraws the screen."""
STILL_S: Final = 3
"""So long nothing is made of the tracks that are subscribed to: time to read why."""
PACKETS_GIVEN: Final = 100
"""Received packets of which some sound must be made: those of 2 s of speech. In silence
there are two or three a second."""
BLOCKS_GIVEN: Final = 500
"""Blocks to send, 5 s, of which some packet must be made."""


async def follow(
    ticket: int, room: rtc.Room, post: Post, own: "OwnTrack", subscriber: "Subscriber"
) -> Failure:
    """Post the round trip time and how audio arrives, until no audio passes.

    Returns:
        The failure for which to give up the room.

    Raises:
        RuntimeError: the failure of the last room, without any audio between. The
            library has to be started again, with the process.
    """
    rtt_s: float | None = None
    receiving, sending = Receiving(), Sending()
    heard = AudioWatch(NO_AUDIO, PACKETS_GIVEN)
    sent = AudioWatch(NOT_SENT, BLOCKS_GIVEN)
    while True:
        stats = await _read(room)
        new_s = _rtt_s(stats)
        if new_s is not None and (rtt_s is None or abs(new_s - rtt_s) > STEP_S):
            rtt_s = new_s
        reception, lost = receiving.update(stats), sending.update(stats)
        post(ConnectionMeasured(ticket, rtt_s, reception, lost))
        packets_in = sum(x.inbound_rtp.received.packets_received for x in stats)
        packets_out = sum(x.outbound_rtp.sent.packets_sent for x in stats)
        given = packets_in if subscriber.is_playing else None
        if heard.is_stuck(given, ffi_events().blocks):
            return NO_AUDIO
        if sent.is_stuck(own.encoded_blocks, packets_out):
            return NOT_SENT
        await _wait(FIRST_S if rtt_s is None else EVERY_S, subscriber)


async def _wait(longest_s: float, subscriber: "Subscriber") -> None:
    """Wait, but only `STILL_S` while no block comes of the tracks subscribed to.

    Of each the library makes 100 blocks a second, whether it is muted or not. What
    counts are seconds: after a stop of the process the blocks come a moment later.
    """
    still_s = 0
    for _ in range(round(longest_s / FIRST_S)):
        blocks = ffi_events().blocks
        await asyncio.sleep(FIRST_S)
        is_still = subscriber.is_playing and ffi_events().blocks == blocks
        still_s = still_s + 1 if is_still else 0
        if still_s == STILL_S:
            return


async def _read(room: rtc.Room) -> list[RtcStats]:
    """Return all statistics; none if the connection was lost in this moment."""
    try:
        stats = await room.get_rtc_stats()
    except RuntimeError:
        return []
    return [*stats.publisher_stats, *stats.subscriber_stats]


class Receiving:
    """Changes of the received streams' sums between two readings."""

    def __init__(self) -> None:
        """Start without a reading."""
        self._sums: dict[str, tuple[float, ...]] = {}

    def update(self, stats: Iterable[RtcStats]) -> Reception:
        """Return what has arrived since the last reading.

        Source: W3C webrtc-stats, `jitterBufferDelay`, a sum over all emitted samples,
        `concealedSamples` less the silent ones, and `packetsLost`. Emitted samples are
        those of packets: concealed ones are not among them.
        """
        streams = (one.inbound_rtp for one in stats if one.HasField("inbound_rtp"))
        sums = {stream.rtc.id: _sums(stream) for stream in streams}
        if not sums:
            return Reception()
        # A stream that ended takes its sums with it.
        before = [self._sums[name] for name in sums if name in self._sums]
        changes = np.sum(list(sums.values()), axis=0) - np.sum(before, axis=0)
        delay_s, emitted, concealed, lost = changes.tolist()
        if emitted <= 0:
            # What was lost in a gap counts when there is sound again.
            return Reception()
        self._sums = sums
        return Reception(
            delay_s=delay_s / emitted,
            concealed_ratio=max(0.0, concealed / (emitted + concealed)),
            lost_packets=max(0, round(lost)),
        )


class Sending:
    """Packets of ours that the server reports as lost."""

    def __init__(self) -> None:
        """Start without a report."""
        self._lost: Counter[str] = Counter()

    def update(self, stats: Iterable[RtcStats]) -> int:
        """Return how many were lost since the last reading.

        Source: W3C webrtc-stats, `packetsLost` of the remote inbound streams.
        """
        ours = (x.remote_inbound_rtp for x in stats if x.HasField("remote_inbound_rtp"))
        before = self._lost.total()
        # The highest of each stream: a packet that was only late is subtracted again.
        self._lost |= Counter({one.rtc.id: one.received.packets_lost for one in ours})
        return self._lost.total() - before


def _sums(stream: RtcStats.InboundRtp) -> tuple[float, ...]:
    inbound = stream.inbound
    return (
        inbound.jitter_buffer_delay,
        inbound.jitter_buffer_emitted_count,
        inbound.concealed_samples - inbound.silent_concealed_samples,
        stream.received.packets_lost,
    )


def _rtt_s(stats: Iterable[RtcStats]) -> float | None:
    """Return the round trip time in seconds, in steps of a millisecond.

    Source: `currentRoundTripTime` of the nominated candidate pairs, W3C webrtc-stats.
    """
    pairs = (one.candidate_pair.candidate_pair for one in stats)
    used = (pair for pair in pairs if pair.nominated and pair.responses_received)
    return max((pair.current_round_trip_time for pair in used), default=None)


def encoders(stats: Collection[RtcStats]) -> dict[str, str]:
    """Return the negotiated parameters of each encoder, by the id of its stream.

    A stream whose track has ended is still included.

    Source: `codecId` of the outbound stream, present once the codec is negotiated, and
    that codec's `sdpFmtpLine`, W3C webrtc-stats.
    """
    codecs = (one.codec for one in stats if one.HasField("codec"))
    lines = {one.rtc.id: one.codec.sdp_fmtp_line for one in codecs}
    streams = (one.outbound_rtp for one in stats if one.HasField("outbound_rtp"))
    return {
        one.rtc.id: lines[one.stream.codec_id]
        for one in streams
        if one.stream.codec_id in lines
    }


class AudioWatch:
    """Watch for audio that enters the library and does not leave it."""

    def __init__(self, failure: Failure, given: int) -> None:
        """Start without a reading; `failure` is that of this direction.

        It is one if so much has entered since something left last.
        """
        self._failure = failure
        self._given = given
        self._last: tuple[int, int] | None = None
        """What had entered and left when something left last."""

    def is_stuck(self, entered: int | None, left: int) -> bool:
        """Return whether the failure is there; None: nothing has to leave now.

        Raises:
            RuntimeError: for the second time, without anything between.
        """
        before, failures = self._last, ffi_events().failures
        if entered is None or before is None or entered < before[0]:
            self._last = None if entered is None else (entered, left)
            return False
        if left != before[1]:
            self._last = entered, left
            failures.discard(self._failure)
            return False
        if entered - before[0] < self._given:
            return False
        if self._failure in failures:
            raise RuntimeError(self._failure.reason)
        failures.add(self._failure)
        return True
