"""Our own track in the room: permissions, mutes by a moderator, publication."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from livekit import rtc

from appliance.core.events import Permissions, PermissionsChanged
from appliance.ports import Post
from appliance.process.logs import LogLimit
from appliance.room.failures import ONLY_ONCE, Failure
from appliance.room.publisher import Publisher

AGAIN_S: Final = 1.0
"""Pause after publishing again, in case the server drops the track each time."""

_log = logging.getLogger(__name__)


class OwnTrack:
    """Publishes the track whenever it is permitted, and posts changed permissions."""

    def __init__(
        self,
        ticket: int,
        room: rtc.Room,
        publisher: Publisher,
        post: Post,
        *,
        is_listener: bool = False,
    ) -> None:
        """Do nothing yet.

        Args:
            ticket: number of the session.
            room: not connected yet.
            publisher: the track.
            post: takes `PermissionsChanged`.
            is_listener: whether there is no microphone to publish.
        """
        self._is_listener = is_listener
        self._ticket = ticket
        self._room = room
        self._publisher = publisher
        self._post = post
        self._changed = asyncio.Event()
        self._posted = Permissions()
        self._log_limit = LogLimit()
        self._is_dropped = False
        """The server has dropped the track since it was last published."""
        self._is_republished = False
        """The SDK has published the track again, without a check of DTX."""

    async def publish(self) -> Failure | None:
        """Publish the track on joining, if permitted, and return why it failed."""
        if self._is_listener:
            return None
        if may_publish(self._room):
            return await self._publisher.publish(self._room)
        _log.warning("the token does not allow publishing the microphone")
        return None

    def now(self) -> Permissions:
        """Return the permissions; only later changes are posted."""
        allowed = self._room.local_participant.permissions
        is_published = self._is_published or self._is_listener
        self._posted = Permissions(
            may_publish=is_published and may_publish(self._room),
            may_subscribe=allowed.can_subscribe,
            may_send_data=allowed.can_publish_data,
            is_muted=self._publisher.is_muted,
        )
        return self._posted

    def changed(self) -> None:
        """Handle a possible change of permissions or mute.

        Call it from the SDK's callback itself, not later: the server drops the track
        even if a permission is revoked and granted again in the same moment.
        """
        if not may_publish(self._room):
            self._is_dropped = True
        self._changed.set()

    def republished(self) -> None:
        """Check DTX of the track, which the SDK has published again."""
        self._is_republished = True
        self._changed.set()

    def unmute(self) -> None:
        """Undo a moderator's mute."""
        self._publisher.unmute()

    async def follow(self, give_up: Callable[[Failure], None]) -> None:
        """Apply and post every change, until cancelled.

        Args:
            give_up: called with the reason if the track cannot be published again.
        """
        while True:
            self._post_change()
            if (failure := await self._adapt()) is not None:
                give_up(failure)
                return
            await self._changed.wait()
            self._changed.clear()

    async def _adapt(self) -> Failure | None:
        """Publish or withdraw the track as the permission demands."""
        if self._is_listener:
            return None
        if not may_publish(self._room):
            await self._publisher.withdraw(self._room)
            return None
        if self._is_published and await self._is_economical():
            return None
        if self._publisher.is_used_up:
            return ONLY_ONCE
        self._is_dropped = self._is_republished = False
        await self._publisher.withdraw(self._room)
        failure = await self._publisher.publish(self._room)
        # If the permission was revoked meanwhile, the next change handles it.
        if failure is not None and not self._is_dropped:
            return failure
        self._post_change()
        await asyncio.sleep(AGAIN_S)
        return None

    async def _is_economical(self) -> bool:
        """Return whether the track has DTX, if that is not known yet."""
        if not self._is_republished:
            return True
        self._is_republished = False
        return await self._publisher.has_dtx(self._room)

    @property
    def _is_published(self) -> bool:
        return self._publisher.is_published(self._room) and not self._is_dropped

    def _post_change(self) -> None:
        before = self._posted
        if self.now() != before:
            message = "permissions changed  now=%s"
            self._log_limit.log(_log, logging.INFO, message, self._posted)
            self._post(PermissionsChanged(self._ticket, self._posted))


def may_publish(room: rtc.Room) -> bool:
    """Return whether publishing the microphone's track is permitted."""
    allowed = room.local_participant.permissions
    sources = allowed.can_publish_sources
    return allowed.can_publish and (
        not sources or rtc.TrackSource.SOURCE_MICROPHONE in sources
    )
