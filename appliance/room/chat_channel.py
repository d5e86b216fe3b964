"""Chat transport: the SDK's text streams and data packets to and from our events."""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from appliance.core.commands import JoinRoom, SendChat
from appliance.core.events import ChatFailed, ChatMessage, ChatReceived, ChatSent
from appliance.net.rate_limit import Buckets
from appliance.process.background import Spawn
from appliance.process.logs import LogLimit
from appliance.room import chat_format
from appliance.room.chat_format import Dropped, ReceivedLine
from appliance.room.connection import SessionContext
from appliance.room.participants import ChatSender, sender, short_id
from appliance.room.text_streams import (
    MESSAGES,
    TOO_MANY,
    Report,
    StreamTopic,
    TextStreams,
)

_TOPIC: Final = StreamTopic(
    name=chat_format.STREAM_TOPIC,
    # 64 KiB each at most: the SDK ends a longer one.
    total=64,
    # Our choice: twenty lines that were typed in an outage arrive at once.
    each=24,
    characters=chat_format.PACKET_BYTES,
    growth_s=0.25,
)

Deliver = Callable[[ChatMessage | Dropped, str], None]
"""Take a message, or why it was dropped, and the sender's identity."""

NOT_ALLOWED: Final = "the room does not allow this box to send chat (canPublishData)"
"""Reason of the failure; the server itself drops such messages without an answer."""
_log = logging.getLogger(__name__)
_SEND_S: Final = 10.0
"""Time-out for sending; far above the round trip of a slow network."""


@dataclass(slots=True)
class _Line:
    """Line of chat that is being received."""

    received: ReceivedLine
    """Without its text."""
    sender: ChatSender
    """As known when the line began: it may have left since."""
    posted_text: str = ""


