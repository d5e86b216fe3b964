"""WebRTC statistics: round trip time, reception, encoders, and rooms without audio.

LiveKit's library may report a room as joined, or a connection as resumed, that has no
audio in one direction or in both. Nothing else tells: everybody is listed, and chat
works.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.core.events import ConnectionMeasured, Failure, Reception
from appliance.pcm import BLOCK_MS
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
DEAF_S: Final = 1.0
"""Interval in which the library must deliver audio of tracks that are subscribed to: it
delivers 100 blocks a second of each, whether it is muted or not."""
DEAF_READINGS: Final = 3
"""Numbers of received packets that have to rise meanwhile."""
MUTE_S: Final = 10.0
"""Interval in which packets must be sent: in silence there are two or three a second.
Our choice: reading the statistics costs CPU."""


async def measure(ticket: int, room: rtc.Room, post: Post) -> None:
    """Post the round trip time and how audio arrives, until cancelled."""
    rtt_s: float | None = None
    receiving, sending = Receiving(), Sending()
    while True:
        stats = await _read(room)
        new_s = _rtt_s(stats)
        if new_s is not None and (rtt_s is None or abs(new_s - rtt_s) > STEP_S):
            rtt_s = new_s
        reception, lost = receiving.update(stats), sending.update(stats)
        post(ConnectionMeasured(ticket, rtt_s, reception, lost))
        await asyncio.sleep(FIRST_S if rtt_s is None else EVERY_S)


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


async def nothing_received(
    room: rtc.Room, subscriber: "Subscriber", is_paused: Callable[[], bool]
) -> Failure:
    """Return when packets arrive but no audio is made of them.

    One interval is not enough: the process may have been stopped for a while, or the
    first packets of a track arrive before its first block.

    Raises:
        RuntimeError: for the second time, without any audio between. The library has to
            be started again, with the process.
    """
    library = ffi_events()
    packets: list[int] = []
    while len(packets) < DEAF_READINGS:
        blocks = library.blocks
        await asyncio.sleep(DEAF_S)
        if not subscriber.is_playing or is_paused() or library.blocks != blocks:
            packets.clear()
            continue
        read = await _read(room)
        received = sum(x.inbound_rtp.received.packets_received for x in read)
        # No packets arrive of a track that the server has withdrawn.
        if not read or (packets and received <= packets[-1]):
            packets.clear()
        if read and library.blocks == blocks:
            packets.append(received)
    if library.blocks == library.blocks_at_loss:
        raise RuntimeError(NO_AUDIO.reason)
    library.blocks_at_loss = library.blocks
    return NO_AUDIO


async def nothing_sent(
    room: rtc.Room,
    own: "OwnTrack",
    is_paused: Callable[[], bool],
    every_s: float = MUTE_S,
) -> Failure:
    """Return when blocks are encoded but no packet is sent in a whole interval.

    Raises:
        RuntimeError: as above, without any packet between.
    """
    # Half of them: a callback of the sound card may be late.
    least_blocks = every_s * 1000 / BLOCK_MS / 2
    library = ffi_events()
    before = now = None
    while before is None or now != before:
        blocks = own.encoded_blocks
        await asyncio.sleep(every_s)
        is_fed = own.encoded_blocks - blocks >= least_blocks
        if not is_fed or not own.is_unmuted or is_paused():
            before = now = None
            continue
        read = await _read(room)
        sent = sum(x.outbound_rtp.sent.packets_sent for x in read)
        before, now = now, sent if read else None
        if before is not None and now != before:
            library.has_been_mute = False
    if library.has_been_mute:
        raise RuntimeError(NOT_SENT.reason)
    library.has_been_mute = True
    return NOT_SENT
