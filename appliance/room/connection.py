"""Connection to a LiveKit server that can be abandoned at any moment."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from livekit import rtc

from appliance.config import Config
from appliance.core.commands import JoinRoom
from appliance.core.events import ConnectionDetails, Failure
from appliance.ports import MicrophoneFeed, Playback, Post
from appliance.process.background import Spawn
from appliance.process.redaction import redacted
from appliance.room.failures import NOT_IN_TIME, connect_failure
from appliance.room.ffi import connect_once

if TYPE_CHECKING:
    from appliance.room.dtelecom import NodeConnection

CONNECT_S: Final = 5.0
"""Time-out for the SDK's attempt; a slow mobile network takes about 2 s."""
JOIN_S: Final = 15.0
"""Time-out for joining, which first waits for an abandoned attempt to end."""
DISCONNECT_S: Final = 1.0
"""Time-out for disconnecting; with unpublishing less than `adapter.CLOSE_S`."""

_log = logging.getLogger(__name__)

Pending = dict[asyncio.Task[Any], str]
"""Unfinished connection attempts of the process, and their URLs."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Objects shared by all sessions."""

    post: Post
    feed: MicrophoneFeed
    playback: Playback
    spawn: Spawn
    pending: Pending
    config: Config


def connection(
    command: JoinRoom, context: SessionContext, lose: Callable[[Failure], None]
) -> "LiveKitConnection | NodeConnection":
    """Return the connection for a session, which creates its room.

    `lose` is called if a joined room cannot be resumed, before the SDK gives up.
    """
    if command.details.is_dtelecom:
        from appliance.room.dtelecom import NodeConnection

        return NodeConnection(command, context, lose)
    return LiveKitConnection(context.spawn, context.pending)


class LiveKitConnection:
    """Connection of one `rtc.Room`, used once.

    The SDK cannot abort connecting: cancelled in Python, it goes on natively, and once
    connected it ends the process because its events have no receiver. So an attempt
    always runs to its end, and an abandoned one is disconnected then.
    """

    def __init__(self, spawn: Spawn, pending: Pending) -> None:
        """Create the room; nothing is sent yet."""
        connect_once()
        self.room = rtc.Room()
        self._spawn = spawn
        self._pending = pending
        self._connecting: asyncio.Task[Failure | None] | None = None
        self._is_abandoned = False

    async def open(
        self, details: ConnectionDetails, options: rtc.RoomOptions
    ) -> Failure | None:
        """Connect, and return why it failed; may be cancelled."""
        try:
            async with asyncio.timeout(JOIN_S):
                await self._wait_for_earlier(details.url)
                connecting = self._spawn(self._connect(details, options))
                self._connecting = connecting
                self._pending[connecting] = details.url
                connecting.add_done_callback(self._pending.pop)
                return await asyncio.shield(connecting)
        except TimeoutError:
            return NOT_IN_TIME

    async def close(self) -> None:
        """Disconnect within `DISCONNECT_S`, or later if still connecting."""
        self._is_abandoned = True
        if self._connecting is not None and self._connecting.done():
            await self._disconnect()

    async def _wait_for_earlier(self, url: str) -> None:
        """Wait for abandoned attempts to connect to the same server.

        They have our identity: the server would keep the last to arrive and end ours.
        """
        earlier = {task for task, to in self._pending.items() if to == url}
        if earlier:
            await asyncio.wait(earlier)

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
