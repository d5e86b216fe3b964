"""Rooms of dTelecom: the connection to a node, and what its servers send besides.

LiveKit's SDK connects through a relay in this process. dTelecom's servers are made from
LiveKit 1.4: text streams are lost there, data are not encrypted, and a track must not
be published twice. Imported only for such rooms.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec
from livekit import rtc

from appliance.core.commands import JoinRoom
from appliance.core.events import (
    Cause,
    ChatMessage,
    ChatReceived,
    ConnectionDetails,
    Failure,
)
from appliance.dtelecom.relay import Relay
from appliance.net.rate_limit import Buckets
from appliance.process.logs import LogLimit
from appliance.room.chat_format import PACKET_BYTES, read_line, received_line
from appliance.room.connection import LiveKitConnection, SessionContext
from appliance.room.participants import ChatSender, sender, short_id
from appliance.room.text_streams import MESSAGES

CAPTION_TOPIC: Final = "lk-transcription-topic"
NO_NODE: Final = Failure(
    Cause.SERVER_LOST,
    "no node of dTelecom can be reached; the token source may name another one when it "
    "is asked again",
)
SPARE_S: Final = 0.5
"""Longer than the relay needs to answer: the SDK gives up and hangs up after its time.
With five nodes that is less than `connection.JOIN_S`."""
TOKEN_EXPIRED: Final = Failure(
    Cause.SERVER_LOST,
    "the node does not accept this session's token any more; joining again",
)

_log = logging.getLogger(__name__)


class NodeConnection:
    """Connection to a node, used once; takes the place of `LiveKitConnection`."""

    def __init__(
        self,
        command: JoinRoom,
        context: SessionContext,
        lose: Callable[[Failure], None],
    ) -> None:
        """Create the room; nothing is sent yet."""
        self._connection = LiveKitConnection(context.spawn, context.pending)
        urls = (command.details.url, *command.details.fallback_urls)
        self._relay = Relay(urls, refused=partial(lose, TOKEN_EXPIRED))
        self._ticket = command.ticket
        self._post = context.post
        self._log_limit = LogLimit()
        self._rate = Buckets(MESSAGES)
        self.room = self._connection.room
        self.room.on("data_received", self._received)

    async def open(
        self, details: ConnectionDetails, options: rtc.RoomOptions
    ) -> Failure | None:
        """Connect, and return why it failed; may be cancelled."""
        await self._relay.open()
        options = replace(
            options,
            connect_timeout=self._relay.longest_answer_s + SPARE_S,
            single_peer_connection=False,
            # The newer way of encryption would lose every data packet.
            encryption=None,
            e2ee=options.encryption,
        )
        details = replace(details, url=self._relay.url)
        found = await self._connection.open(details, options)
        return NO_NODE if found is not None and self._relay.is_away else found

    async def close(self) -> None:
        """Disconnect; an attempt that is still running fails at once."""
        await self._connection.close()
        await self._relay.close()

    def _received(self, packet: rtc.DataPacket) -> None:
        """Post a caption as a line of chat."""
        if packet.topic != CAPTION_TOPIC:
            return
        identity = packet.participant.identity if packet.participant else ""
        now_ms = time.time_ns() // 1_000_000
        if self._rate.may(identity, time.monotonic()):
            line = read_caption(packet.data, sender(self.room, identity), now_ms)
            if line is not None:
                self._post(ChatReceived(self._ticket, line))
                return
        message = "caption dropped  from=%s"
        self._log_limit.log(_log, logging.WARNING, message, short_id(identity))


class _Caption(msgspec.Struct):
    transcription: str
    timestamp: float | None = None


_CAPTION: Final = msgspec.json.Decoder(_Caption)


def read_caption(payload: bytes, sender: ChatSender, now_ms: int) -> ChatMessage | None:
    """Return a caption as a line of chat, within the limits of chat; None: it is none.

    `now_ms` replaces a missing time, in ms since the epoch.

    Source: dTelecom's components-core 0.6: `{timestamp, transcription, language}`, each
    a complete sentence.
    """
    if len(payload) > PACKET_BYTES:
        return None
    try:
        found = _CAPTION.decode(payload)
    except (ValueError, RecursionError):
        return None
    line = received_line(None, found.transcription, found.timestamp, sender)
    message = read_line(line, sender, now_ms)
    return message if isinstance(message, ChatMessage) else None
