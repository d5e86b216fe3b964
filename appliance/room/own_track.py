"""The box's own track after joining: permissions, mutes by a moderator, publication."""

import asyncio
import logging
from collections.abc import Callable

from livekit import rtc

from appliance.core.events import Permissions, PermissionsChanged
from appliance.ports import Post
from appliance.process.log_limit import LogLimit
from appliance.room.failures import Failure
from appliance.room.publisher import Publisher

AGAIN_S = 1.0
"""Pause after publishing again: a server that takes the track away each time is asked
once a second."""

_log = logging.getLogger(__name__)


class OwnTrack:
    """Publishes the track whenever the room allows it, and posts what it allows."""

    def __init__(
        self, ticket: int, room: rtc.Room, publisher: Publisher, post: Post
    ) -> None:
        """Do nothing yet.

        Args:
            ticket: number of the visit.
            room: not connected yet.
            publisher: the track.
            post: takes `PermissionsChanged`.
        """
        self._ticket = ticket
        self._room = room
        self._publisher = publisher
        self._post = post
        self._changed = asyncio.Event()
        self._posted = Permissions()
        self._log_limit = LogLimit()
        self._is_dropped = False
        """The server has dropped the track since it was last published."""

    async def publish(self) -> Failure | None:
        """Publish the track at joining, if the room allows it."""
        if may_publish(self._room):
            return await self._publisher.publish(self._room)
        _log.warning("the token does not allow publishing the microphone")
        return None

    def now(self) -> Permissions:
        """Return what is allowed; posted is only what changes later."""
        allowed = self._room.local_participant.permissions
        is_published = self._is_published
        self._posted = Permissions(
            may_publish=is_published and may_publish(self._room),
            may_subscribe=allowed.can_subscribe,
            may_send_data=allowed.can_publish_data,
            is_muted=self._publisher.is_muted,
        )
        return self._posted

    def look(self) -> None:
        """Look again: something may have changed.

        To be called at once: a permission that is taken away and given back in the
        same moment has the server drop the track as well.
        """
        if not may_publish(self._room):
            self._is_dropped = True
        self._changed.set()

    def unmute(self) -> None:
        """Undo a moderator's mute."""
        self._publisher.unmute()

    async def follow(self, give_up: Callable[[Failure], None]) -> None:
        """Follow every change, until cancelled.

        Args:
            give_up: told why the track cannot be published any more.
        """
        while True:
            self._tell()
            if (failure := await self._adapt()) is not None:
                give_up(failure)
                return
            await self._changed.wait()
            self._changed.clear()

    async def _adapt(self) -> Failure | None:
        """Publish or withdraw the track as the permission demands."""
        if not may_publish(self._room):
            await self._publisher.withdraw(self._room)
            return None
        if self._is_published:
            return None
        self._is_dropped = False
        await self._publisher.withdraw(self._room)
        failure = await self._publisher.publish(self._room)
        # A permission that was taken away meanwhile is the next change.
        if failure is not None and not self._is_dropped:
            return failure
        self._tell()
        await asyncio.sleep(AGAIN_S)
        return None

    @property
    def _is_published(self) -> bool:
        return self._publisher.is_published(self._room) and not self._is_dropped

    def _tell(self) -> None:
        before = self._posted
        if self.now() != before:
            message = "permissions changed  now=%s"
            self._log_limit.log(_log, logging.INFO, message, self._posted)
            self._post(PermissionsChanged(self._ticket, self._posted))


def may_publish(room: rtc.Room) -> bool:
    """Return whether the room takes the microphone's track."""
    allowed = room.local_participant.permissions
    sources = allowed.can_publish_sources
    return allowed.can_publish and (
        not sources or rtc.TrackSource.SOURCE_MICROPHONE in sources
    )
