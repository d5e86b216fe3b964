"""Connection to a LiveKit server or a dTelecom node; can be abandoned at any moment."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from livekit import rtc

from appliance.config import Config
from appliance.core.commands import JoinRoom
from appliance.core.events import ConnectionDetails, Failure
from appliance.ports import MicrophoneFeed, Playback, Post
from appliance.process.background import Spawn
from appliance.process.logs import redacted
from appliance.room.failures import NO_NODE, NOT_IN_TIME, TOKEN_EXPIRED, connect_failure
from appliance.room.ffi import connect_once

CONNECT_S: Final = 5.0
"""Time-out for the SDK's attempt; a slow mobile network takes about 2 s."""
JOIN_S: Final = 15.0
"""Time-out for joining, which first waits for an abandoned attempt to end."""
DISCONNECT_S: Final = 1.0
"""Time-out for disconnecting; with unpublishing less than `adapter.CLOSE_S`."""
SPARE_S: Final = 0.5
"""Longer than a relay needs to answer: the SDK gives up and hangs up after its time.
With five nodes that is less than `JOIN_S`."""
LOOK_S: Final = 0.25
"""Interval at which a session compares what it has posted with what is now; our choice:
nobody notices the delay."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Objects shared by all sessions."""

    post: Post
    feed: MicrophoneFeed
    playback: Playback
    spawn: Spawn
    pending: dict[asyncio.Task[Any], str]
    """Unfinished connection attempts, and their URLs."""
    config: Config
    failed_nodes: dict[str, float] = field(default_factory=dict)
    """Nodes of dTelecom that accepted a session and let it join no room, with the time
    of their latest failure, until a session has joined on another one."""


def connection(
    command: JoinRoom, context: SessionContext, lose: Callable[[Failure], None]
) -> "LiveKitConnection | NodeConnection":
    """Return the connection for a session, which creates its room.

    `lose` is called if a joined room cannot be resumed, before the SDK gives up.
    """
    if command.details.is_dtelecom:
        return NodeConnection(command, context, lose)
    return LiveKitConnection(context)


class LiveKitConnection:
    """Connection of one `rtc.Room`, used once.

    The SDK cannot abort connecting: cancelled in Python, it goes on natively, and once
    connected it ends the process because its events have no receiver. So an attempt
    always runs to its end, and an abandoned one is disconnected then.
    """

    def __init__(self, context: SessionContext) -> None:
        """Create the room; nothing is sent yet."""
        connect_once()
        self.room = rtc.Room()
        self._spawn = context.spawn
        self._pending = context.pending
        self._connecting: asyncio.Task[Failure | None] | None = None
        self._is_abandoned = False

    async def open(
        self, details: ConnectionDetails, options: rtc.RoomOptions
    ) -> Failure | None:
        """Connect, and return why it failed; may be cancelled."""
        try:
            async with asyncio.timeout(JOIN_S):
                # Abandoned attempts with this server have our identity: it would keep
                # the last to arrive and end ours.
                url, pending = details.url, self._pending
                if earlier := {task for task, to in pending.items() if to == url}:
                    await asyncio.wait(earlier)
                connecting = self._spawn(self._connect(details, options))
                self._connecting = connecting
                pending[connecting] = url
                connecting.add_done_callback(pending.pop)
                return await asyncio.shield(connecting)
        except TimeoutError:
            return NOT_IN_TIME

    async def close(self) -> None:
        """Disconnect within `DISCONNECT_S`, or later if still connecting."""
        self._is_abandoned = True
        if self._connecting is not None and self._connecting.done():
            await self._disconnect()

    async def _connect(
        self, details: ConnectionDetails, options: rtc.RoomOptions
    ) -> Failure | None:
        try:
            await self.room.connect(details.url, details.token, options)
        except rtc.ConnectError as exc:
            _log.debug("not connected  answer=%r", redacted(exc.message))
            return connect_failure(exc.message)
        if self._is_abandoned:
            await self._disconnect()
        return None

    async def _disconnect(self) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_S):
                await self.room.disconnect()
        except TimeoutError:
            _log.warning(
                "server did not confirm the disconnect  after_s=%s", DISCONNECT_S
            )


class NodeConnection:
    """Connection to a node of dTelecom, used once, through a relay in this process.

    dTelecom's servers are made from LiveKit 1.4: text streams are lost there, data are
    not encrypted, and a track must not be published twice.
    """

    def __init__(
        self,
        command: JoinRoom,
        context: SessionContext,
        lose: Callable[[Failure], None],
    ) -> None:
        """Create the room; nothing is sent yet."""
        # Imported only for such rooms.
        from appliance.dtelecom.relay import Relay

        self._connection = LiveKitConnection(context)
        self._failed = context.failed_nodes
        urls = sorted(
            (command.details.url, *command.details.fallback_urls),
            key=lambda url: self._failed.get(url, 0.0),
        )
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
        if found is None:
            self._failed.clear()
        elif (node := self._relay.session_node) is not None:
            # The next sessions try it last.
            self._failed[node] = time.monotonic()
        return NO_NODE if found is not None and self._relay.is_away else found

    async def close(self) -> None:
        """Disconnect; an attempt that is still running fails at once."""
        await self._connection.close()
        await self._relay.close()
