"""Chat transport: the SDK's text streams and data packets to and from our events."""

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from appliance.core.commands import SendChat
from appliance.core.events import ChatFailed, ChatMessage, ChatReceived, ChatSent
from appliance.ports import Post
from appliance.process.background import Spawn
from appliance.process.logs import LogLimit
from appliance.room import chat_format
from appliance.room.chat_format import (
    PACKET_BYTES,
    STREAM_TOPIC,
    TEXT_CHARACTERS,
    Dropped,
    ReceivedLine,
    read_line,
)
from appliance.room.names import short_id
from appliance.room.participants import sender

_STREAMS: Final = 64
"""Streams read at once; 64 KiB each at most."""
_STREAMS_EACH: Final = 24
"""Of one sender; our choice: twenty lines that were typed in an outage arrive at once.
"""
_STREAM_CHARACTERS: Final = PACKET_BYTES
"""Longest text that is collected. The SDK ends a stream of more than `PACKET_BYTES`,
which are as many characters at most."""
_SILENCE_S: Final = 10.0
"""Time-out between two chunks; a language model writes one line for a minute."""
_GROWTH_S: Final = 0.25
"""Interval at which a growing line is posted; chunks may come every few ms."""
_ORDER_S: Final = 0.2
"""Time a message waits for an earlier one of the same sender."""

Deliver = Callable[[ChatMessage | Dropped, str], None]
"""Take a message, or why it was dropped, and the sender's identity."""

NOT_ALLOWED: Final = "the room does not allow this box to send chat (canPublishData)"
"""Reason of the failure; the server itself drops such messages without an answer."""
_log = logging.getLogger(__name__)
_SEND_S: Final = 10.0
"""Time-out for sending; far above the round trip of a slow network."""


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
    task: asyncio.Task[Any] | None = None


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
        if len(own) >= _STREAMS_EACH or not self._make_place(len(own)):
            reader.close()
            self._deliver(Dropped("too many at once"), identity)
            return
        stream = _Stream(reader, identity, own[-1] if own else None)
        self._open.append(stream)
        stream.task = self._run(self._receive(stream))

    def _make_place(self, own: int) -> bool:
        """Make place for one more stream of a sender with so many, if it may have one.

        Beyond `_STREAMS` the oldest stream of the sender that has most is cancelled for
        it, so that a few senders cannot keep the others from being read.

        Returns:
            Whether there is a place.
        """
        if len(self._open) < _STREAMS:
            return True
        counts = Counter(stream.identity for stream in self._open)
        identity, most = counts.most_common(1)[0]
        if most <= own + 1:
            return False
        oldest = next(each for each in self._open if each.identity == identity)
        self._open.remove(oldest)
        if oldest.task is not None:
            oldest.task.cancel()
        self._deliver(Dropped("too many at once"), identity)
        return True

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
            if stream in self._open:
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
            if len(stream.text) > _STREAM_CHARACTERS:
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
        line = ReceivedLine(info.stream_id, text, info.timestamp, files=files)
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


class ChatChannel:
    """Chat of one session."""

    def __init__(
        self,
        ticket: int,
        room: rtc.Room,
        post: Post,
        spawn: Spawn,
        *,
        has_streams: bool = True,
    ) -> None:
        """Start receiving, before the room is connected, so that nothing is missed.

        `has_streams` tells whether the server passes text streams on.
        """
        self._has_streams = has_streams
        self._ticket = ticket
        self._room = room
        self._post = post
        self._spawn = spawn
        self._running: set[asyncio.Task[Any]] = set()
        self._sending = asyncio.Lock()
        self._log_limit = LogLimit()
        ChatStreams(room, self._deliver, self._run)

    def take(self, packet: rtc.DataPacket) -> None:
        """Receive a data packet, if it is chat."""
        identity = packet.participant.identity if packet.participant else ""
        taken = chat_format.read_packet(
            packet.topic or "",
            packet.data,
            sender(self._room, identity),
            now_ms=time.time_ns() // 1_000_000,
            takes_streams=self._has_streams,
        )
        self._deliver(taken, identity)

    def send(self, command: SendChat, *, is_plain: bool) -> None:
        """Send a message; the result is an event."""
        self._run(self._sent_or_failed(command, is_plain=is_plain))

    def close(self) -> None:
        """Stop reading; messages that are still being sent fail."""
        for task in self._running:
            task.cancel()

    def _deliver(
        self, taken: ChatMessage | chat_format.Dropped | None, identity: str
    ) -> None:
        match taken:
            case ChatMessage():
                if taken.sender_id != self._room.local_participant.identity:
                    self._post(ChatReceived(self._ticket, taken))
            case chat_format.Dropped():
                self._log_dropped(taken, identity)
            case None:
                pass

    def _log_dropped(self, dropped: chat_format.Dropped, identity: str) -> None:
        message = "chat message dropped  from=%s reason=%r"
        facts = (short_id(identity), dropped.reason)
        if dropped.is_chat:
            self._log_limit.log(_log, logging.WARNING, message, *facts)
        else:
            _log.debug(message, *facts)

    async def _sent_or_failed(self, command: SendChat, *, is_plain: bool) -> None:
        try:
            # One after the other, so that messages arrive in the order they were typed.
            async with asyncio.timeout(_SEND_S), self._sending:
                if self._may_send:
                    await self._publish(command, is_plain=is_plain)
        except (rtc.StreamError, PublishDataError) as exc:
            self._failed(command, "the room did not accept it")
            _log.debug("chat not sent  error=%s", type(exc).__name__)
        except TimeoutError:
            self._failed(command, "the room did not accept it in time")
        except asyncio.CancelledError:
            self._failed(command, "the room was left")
            raise
        else:
            # Checked afterwards, too: the permission may be revoked while it is sent.
            if self._may_send:
                self._post(ChatSent(self._ticket, command.id))
            else:
                self._failed(command, NOT_ALLOWED)

    @property
    def _may_send(self) -> bool:
        return self._room.local_participant.permissions.can_publish_data

    def _failed(self, command: SendChat, reason: str) -> None:
        message = "chat message not sent  reason=%r"
        self._log_limit.log(_log, logging.WARNING, message, reason)
        self._post(ChatFailed(self._ticket, command.id, reason))

    async def _publish(self, command: SendChat, *, is_plain: bool) -> None:
        me = self._room.local_participant
        text = chat_format.sendable(command.text)
        if is_plain:
            ours = chat_format.ChatSender(me.identity, me.name)
            payload = chat_format.plain_packet(command.id, command.ts_ms, text, ours)
            await me.publish_data(payload, topic=chat_format.PLAIN_TOPIC)
            return
        if not self._has_streams:
            payload = chat_format.packet(
                command.id, command.ts_ms, text, has_stream=False
            )
            await me.publish_data(payload, topic=chat_format.PACKET_TOPIC)
            return
        # Stream and packet have the same id, so that receivers show the message once.
        stream = await me.stream_text(
            topic=chat_format.STREAM_TOPIC, stream_id=command.id
        )
        await stream.write(text)
        await stream.aclose()
        ts_ms = stream.info.timestamp
        payload = chat_format.packet(command.id, ts_ms, text, has_stream=True)
        await me.publish_data(payload, topic=chat_format.PACKET_TOPIC)

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[Any]:
        task = self._spawn(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
