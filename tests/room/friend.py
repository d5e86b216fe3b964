"""Another participant, built on the SDK's public API only."""

import asyncio

import numpy as np
from livekit import rtc

from appliance.pcm import RATE_HZ, Block
from tests.room.fakes import BLOCK, DEADLINE_S, tone

StreamedLine = tuple[str, rtc.TextStreamInfo, str]
"""Sender, header and text of a text stream."""


class Friend:
    def __init__(self, url, token, options):
        self._url = url
        self._token = token
        self._options = options
        self._tasks = set()
        self._heard: asyncio.Queue[Block] = asyncio.Queue()
        self._newest = None
        self._has_left = False
        self.amplitude = 8000
        """Of the tones that are said."""
        self.room = rtc.Room()
        self.packets: asyncio.Queue[rtc.DataPacket] = asyncio.Queue()
        self.streams: asyncio.Queue[StreamedLine] = asyncio.Queue()

    async def __aenter__(self):
        self.room.on("track_subscribed", self._hear)
        self.room.on("data_received", self.packets.put_nowait)
        self.room.register_text_stream_handler("lk.chat", self._read)
        await self.room.connect(self._url, self._token, self._options)
        return self

    async def __aexit__(self, *_):
        # A track may still arrive while the room is being left.
        self._has_left = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()

    async def say(self, hz):
        """Publish an endless tone."""
        source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("voice", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self._run(self._say(source, hz))
        return track

    async def stay_muted(self):
        """Publish a track that is muted and has never carried sound."""
        source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("voice", source)
        track.mute()
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)

    async def show(self):
        """Publish video."""
        source = rtc.VideoSource(64, 64)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        await self.room.local_participant.publish_track(track)
        frame = rtc.VideoFrame(64, 64, rtc.VideoBufferType.RGBA, bytes(64 * 64 * 4))
        source.capture_frame(frame)

    async def hear(self, seconds):
        """Return the next seconds of the others' audio."""
        while not self._heard.empty():
            self._heard.get_nowait()
        async with asyncio.timeout(DEADLINE_S):
            blocks = [await self._heard.get() for _ in range(int(seconds * 100))]
        return np.concatenate(blocks)

    def _run(self, work):
        if self._has_left:
            work.close()
            return
        self._tasks.add(asyncio.ensure_future(work))

    async def _say(self, source, hz):
        sent = 0
        while True:
            samples = tone(hz, BLOCK, sent, self.amplitude)
            sent += BLOCK
            frame = rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, BLOCK)
            await source.capture_frame(frame)

    def _hear(self, track, _publication, _participant):
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._newest = track
            self._run(self._listen(track))

    async def _listen(self, track):
        stream = rtc.AudioStream(
            track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10
        )
        try:
            async for event in stream:
                # A track that was published again overlaps with the one it replaces.
                if track is self._newest:
                    self._heard.put_nowait(np.frombuffer(event.frame.data, np.int16))
        finally:
            await stream.aclose()

    def _read(self, reader, identity):
        async def read():
            text = await reader.read_all()
            self.streams.put_nowait((identity, reader.info, text))

        self._run(read())
