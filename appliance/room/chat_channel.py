"""Chat transport: the SDK's text streams and data packets to and from our events."""

import asyncio
import logging
import secrets
import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Final

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from appliance.core.commands import JoinRoom, SendChat
from appliance.core.events import ChatFailed, ChatMessage, ChatReceived, ChatSent
from appliance.net.rate_limit import Buckets
from appliance.process.logs import LogLimit
from appliance.room import chat_format
from appliance.room.chat_format import Dropped, ReceivedLine
from appliance.room.connection import SessionContext
from appliance.room.participants import ChatSender, sender, short_id
from appliance.room.text_streams import (
    MESSAGES,
    TOO_LONG,
    TOO_MANY,
    TOTAL,
    Report,
    TextStreams,
)

NOT_ALLOWED: Final = "the room does not allow this box to send chat (canPublishData)"
"""Reason of the failure; the server itself drops such messages without an answer."""
_SEND_S: Final = 10.0
"""Time-out for sending; far above the round trip of a slow network."""
_log = logging.getLogger(__name__)


class ChatChannel:
    """Chat of one session."""

    def __init__(
        self, command: JoinRoom, room: rtc.Room, context: SessionContext
    ) -> None:
        """Start receiving, before the room is connected, so that nothing is missed."""
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
        self._sending = asyncio.Lock()
        self._log_limit = LogLimit()
        self._packets = Buckets(MESSAGES)
        # Perhaps another application's many: they do not count against a person's chat.
        self._packets_without_topic = Buckets(MESSAGES)
        self._attached: deque[str] = deque(maxlen=TOTAL)
        """Ids of files whose message is shown."""
        self._newest: ChatMessage | None = None
        """Of a stream."""
        topic = chat_format.STREAM_TOPIC
        TextStreams(room, topic, context.spawn, self._stream_opened)
        room.register_byte_stream_handler(topic, self._file_opened)

    def received(self, packet: rtc.DataPacket) -> None:
        """Receive a data packet, if it may be chat and its sender is within its rate.

        Call it in the SDK's callback itself: in a queue, the packets of one guest could
        fill the memory.
        """
        topic = packet.topic or ""
        if topic not in self._topics:
            return
        identity = packet.participant.identity if packet.participant else ""
        rate = self._packets if topic else self._packets_without_topic
        if not rate.may(identity, time.monotonic()):
            self._deliver(Dropped(TOO_MANY) if topic else None, identity)
            return
        taken = chat_format.read_packet(
            topic,
            packet.data,
            sender(self._room, identity),
            now_ms=time.time_ns() // 1_000_000,
            takes_streams=self._has_streams,
        )
        self._deliver(taken, identity)

    def send(self, command: SendChat) -> None:
        """Send a message; the result is an event, unless the session ends before."""
        self._spawn(self._sent_or_failed(command))

    def _stream_opened(self, info: rtc.TextStreamInfo, identity: str) -> Report:
        self._attached.extend(info.attachments)
        line = _begun(info, identity, files=len(info.attachments))
        return partial(self._stream_read, line, sender(self._room, identity))

    def _file_opened(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        """Show that a file was sent without a message; its content is not read."""
        reader.close()
        if reader.info.stream_id in self._attached:
            return
        if self._packets.may(identity, time.monotonic()):
            line = _begun(reader.info, identity, files=1)
            self._stream_read(line, sender(self._room, identity), "", "")
        else:
            self._deliver(Dropped(TOO_MANY), identity)

    def _stream_read(
        self, line: ReceivedLine, writer: ChatSender, text: str, fault: str | None
    ) -> None:
        """Deliver the line as far as it has come, whether or not it is complete.

        `writer` is the sender as known when the line began.
        """
        identity = writer.identity
        if fault == TOO_LONG or (fault and not text):
            self._deliver(Dropped(fault), identity)
            return
        # It may have been announced since, or have left.
        now = sender(self._room, identity)
        taken = chat_format.read_line(
            replace(line, text=text),
            now if now.name else writer,
            time.time_ns() // 1_000_000,
        )
        if isinstance(taken, ChatMessage):
            if taken == self._newest:
                return
            self._newest = taken
        elif fault is None:
            return
        self._deliver(taken, identity)

    def _deliver(self, taken: ChatMessage | Dropped | None, identity: str) -> None:
        if isinstance(taken, Dropped):
            message = "chat message dropped  from=%s reason=%r"
            facts = (short_id(identity), taken.reason)
            self._log_limit.log(_log, logging.WARNING, message, *facts)
        elif taken and taken.sender_id != self._room.local_participant.identity:
            self._post(ChatReceived(self._ticket, taken))

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
        else:
            # It may have been revoked meanwhile.
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


def _begun(
    info: rtc.TextStreamInfo | rtc.ByteStreamInfo, identity: str, files: int
) -> ReceivedLine:
    # The id that an unknown sender gives may be that of another's line.
    line_id = info.stream_id if identity else secrets.token_hex(16)
    return ReceivedLine(line_id, "", info.timestamp, files=files)
