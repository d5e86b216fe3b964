"""Companion at the far end: repeats what it heard and answers chat; counts of both.

An ordinary LiveKit client that uses the SDK's public API only, so that it receives what
any participant receives.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from appliance.audio.dsp import level_dbfs
from appliance.core.chat import Delivery
from appliance.core.view import ConnectionState, View
from appliance.demo.simulated_card import Samples
from appliance.errors import DemoError
from appliance.pcm import BLOCK_FRAMES, RATE_HZ
from appliance.process.background import Background
from appliance.room.chat_format import STREAM_TOPIC

ANSWER: Final = "You wrote: "
VOICE_DBFS: Final = -45.0
"""Between the level of a quiet room and that of a whisper into the microphone."""
MARGIN_BLOCKS: Final = 10
"""0.1 s before and after the speech, so that quiet sounds are not cut off."""
SILENT_BLOCKS: Final = 55
"""0.55 s of silence end a talk; pauses between words are shorter."""
LONGEST_BLOCKS: Final = 3000
"""30 s; a longer talk is repeated in parts."""


class Listener:
    """Detector of the start and end of one person's talks, by level; no I/O."""

    def __init__(self) -> None:
        self._before: deque[Samples] = deque(maxlen=MARGIN_BLOCKS)
        self._talk: list[Samples] = []
        self._silent = 0

    def take(self, block: Samples) -> Samples | None:
        """Process the next 10 ms; return the talk that has ended with it."""
        is_loud = level_dbfs(block) > VOICE_DBFS
        if not self._talk and not is_loud:
            self._before.append(block)
            return None
        self._silent = 0 if is_loud else self._silent + 1
        self._talk.append(block)
        if self._silent < SILENT_BLOCKS and len(self._talk) < LONGEST_BLOCKS:
            return None
        count = len(self._talk) - max(0, self._silent - MARGIN_BLOCKS)
        talk = np.concatenate((*self._before, *self._talk[:count]))
        self._before.clear()
        self._talk, self._silent = [], 0
        return talk


class Companion:
    """Member of the room while its context is open."""

    def __init__(self, begin_repetition: Callable[[], None]) -> None:
        """`begin_repetition` is called before a talk is repeated."""
        self._begin_repetition = begin_repetition
        self._room = rtc.Room()
        self._source = rtc.AudioSource(RATE_HZ, 1)
        self._talks: asyncio.Queue[Samples] = asyncio.Queue()
        self._background = Background()

    async def __aenter__(self) -> Self:
        await self._background.open()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._room.disconnect()
        await self._background.close(*failure)
        await self._source.aclose()

    async def join(self, url: str, token: str) -> None:
        """Join the room, repeat talks and answer chat, or raise `DemoError`."""
        self._room.register_text_stream_handler(STREAM_TOPIC, self._line_received)
        self._room.on("track_subscribed", self._track_subscribed)
        track = rtc.LocalAudioTrack.create_audio_track("companion", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        try:
            await self._room.connect(url, token)
            await self._room.local_participant.publish_track(track, options)
        except (rtc.ConnectError, PublishTrackError) as exc:
            sentence = f"the companion cannot join the room: {exc}"
            raise DemoError(sentence) from exc
        self._background.start(self._repeat())

    async def _repeat(self) -> None:
        while True:
            samples = await self._talks.get()
            self._begin_repetition()
            for start in range(0, len(samples), BLOCK_FRAMES):
                pcm = samples[start : start + BLOCK_FRAMES].tobytes()
                frame = rtc.AudioFrame(pcm, RATE_HZ, 1, BLOCK_FRAMES)
                # Waits while the source's queue is full, which paces this loop.
                await self._source.capture_frame(frame)

    def _track_subscribed(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._background.start(self._listen(track))

    async def _listen(self, track: rtc.Track) -> None:
        listener = Listener()
        stream = rtc.AudioStream(
            track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10
        )
        try:
            async for event in stream:
                talk = listener.take(np.array(event.frame.data, np.int16))
                if talk is not None:
                    self._talks.put_nowait(talk)
        finally:
            await stream.aclose()

    def _line_received(self, reader: rtc.TextStreamReader, _sender: str) -> None:
        self._background.start(self._answer(reader))

    async def _answer(self, reader: rtc.TextStreamReader) -> None:
        me = self._room.local_participant
        # Raised when the sender or the companion leaves in the middle of a message.
        with contextlib.suppress(rtc.StreamError):
            answer = ANSWER + (await reader.read_all())[:500]
            await me.send_text(answer, topic=STREAM_TOPIC)


@dataclass(slots=True)
class Summary:
    """Counts of what worked while the demo runs."""

    has_companion: bool
    started_s: float = 0.0
    """Monotonic time at which the appliance was started."""
    joined_after_s: float | None = None
    talks_sent: int = 0
    talks_heard_back: int = 0
    lines_sent: set[str] = field(default_factory=set)
    lines_answered: set[str] = field(default_factory=set)
    is_talking: bool = False
    is_repeating: bool = False

    def begin_repetition(self) -> None:
        """Expect the companion in the speaker: it starts to repeat a talk."""
        self.is_repeating = True

    def count(self, view: View) -> bool:
        """Count what is new in this view; return whether a talk starts with it."""
        if self.joined_after_s is None and view.connection is ConnectionState.CONNECTED:
            self.joined_after_s = round(time.monotonic() - self.started_s, 2)
        for line in view.chat:
            if line.is_own and line.state is Delivery.SENT:
                self.lines_sent.add(line.id)
            elif not line.is_own and line.text.startswith(ANSWER):
                self.lines_answered.add(line.id)
        begins = view.lamps.talking and not self.is_talking
        self.is_talking = view.lamps.talking
        self.talks_sent += begins
        if self.is_repeating and view.talkers and view.speaker_dbfs > VOICE_DBFS:
            self.is_repeating = False
            # A talk with a long pause in it is repeated in parts.
            heard_back = self.talks_heard_back + 1
            self.talks_heard_back = min(heard_back, self.talks_sent)
        return begins

    def figures(self) -> dict[str, object]:
        """Return the counts by name; `not_complete` says what never worked."""
        missing = ""
        if self.joined_after_s is None:
            missing = "the room was never joined"
        elif self.has_companion and not self.talks_heard_back:
            missing = "no talk came back"
        elif self.has_companion and not self.lines_answered:
            missing = "no line of chat was answered"
        return {
            "joined_after_s": self.joined_after_s,
            "talks_sent": self.talks_sent,
            "talks_heard_back": self.talks_heard_back,
            "lines_sent": len(self.lines_sent),
            "lines_answered": len(self.lines_answered),
            "not_complete": missing,
        }
