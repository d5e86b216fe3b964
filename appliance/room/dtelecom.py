"""Rooms of dTelecom: the connection to a node.

LiveKit's SDK connects through a relay in this process. dTelecom's servers are made from
LiveKit 1.4: text streams are lost there, data are not encrypted, and a track must not
be published twice. Imported only for such rooms.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from livekit import rtc

from appliance.core.commands import JoinRoom
from appliance.core.events import Cause, ConnectionDetails, Failure
from appliance.dtelecom.relay import Relay
from appliance.room.connection import LiveKitConnection, SessionContext

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
        self.room = self._connection.room

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
