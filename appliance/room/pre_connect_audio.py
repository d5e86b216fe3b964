"""Speech from before a voice agent came, kept for it and sent as one byte stream.

The published track says that such a stream follows, so every agent waits for one and
hears nothing for three seconds if there is none: each agent is sent one, even an empty
one.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from livekit import rtc

from appliance.pcm import RATE_HZ, SILENCE, Block
from appliance.process.background import Spawn
from appliance.room.participants import AGENT_STATE

TOPIC: Final = "lk.agent.pre-connect-audio-buffer"
KEPT_BLOCKS: Final = 1000
"""10 s; of a longer talk the end is kept."""
STALE_S: Final = 30.0
"""Speech is dropped if no agent has come so long after its last word; our choice."""
DECIMATION: Final = 3
"""48 to 16 kHz, which is what speech recognition uses."""
SEND_S: Final = 10.0

_log = logging.getLogger(__name__)


class PreConnectAudio:
    """Ring of the blocks that were sent while there was no agent.

    Thread: the function returned by `recorded` the audio adapter's, one at a time; all
    else the loop's.
    """

    def __init__(
        self, room: rtc.Room, spawn: Spawn, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start without speech."""
        self._now_s = now_s
        self._room = room
        self._spawn = spawn
        self._blocks: deque[Block] = deque(maxlen=KEPT_BLOCKS)
        self._last_s = 0.0
        self._is_recording = True
        self._sent: set[tuple[str, str]] = set()
        """Session ids of agents and ids of our track that were sent a stream."""

    def recorded(self, send: Callable[[Block], None]) -> Callable[[Block], None]:
        """Return `send`, with a copy of each block kept until an agent comes."""

        def record_and_send(block: Block) -> None:
            if self._is_recording and block is not SILENCE:
                now_s = self._now_s()
                if now_s - self._last_s > STALE_S:
                    self._blocks.clear()
                self._blocks.append(block.copy())
                self._last_s = now_s
            send(block)

        return record_and_send

    def forget(self) -> None:
        """Forget what was said; what is said later is kept."""
        self._blocks.clear()

    def offer(self, agent: rtc.RemoteParticipant) -> None:
        """Send the stream to an agent that listens, once for each track.

        LiveKit's agents publish their state when they can receive the stream. If it
        cannot be sent, what was said is lost.
        """
        track_sid = self._track_sid()
        key = (agent.sid, track_sid)
        is_ready = AGENT_STATE in agent.attributes
        if not is_ready or not track_sid or key in self._sent:
            return
        self._sent.add(key)
        self._is_recording = False
        is_stale = self._now_s() - self._last_s > STALE_S
        blocks = [] if is_stale else list(self._blocks)
        self.forget()
        self._spawn(self._send(agent.identity, track_sid, _pcm(blocks)))

    def _track_sid(self) -> str:
        """Return the id of the newest track: the SDK lists one that it lost, too."""
        own = self._room.local_participant.track_publications.values()
        microphones = [
            x.sid for x in own if x.source == rtc.TrackSource.SOURCE_MICROPHONE
        ]
        return microphones[-1] if microphones else ""

    async def _send(self, identity: str, track_sid: str, pcm: bytes) -> None:
        attributes = {
            "trackId": track_sid,
            "sampleRate": str(RATE_HZ // DECIMATION),
            "channels": "1",
        }
        try:
            async with asyncio.timeout(SEND_S):
                writer = await self._room.local_participant.stream_bytes(
                    "pre-connect",
                    topic=TOPIC,
                    attributes=attributes,
                    destination_identities=[identity],
                    total_size=len(pcm),
                )
                if pcm:
                    await writer.write(pcm)
                await writer.aclose()
        except (rtc.StreamError, TimeoutError) as exc:
            _log.warning("kept speech not sent  error=%s", type(exc).__name__)
        else:
            _log.info("kept speech sent to the agent  bytes=%d", len(pcm))


def _pcm(blocks: list[Block]) -> bytes:
    if not blocks:
        return b""
    samples = np.concatenate(blocks).reshape(-1, DECIMATION)
    slower: Block = samples.mean(axis=1).astype(np.int16)
    return slower.tobytes()