class ChatStreams:
    """Text and byte streams on the chat topic of one room."""

    def __init__(self, room: rtc.Room, deliver: Deliver, spawn: Spawn) -> None:
        """Start receiving, before the room is connected, so that nothing is missed.

        `deliver` takes the messages; a line that grows has the same id each time.
        """
        self._room = room
        self._deliver = deliver
        self._files = Buckets(MESSAGES)
        self._attached: deque[str] = deque(maxlen=_TOPIC.total)
        """Ids of files whose message was received."""
        self._streams = TextStreams(room, _TOPIC, spawn, self._opened)
        room.register_byte_stream_handler(chat_format.STREAM_TOPIC, self._file_opened)

    def close(self) -> None:
        """Stop reading."""
        self._streams.close()

    def _opened(self, info: rtc.TextStreamInfo, identity: str) -> Report:
        self._attached.extend(info.attachments)
        return partial(self._post, self._begun(info, identity, len(info.attachments)))

    def _file_opened(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        """Show that a file was sent; its content is not read."""
        reader.close()
        if reader.info.stream_id in self._attached:
            return
        if self._files.may(identity, time.monotonic()):
            line = self._begun(reader.info, identity, files=1)
            self._deliver(self._read(line, ""), identity)
        else:
            self._deliver(Dropped(TOO_MANY), identity)

    def _post(self, line: _Line, text: str, fault: str | None) -> None:
        """Post the text received so far, unless it was posted already.

        A longer text than may be shown is read once, at its end. A line that becomes
        too long stays as it was; only its end is logged.
        """
        if fault is None and len(text) > chat_format.TEXT_CHARACTERS:
            return
        taken = self._read(line, text)
        identity = line.sender.identity
        if isinstance(taken, Dropped):
            if fault is not None:
                dropped = taken if text else Dropped(fault or taken.reason)
                self._deliver(dropped, identity)
        elif taken.text != line.posted_text:
            line.posted_text = taken.text
            self._deliver(taken, identity)

    def _begun(
        self, info: rtc.TextStreamInfo | rtc.ByteStreamInfo, identity: str, files: int
    ) -> _Line:
        # The id that an unknown sender gives may be that of another's line.
        line_id = info.stream_id if identity else secrets.token_hex(16)
        received = ReceivedLine(line_id, "", info.timestamp, files=files)
        return _Line(received, sender(self._room, identity))

    def _read(self, line: _Line, text: str) -> ChatMessage | Dropped:
        # It may have been announced since.
        now = sender(self._room, line.sender.identity)
        if now.name:
            line.sender = now
        read = replace(line.received, text=text)
        return chat_format.read_line(read, line.sender, time.time_ns() // 1_000_000)


class ChatChannel:
    """Chat of one session."""

    def __init__(
        self, command: JoinRoom, room: rtc.Room, context: SessionContext
    ) -> None:
        """Start receiving, before the room is connected, so that nothing is missed.

        Messages fail whose tasks are cancelled.
        """
        # dTelecom's servers do not pass text streams on.
        self._has_streams = not command.details.is_dtelecom
        self._topics = chat_format.TOPICS
        if command.details.is_dtelecom:
            self._topics = chat_format.TOPICS_OF_DTELECOM
        self._is_plain = context.config.chat.format == "plain"
        self._ticket = command.ticket
        self._room = room
        self._post = context.post
        self._spawn = context.spawn
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._sending = asyncio.Lock()
        self._log_limit = LogLimit()
        self._packets = Buckets(MESSAGES)
        # Perhaps another application's many: they do not count against a person's chat.
        self._packets_without_topic = Buckets(MESSAGES)
        self._streams = ChatStreams(room, self._deliver, context.spawn)

    def received(self, packet: rtc.DataPacket) -> None:
        """Receive a data packet, if it may be chat and its sender is within its rate.

        Call it in the SDK's callback itself: in a queue, such as that of a session that
        is still joining, the packets of one guest could fill the memory.
        """
        topic = packet.topic or ""
        if topic not in self._topics:
            return
        identity = packet.participant.identity if packet.participant else ""
        rate = self._packets if topic else self._packets_without_topic
        if rate.may(identity, time.monotonic()):
            by = sender(self._room, identity)
            # The SDK ignores an exception in a callback, the loop does not.
            self._loop.call_soon(self._take, packet, by)
        else:
            self._deliver(Dropped(TOO_MANY, is_chat=bool(topic)), identity)

    def _take(self, packet: rtc.DataPacket, by: ChatSender) -> None:
        taken = chat_format.read_packet(
            packet.topic or "",
            packet.data,
            by,
            now_ms=time.time_ns() // 1_000_000,
            takes_streams=self._has_streams,
        )
        self._deliver(taken, by.identity)

    def send(self, command: SendChat) -> None:
        """Send a message; the result is an event."""
        self._spawn(self._sent_or_failed(command))

    def close(self) -> None:
        """Take nothing more."""
        self._is_closed = True
        self._streams.close()

    def _deliver(self, taken: ChatMessage | Dropped | None, identity: str) -> None:
        if self._is_closed or taken is None:
            return
        if isinstance(taken, ChatMessage):
            if taken.sender_id != self._room.local_participant.identity:
                self._post(ChatReceived(self._ticket, taken))
            return
        message = "chat message dropped  from=%s reason=%r"
        facts = (short_id(identity), taken.reason)
        if taken.is_chat:
            self._log_limit.log(_log, logging.WARNING, message, *facts)
        else:
            _log.debug(message, *facts)

    async def _sent_or_failed(self, command: SendChat) -> None:
        try:
            # One after the other, so that messages arrive in the order they were typed.
            async with asyncio.timeout(_SEND_S), self._sending:
                if self._may_send:
                    await self._publish(command)
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

    async def _publish(self, command: SendChat) -> None:
        me = self._room.local_participant
        text = chat_format.sendable(command.text)
        ts_ms = command.ts_ms
        if self._is_plain:
            ours = ChatSender(me.identity, me.name)
            payload = chat_format.plain_packet(command.id, ts_ms, text, ours)
            await me.publish_data(payload, topic=chat_format.PLAIN_TOPIC)
            return
        if self._has_streams:
            # With the packet's id, so that receivers show the message once.
            stream = await me.stream_text(
                topic=chat_format.STREAM_TOPIC, stream_id=command.id
            )
            await stream.write(text)
            await stream.aclose()
            ts_ms = stream.info.timestamp
        payload = chat_format.packet(
            command.id, ts_ms, text, has_stream=self._has_streams
        )
        await me.publish_data(payload, topic=chat_format.PACKET_TOPIC)
