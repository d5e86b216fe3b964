"""Watch for rooms that are joined, but in which no audio passes.

LiveKit's library may report a room as joined, or a connection as resumed, that has no
audio in one direction or in both. Nothing else tells: everybody is listed, and chat
works.
"""

import asyncio
import math
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

DEAF_S: Final = 2.0
"""Interval in which the library must deliver audio of tracks that are subscribed to: it
delivers 100 blocks a second of each, whether it is muted or not."""
MUTE_S: Final = 10.0
"""Interval in which packets must be sent: in silence there are two or three a second.
Our choice: reading the statistics costs CPU."""


async def nothing_received(
    room: rtc.Room, subscriber: Subscriber, is_paused: Callable[[], bool]
) -> Failure:
    """Return when packets arrive but no audio is made of them.

    After one interval without audio the process may only have been stopped for a while.

    Args:
        room: the room of the SDK, joined.
        subscriber: its subscriptions.
        is_paused: tells whether the connection is interrupted.

    Raises:
        RuntimeError: for the second time, without any audio between. The library has to
            be started again, with the process.
    """
    library, before, now = ffi_events(), math.inf, math.inf
    while now <= before:
        blocks = library.blocks
        await asyncio.sleep(DEAF_S)
        is_open = subscriber.is_playing and not is_paused()
        if library.blocks != blocks or not is_open:
            before = now = math.inf
            continue
        # No packets arrive of a track that the server has withdrawn.
        before, now = now, await stats.received_packets(room)
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
    """Return when blocks are encoded but no packet is sent, for two intervals.

    Args:
        room: the room of the SDK, joined.
        own: the track of the microphone.
        is_paused: tells whether the connection is interrupted.
        every_s: length of an interval.
    """
    # Half of them: a callback of the sound card may be late.
    least_blocks = every_s * 1000 / BLOCK_MS / 2
    blocks, packets = own.encoded_blocks, await stats.sent_packets(room)
    was_mute = is_mute = False
    while not (was_mute and is_mute):
        await asyncio.sleep(every_s)
        blocks_before, blocks = blocks, own.encoded_blocks
        packets_before, packets = packets, await stats.sent_packets(room)
        is_open = own.is_unmuted and not is_paused()
        is_fed = blocks - blocks_before >= least_blocks
        was_mute, is_mute = is_mute, is_open and is_fed and packets == packets_before
    return NOT_SENT
