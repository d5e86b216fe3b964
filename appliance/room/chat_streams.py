"""Receiver of chat streams: messages, lines that grow while they are written, files."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from livekit import rtc

from appliance.core.events import ChatMessage
from appliance.process.background import Spawn
from appliance.room.chat_format import (
    PACKET_BYTES,
    STREAM_TOPIC,
    TEXT_CHARACTERS,
    Dropped,
    Line,
    read_line,
)
from appliance.room.participants import sender

_STREAMS: Final = 64
"""Streams read at once; 64 KiB each at most."""
_STREAMS_EACH: Final = 24
"""Of one sender; our choice: twenty lines that were typed in an outage arrive at once.
"""
_SILENCE_S: Final = 10.0
"""Time-out between two chunks; a language model writes one line for a minute."""
_GROWTH_S: Final = 0.25
"""Interval at which a growing line is posted; chunks may come every few ms."""
_ORDER_S: Final = 0.2
"""Time a message waits for an earlier one of the same sender."""

Deliver = Callable[[ChatMessage | Dropped, str], None]
"""Take a message, or why it was dropped, and the sender's identity."""


@dataclass(slots=True)
class _Stream:
    """Text stream that is being received."""

    reader: rtc.TextStreamReader
    identity: str
    earlier: "_Stream | None"
    """The stream of the same sender that was opened before."""
    text: str = ""
    read_characters: int = 0
    """Length of the text when it was last read."""
    posted_text: str = ""
    has_place: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once later messages cannot come before this one any more."""
    timer: asyncio.TimerHandle | None = None


class ChatStreams:
    """Text and byte streams on the chat topic of one room."""

    def __init__(
        self,
        room: rtc.Room,
        deliver: Deliver,
        run: Spawn,
    ) -> None:
        """Start receiving, before the room is connected, so that nothing is missed.

        `deliver` takes the messages; a line that grows has the same id each time.
        """
        self._room = room
        self._deliver = deliver
        self._run = run
        self._open: list[_Stream] = []
        self._attached: deque[str] = deque(maxlen=_STREAMS)
        """Ids of files whose message was received."""
        room.register_text_stream_handler(STREAM_TOPIC, self._text_opened)
        room.register_byte_stream_handler(STREAM_TOPIC, self._file_opened)

    def _text_opened(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._attached.extend(reader.info.attachments)
        own = [stream for stream in self._open if stream.identity == identity]
        if len(self._open) >= _STREAMS or len(own) >= _STREAMS_EACH:
            reader.close()
            self._deliver(Dropped("too many at once"), identity)
            return
        stream = _Stream(reader, identity, own[-1] if own else None)
        self._open.append(stream)
        self._run(self._receive(stream))

    def _file_opened(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        """Show that a file was sent; its content is not read."""
        reader.close()
        if reader.info.stream_id not in self._attached:
            self._deliver(self._read(reader.info, identity, "", files=1), identity)

    async def _receive(self, stream: _Stream) -> None:
        """Receive the stream, and post what came, whether or not it is complete."""
        fault = "no text"
        try:
            await self._read_chunks(stream)
        except TimeoutError:
            fault = "incomplete after the time-out"
        except rtc.StreamError:
            fault = "aborted or too long"
        finally:
            stream.reader.close()
            self._open.remove(stream)
            if stream.timer is not None:
                stream.timer.cancel()
            stream.has_place.set()
        await _take_place(stream)
        if not (stream.text or stream.reader.info.attachments):
            self._deliver(Dropped(fault), stream.identity)
        else:
            self._post(stream, is_complete=True)

    async def _read_chunks(self, stream: _Stream) -> None:
        """Collect the text.

        Raises:
            TimeoutError: the sender paused for too long.
            rtc.StreamError: the stream was aborted or is too long.
        """
        while True:
            async with asyncio.timeout(_SILENCE_S):
                chunk = await anext(stream.reader, None)
            if chunk is None:
                return
            stream.text += chunk
            if len(stream.text) > PACKET_BYTES:
                return
            await _take_place(stream)
            if stream.timer is None:
                self._post_growth(stream)

    def _post_growth(self, stream: _Stream) -> None:
        """Post the line as far as it is known, and again when it has grown.

        A longer text than may be shown is read once, at its end.
        """
        stream.timer = None
        if stream.read_characters < len(stream.text) <= TEXT_CHARACTERS:
            stream.read_characters = len(stream.text)
            self._post(stream, is_complete=False)
            loop = asyncio.get_running_loop()
            stream.timer = loop.call_later(_GROWTH_S, self._post_growth, stream)

    def _post(self, stream: _Stream, *, is_complete: bool) -> None:
        """Post the text received so far, unless it was posted already.

        A line that becomes too long stays as it was; only its end is logged.
        """
        info = stream.reader.info
        files = len(info.attachments)
        taken = self._read(info, stream.identity, stream.text, files=files)
        if isinstance(taken, Dropped):
            if is_complete:
                self._deliver(taken, stream.identity)
        elif taken.text != stream.posted_text:
            stream.posted_text = taken.text
            self._deliver(taken, stream.identity)

    def _read(
        self,
        info: rtc.TextStreamInfo | rtc.ByteStreamInfo,
        identity: str,
        text: str,
        *,
        files: int,
    ) -> ChatMessage | Dropped:
        line = Line(info.stream_id, text, info.timestamp, files=files)
        now_ms = time.time_ns() // 1_000_000
        return read_line(line, sender(self._room, identity), now_ms)


async def _take_place(stream: _Stream) -> None:
    """Wait until the sender's earlier message has its place in the chat, or too long.

    The SDK reads each stream in its own task: the second may arrive first.
    """
    if stream.earlier is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stream.earlier.has_place.wait(), _ORDER_S)
        stream.earlier = None
    stream.has_place.set()
