"""Watch for rooms that are joined, but in which no audio passes.

LiveKit's library may report a room as joined, or a connection as resumed, that has no
audio in one direction or in both. Nothing else tells: everybody is listed, and chat
works.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from livekit import rtc

from appliance.core.events import Failure
from appliance.pcm import BLOCK_MS
from appliance.room import stats
from appliance.room.failures import NO_AUDIO, NOT_SENT
from appliance.room.ffi import ffi_events
from appliance.room.publisher import OwnTrack
from appliance.room.subscriber import Subscriber

DEAF_S: Final = 1.0
"""Interval in which the library must deliver audio of tracks that are subscribed to: it
delivers 100 blocks a second of each, whether it is muted or not."""
DEAF_READINGS: Final = 3
"""Numbers of received packets that have to rise meanwhile."""
MUTE_S: Final = 10.0
"""Interval in which packets must be sent: in silence there are two or three a second.
Our choice: reading the statistics costs CPU."""


async def nothing_received(
    room: rtc.Room, subscriber: Subscriber, is_paused: Callable[[], bool]
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
        received = await stats.received_packets(room)
        # No packets arrive of a track that the server has withdrawn.
        if received is None or (packets and received <= packets[-1]):
            packets.clear()
        if received is not None and library.blocks == blocks:
            packets.append(received)
    if library.blocks == library.blocks_at_loss:
        raise RuntimeError(NO_AUDIO.reason)
    library.blocks_at_loss = library.blocks
    return NO_AUDIO


async def nothing_sent(
    room: rtc.Room,
    own: OwnTrack,
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
        before, now = now, await stats.sent_packets(room)
        if before is not None and now != before:
            library.has_been_mute = False
    if library.has_been_mute:
        raise RuntimeError(NOT_SENT.reason)
    library.has_been_mute = True
    return NOT_SENT
