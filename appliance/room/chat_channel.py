"""Chat transport: the SDK's text streams and data packets to and from our events."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from appliance.core.commands import SendChat
from appliance.core.events import ChatFailed, ChatMessage, ChatReceived, ChatSent
from appliance.ports import Post
from appliance.process.background import Spawn
from appliance.process.logs import LogLimit
from appliance.room import chat_format
from appliance.room.chat_streams import ChatStreams
from appliance.room.names import short_id
from appliance.room.participants import sender

NOT_ALLOWED: Final = "the room does not allow this box to send chat (canPublishData)"
"""Reason of the failure; the server itself drops such messages without an answer."""

_log = logging.getLogger(__name__)

_SEND_S: Final = 10.0
"""Time-out for sending; far above the round trip of a slow link."""


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
