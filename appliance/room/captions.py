"""Captions: words that are spoken in the room, as a voice agent transcribes them.

An agent's own words are one text stream per segment, which grows while it speaks. What
a person said arrives as a stream for each guess and the final text, all of one segment
and under that person's identity. The packets of the older protocol, which repeat the
same words under other ids, are not read.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from livekit import rtc

from appliance.core.events import Caption, CaptionReceived
from appliance.ports import Post
from appliance.process.background import Spawn
from appliance.room.names import display_name, is_text
from appliance.room.participants import name_of

TOPIC: Final = "lk.transcription"
CHARACTERS: Final = 4000
"""Longest text kept, as of a chat line: five minutes of speech."""
IDLE_S: Final = 20.0
"""Our choice: a stream that has not grown for so long is not that of a speaker."""
STEP_S: Final = 0.1
"""Least interval between two reports of one segment: the page is sent no more."""
_SEGMENT: Final = "lk.segment_id"
_FINAL: Final = "lk.transcription_final"
_ID_CHARACTERS: Final = 128
_STREAMS: Final = 24
_STREAMS_EACH: Final = 6
"""Streams read at once, together and of one speaker; an agent needs two."""
_SEGMENTS: Final = 64
_SEGMENTS_EACH: Final = 16
"""Segments whose newest stream is remembered, together and of one speaker."""
_RAW_CHARACTERS: Final = 8 * CHARACTERS
"""A longer stream is closed."""
_LAST_MS: Final = 2**53

Key = tuple[str, str]
"""Identity of the speaker, and id of the segment."""


@dataclass(slots=True)
class _Stream:
    """A stream that is being read."""

    number: int
    key: Key
    speaker: str
    ts_ms: int
    text: str = ""
    shown: str = ""
    """Text of the last report."""
    shown_s: float = float("-inf")
    timer: asyncio.TimerHandle | None = None


class Captions:
    """Receiver of the captions of one session."""

    def __init__(self, ticket: int, room: rtc.Room, post: Post, spawn: Spawn) -> None:
        """Start receiving."""
        self._ticket = ticket
        self._room = room
        self._post = post
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._numbers = count()
        self._newest: dict[Key, int] = {}
        self._reading: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        room.register_text_stream_handler(TOPIC, self._opened)

    def close(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()

    def _opened(self, reader: rtc.TextStreamReader, identity: str) -> None:
        attributes = reader.info.attributes or {}
        segment = attributes.get(_SEGMENT) or reader.info.stream_id
        is_full = self._reading.total() >= _STREAMS
        is_full = is_full or self._reading[identity] >= _STREAMS_EACH
        longest = max(len(segment), len(identity))
        if is_full or not identity or longest > _ID_CHARACTERS:
            reader.close()
            return
        self._reading[identity] += 1
        key = (identity, segment)
        ts_ms = reader.info.timestamp
        stream = _Stream(
            next(self._numbers),
            key,
            self._name(identity),
            ts_ms if 0 < ts_ms <= _LAST_MS else time.time_ns() // 1_000_000,
        )
        self._newest.pop(key, None)
        self._newest[key] = stream.number
        self._forget_oldest(identity)
        task = self._spawn(self._read(reader, stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget_oldest(self, identity: str) -> None:
        """Forget a segment if there are too many, rather one of the same speaker."""
        own = [key for key in self._newest if key[0] == identity]
        if len(own) > _SEGMENTS_EACH:
            del self._newest[own[0]]
        elif len(self._newest) > _SEGMENTS:
            del self._newest[next(iter(self._newest))]

    async def _read(self, reader: rtc.TextStreamReader, stream: _Stream) -> None:
        identity, _ = stream.key
        try:
            is_final = await self._read_all(reader, stream)
        except (TimeoutError, rtc.StreamError):
            is_final = False
        finally:
            reader.close()
            self._reading -= Counter({identity: 1})
            if stream.timer is not None:
                stream.timer.cancel()
        self._report(stream, is_final=is_final)

    async def _read_all(self, reader: rtc.TextStreamReader, stream: _Stream) -> bool:
        """Read to the end, and return whether the text is final."""
        raw_characters = 0
        while raw_characters <= _RAW_CHARACTERS:
            async with asyncio.timeout(IDLE_S):
                chunk = await anext(reader, None)
            if chunk is None:
                return (reader.info.attributes or {}).get(_FINAL) == "true"
            raw_characters += len(chunk)
            space = CHARACTERS - len(stream.text)
            stream.text += "".join(filter(is_text, chunk[:space]))
            self._report_soon(stream)
        return False

    def _report_soon(self, stream: _Stream) -> None:
        """Report the text now, or when the last report is old enough."""
        if stream.timer is not None:
            return
        wait_s = stream.shown_s + STEP_S - self._loop.time()
        if wait_s <= 0:
            self._report(stream, is_final=False)
            return

        def due() -> None:
            stream.timer = None
            self._report(stream, is_final=False)

        stream.timer = self._loop.call_later(wait_s, due)

    def _report(self, stream: _Stream, *, is_final: bool) -> None:
        """Post the caption, unless a later stream has replaced this one."""
        stream.shown_s = self._loop.time()
        text = stream.text.strip()
        if not text or self._newest.get(stream.key) != stream.number:
            return
        if text == stream.shown and not is_final:
            return
        stream.shown = text
        identity, segment = stream.key
        caption = Caption(
            segment, identity, stream.speaker, text, is_final, stream.ts_ms
        )
        self._post(CaptionReceived(self._ticket, caption))

    def _name(self, identity: str) -> str:
        known = self._room.remote_participants.get(identity)
        if known is not None:
            return name_of(self._room, known)
        me = self._room.local_participant
        return display_name(me.name if identity == me.identity else "", identity)
