"""Far end for tests of the box: it speaks or is silent, and answers chat."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Self

import numpy as np
from livekit import rtc

from appliance.audio.dsp import level_dbfs
from appliance.pcm import BLOCK_FRAMES, RATE_HZ
from appliance.room.chat_format import STREAM_TOPIC

ANSWER = "answer to "
VOICE_DBFS = -50.0
"""Level above which a block counts as heard."""
RECENT_S = 1.0
QUEUE_MS = 100
"""Speech that waits to be sent: it begins and ends by so much late."""


class FarEnd:
    """Member of the room while its context is open."""

    def __init__(self) -> None:
        """Prepare; `join` connects."""
        self._room = rtc.Room()
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=QUEUE_MS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard_at_s = float("-inf")
        self.is_speaking = True
        """Whether it speaks without a pause, or is silent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the room."""
        await self._room.disconnect()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._source.aclose()

    async def join(self, url: str, token: str) -> None:
        """Join the room and begin to speak."""
        self._room.register_text_stream_handler(
            STREAM_TOPIC, lambda reader, _: self._start(self._answer(reader))
        )
        self._room.on("track_subscribed", self._subscribed)
        track = rtc.LocalAudioTrack.create_audio_track("voice", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.connect(url, token)
        await self._room.local_participant.publish_track(track, options)
        self._start(self._speak())

    def hears(self) -> bool:
        """Return whether the box was heard within the last second."""
        return time.monotonic() - self._heard_at_s < RECENT_S

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _speak(self) -> None:
        rng = np.random.default_rng(1)
        while True:
            volume = 3000.0 if self.is_speaking else 0.0
            samples = rng.normal(0.0, volume, BLOCK_FRAMES).astype(np.int16)
            frame = rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, BLOCK_FRAMES)
            # Waits while the source's queue is full, which paces this loop.
            await self._source.capture_frame(frame)

    def _subscribed(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._start(self._listen(track))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(
            track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10
        )
        try:
            async for event in stream:
                if level_dbfs(np.array(event.frame.data, np.int16)) > VOICE_DBFS:
                    self._heard_at_s = time.monotonic()
        finally:
            await stream.aclose()

    async def _answer(self, reader: rtc.TextStreamReader) -> None:
        text = ANSWER + await reader.read_all()
        await self._room.local_participant.send_text(text, topic=STREAM_TOPIC)
