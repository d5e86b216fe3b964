"""WebRTC statistics: round trip time, reception, encoders, and rooms without audio.

LiveKit's library may report a room as joined, or a connection as resumed, in which no
audio passes although chat works.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats
from numpy.typing import NDArray

from appliance.core.events import ConnectionMeasured, Failure, Reception
from appliance.ports import Post
from appliance.room.connection import NO_AUDIO, NOT_SENT
from appliance.room.ffi import ffi_events

if TYPE_CHECKING:
    from appliance.room.publisher import OwnTrack
    from appliance.room.subscriber import Subscriber

EVERY_S: Final = 10.0
"""Interval of reading, which takes 8 ms of CPU on a PC."""
READ_S: Final = 5.0
"""Time-out of a reading, which takes milliseconds; seen once without an answer."""
FIRST_S: Final = 1.0
"""Interval until the first round trip time and the first sound are known."""
STEP_S: Final = 0.005
"""Smallest change of the round trip time that counts: each redraws the screen."""
PACKETS_GIVEN: Final = 100
"""Received packets of which some sound must be made: those of 2 s of speech."""
BLOCKS_GIVEN: Final = 500
"""Blocks to send, 5 s, of which some packet must be made."""


async def follow(
    ticket: int, room: rtc.Room, post: Post, own: "OwnTrack", subscriber: "Subscriber"
) -> Failure:
    """Post how audio passes, until it does not, and return the failure of the room.

    Raises:
        RuntimeError: the last room had the same failure, without any audio between.
            The library has to be started again, with the process.
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
        blocks = ffi_events().blocks
        await asyncio.sleep(FIRST_S)
        # Of each track that is played, muted ones too, come 100 blocks a second.
        is_deaf = subscriber.is_playing and ffi_events().blocks == blocks
        if rtt_s is not None:
            # After a stop of the process the blocks come a moment later.
            await asyncio.sleep(FIRST_S if is_deaf else EVERY_S - FIRST_S)


async def _read(room: rtc.Room) -> list[RtcStats]:
    """Return all statistics; none if the connection was lost in this moment."""
    try:
        async with asyncio.timeout(READ_S):
            stats = await room.get_rtc_stats()
    except (RuntimeError, TimeoutError):
        return []
    return [*stats.publisher_stats, *stats.subscriber_stats]


class Receiving:
    """Changes of the received streams' sums between two readings."""

    def __init__(self) -> None:
        """Start without a reading."""
        self._sums: dict[str, NDArray[np.float64]] = {}

    def update(self, stats: Iterable[RtcStats]) -> Reception:
        """Return what has arrived since the last reading.

        Source: W3C webrtc-stats: `jitterBufferDelay`, a sum over all emitted samples,
        which are those of packets; `concealedSamples` less the silent ones.
        """
        streams = (one.inbound_rtp for one in stats if one.HasField("inbound_rtp"))
        sums = {stream.rtc.id: _sums(stream) for stream in streams}
        changes = (sums[name] - self._sums.get(name, 0) for name in sums)
        delay_s, emitted, concealed, lost = sum(changes, np.zeros(4)).tolist()
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
        """Return how many were lost since the last reading."""
        ours = (x.remote_inbound_rtp for x in stats if x.HasField("remote_inbound_rtp"))
        before = self._lost.total()
        # The highest of each stream: a packet that was only late is subtracted again.
        self._lost |= Counter({one.rtc.id: one.received.packets_lost for one in ours})
        return self._lost.total() - before


def _sums(stream: RtcStats.InboundRtp) -> NDArray[np.float64]:
    inbound = stream.inbound
    concealed = inbound.concealed_samples - inbound.silent_concealed_samples
    emitted, lost = inbound.jitter_buffer_emitted_count, stream.received.packets_lost
    return np.array([inbound.jitter_buffer_delay, emitted, concealed, lost])


def _rtt_s(stats: Iterable[RtcStats]) -> float | None:
    """Return the round trip time, that of the nominated candidate pairs."""
    pairs = (one.candidate_pair.candidate_pair for one in stats)
    used = (pair for pair in pairs if pair.nominated and pair.responses_received)
    return max((pair.current_round_trip_time for pair in used), default=None)


def encoders(stats: Collection[RtcStats]) -> dict[str, str]:
    """Return the negotiated parameters of each encoder, by the id of its stream.

    Streams whose track has ended are included, those without a codec yet are not.
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
        """Start without a reading.

        It is a `failure` if `given` has entered since something left last.
        """
        self._failure = failure
        self._given = given
        self._last: tuple[int, int] | None = None
        """What had entered and left when something left last."""

    def is_stuck(self, entered: int | None, left: int) -> bool:
        """Return whether the failure is there; None: nothing has to leave now.

        Raises:
            RuntimeError: it is there again, without any audio between.
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
