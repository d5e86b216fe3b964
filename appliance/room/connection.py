"""A connection to a server that can be given up at any moment."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from livekit import rtc

from appliance.process.redaction import redacted
from appliance.room.failures import NOT_IN_TIME, Failure, connect_failure

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Run something that may outlive the visit; its failure ends the process."""

CONNECT_S = 5.0
"""For each of the SDK's attempts; a slow mobile link needs about two."""
JOIN_S = 15.0
"""For all of them; after that, a fresh token and name lookup are the better bet."""
DISCONNECT_S = 1.0
"""With what else there is to say, below the 2 s in which a goodbye has to be over."""

_log = logging.getLogger(__name__)


Pending = dict[asyncio.Task[Any], str]
"""What is still connecting, and where to."""


class RoomConnection:
    """A `Room` that is used once.

    The SDK cannot give up connecting: cancelled in Python, it goes on natively, and
    once connected it ends the process because nobody listens. So connecting is always
    seen through, and what nobody wants any more is disconnected then.
    """

    def __init__(self, spawn: Spawn, pending: Pending) -> None:
        """Make the room; nothing is sent yet.

        Args:
            spawn: runs what has to be seen through.
            pending: shared by all connections of the box.
        """
        self.room = rtc.Room()
        self._spawn = spawn
        self._pending = pending
        self._connecting: asyncio.Task[Failure | None] | None = None
        self._is_given_up = False

    async def open(
        self, url: str, token: str, options: rtc.RoomOptions
    ) -> Failure | None:
        """Connect; may be cancelled."""
        try:
            async with asyncio.timeout(JOIN_S):
                await self._earlier_are_done(url)
                connecting = self._spawn(self._connect(url, token, options))
                self._connecting = connecting
                self._pending[connecting] = url
                connecting.add_done_callback(self._pending.pop)
                return await asyncio.shield(connecting)
        except TimeoutError:
            return NOT_IN_TIME

    async def close(self) -> None:
        """Disconnect, now or as soon as it is possible; within `DISCONNECT_S`."""
        self._is_given_up = True
        if self._connecting is not None and self._connecting.done():
            await self._disconnect()

    async def _earlier_are_done(self, url: str) -> None:
        """Wait for connections to the same server that nobody wants any more.

        With our identity, the server would take the later one for us and end the other.
        """
        earlier = {task for task, to in self._pending.items() if to == url}
        if earlier:
            await asyncio.wait(earlier)

    async def _connect(
        self, url: str, token: str, options: rtc.RoomOptions
    ) -> Failure | None:
        try:
            await self.room.connect(url, token, options)
        except rtc.ConnectError as error:
            _log.debug("not connected  answer=%r", redacted(error.message))
            return connect_failure(error.message)
        if self._is_given_up:
            await self._disconnect()
        return None

    async def _disconnect(self) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_S):
                await self.room.disconnect()
        except TimeoutError:
            _log.warning("server did not say goodbye  after_s=%s", DISCONNECT_S)
