"""Chat transport: the SDK's text streams and data packets to and from our events.

Anybody in the room sends them, so their number, rate, size and duration are limited.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from appliance.core.commands import JoinRoom, SendChat
from appliance.core.events import ChatFailed, ChatMessage, ChatReceived, ChatSent
from appliance.net.rate_limit import Buckets, Rate
from appliance.process.background import Spawn
from appliance.process.logs import LogLimit
from appliance.room import chat_format
from appliance.room.chat_format import TEXT_CHARACTERS, Dropped, ReceivedLine
from appliance.room.connection import SessionContext
from appliance.room.participants import ChatSender, sender, short_id

NOT_ALLOWED: Final = "the room does not allow this box to send chat (canPublishData)"
"""Reason of the failure; the server itself drops such messages without an answer."""
MESSAGES: Final = Rate(burst=120, per_s=20)
"""Streams, or packets, of one sender; our choice: twenty lines that were typed in an
outage arrive at once, and nobody types twenty in a second."""
EACH: Final = 24
"""Streams of one sender that are read at once; more than such lines."""
TOTAL: Final = 200
"""Streams that are read at once; our choice: 3 MB of text at most."""
SILENCE_S: Final = 20.0
"""Time-out between two chunks; a language model writes one line for a minute."""
ORDER_S: Final = 0.2
"""Time that a text waits for the end of the sender's earlier one."""
GROWTH_S: Final = 0.1
"""Least interval between two reports of a text: the page has ten views a second."""
TOO_MANY: Final = "too many at once"
TOO_LONG: Final = "too long"
_SEND_S: Final = 10.0
"""Time-out for sending; far above the round trip of a slow network."""

Report = Callable[[str, str | None], None]
"""Take the text received so far, and at the end of the stream why it may be incomplete;
empty: it is complete; None: it goes on."""
Opened = Callable[[rtc.TextStreamInfo, str], Report | None]
"""Take the header of a new stream and its sender; None: it is not to be read."""

_log = logging.getLogger(__name__)


class ChatChannel:
    """Chat of one session."""

    def __init__(
        self, command: JoinRoom, room: rtc.Room, context: SessionContext
    ) -> None:
        """Start receiving, before the room is connected, so that nothing is missed."""
        # dTelecom's servers do not pass text streams on.
        self._has_streams = not command.details.is_dtelecom
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

        Call it in the SDK's callback itself: a queue of packets has no bound.
        """
        topic = packet.topic or ""
        if topic not in chat_format.TOPICS:
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
        """Deliver the line as far as it has come, whether or not it is complete."""
        if fault == TOO_LONG or (fault and not text):
            self._deliver(Dropped(fault), writer.identity)
            return
        now_ms = time.time_ns() // 1_000_000
        taken = chat_format.read_line(replace(line, text=text), writer, now_ms)
        if isinstance(taken, ChatMessage):
            if taken == self._newest:
                return
            self._newest = taken
        elif fault is None:
            return
        self._deliver(taken, writer.identity)

    def _deliver(self, taken: ChatMessage | Dropped | None, identity: str) -> None:
        if isinstance(taken, Dropped):
            message = "chat message dropped  from=%s reason=%r"
            facts = (short_id(identity), taken.reason)
            self._log_limit.log(_log, logging.WARNING, message, *facts)
        elif taken and taken.sender_id != self._room.local_participant.identity:
            self._post(ChatReceived(self._ticket, taken))

    async def _sent_or_failed(self, command: SendChat) -> None:
        reason = ""
        try:
            # One after the other, so that messages arrive in the order they were typed.
            async with asyncio.timeout(_SEND_S), self._sending:
                if self._may_send:
                    await self._publish(command)
        except (rtc.StreamError, PublishDataError):
            reason = "the room did not accept it"
        except TimeoutError:
            reason = "the room did not accept it in time"
        # It may have been revoked meanwhile.
        if not reason and not self._may_send:
            reason = NOT_ALLOWED
        if not reason:
            self._post(ChatSent(self._ticket, command.id))
            return
        message = "chat message not sent  reason=%r"
        self._log_limit.log(_log, logging.WARNING, message, reason)
        self._post(ChatFailed(self._ticket, command.id, reason))

    @property
    def _may_send(self) -> bool:
        return self._room.local_participant.permissions.can_publish_data

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


class TextStreams:
    """Streams on one topic of one room, with texts of at most `TEXT_CHARACTERS`."""

    def __init__(
        self, room: rtc.Room, topic: str, spawn: Spawn, opened: Opened
    ) -> None:
        """Start receiving, in tasks that `spawn` starts."""
        self._spawn = spawn
        self._opened = opened
        self._streams: dict[asyncio.Task[Any], str] = {}
        """Tasks that read a stream, the oldest first, and its sender."""
        self._rate = Buckets(MESSAGES)
        self._log_limit = LogLimit()
        room.register_text_stream_handler(topic, self._receive)

    def _receive(self, reader: rtc.TextStreamReader, identity: str) -> None:
        own = [task for task, sender in self._streams.items() if sender == identity]
        is_free = len(own) < EACH and len(self._streams) < TOTAL
        report = None
        if is_free and self._rate.may(identity, time.monotonic()):
            report = self._opened(reader.info, identity)
        else:
            message = "text stream dropped  from=%s reason=%r"
            facts = (short_id(identity), TOO_MANY)
            self._log_limit.log(_log, logging.WARNING, message, *facts)
        if report is None:
            reader.close()
            return
        task = self._spawn(self._read(reader, report, own[-1:]))
        self._streams[task] = identity
        task.add_done_callback(self._streams.pop)

    async def _read(
        self,
        reader: rtc.TextStreamReader,
        report: Report,
        earlier: list[asyncio.Task[Any]],
    ) -> None:
        """Receive the stream, and report what came, whether or not it is complete."""
        loop = asyncio.get_running_loop()
        text = reported = fault = ""
        report_s = 0.0
        try:
            while not fault:
                has_grown = text != reported
                until_s = report_s if has_grown else loop.time() + SILENCE_S
                try:
                    async with asyncio.timeout_at(until_s):
                        chunk = await anext(reader, None)
                except TimeoutError:
                    if has_grown:
                        report(text, None)
                        reported, report_s = text, loop.time() + GROWTH_S
                    else:
                        fault = "incomplete after the time-out"
                    continue
                if chunk is None:
                    break
                if earlier and not text:
                    # The SDK reads each stream in its own task: the second may be read
                    # first.
                    await asyncio.wait(earlier, timeout=ORDER_S)
                fault = TOO_LONG if len(text + chunk) > TEXT_CHARACTERS else ""
                text = (text + chunk)[:TEXT_CHARACTERS]
        except rtc.StreamError:
            fault = "aborted or too long"
        finally:
            reader.close()
        report(text, fault)


def _begun(
    info: rtc.TextStreamInfo | rtc.ByteStreamInfo, identity: str, files: int
) -> ReceivedLine:
    # The id that an unknown sender gives may be that of another's line.
    line_id = info.stream_id if identity else secrets.token_hex(16)
    return ReceivedLine(line_id, "", info.timestamp, files=files)
