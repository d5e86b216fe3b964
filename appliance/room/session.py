"""Session in a room, from joining to leaving."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Final

from livekit import rtc

from appliance.core import events
from appliance.core.commands import JoinRoom
from appliance.core.events import (
    Event,
    Failure,
    Participant,
    Permissions,
    VoiceAgent,
)
from appliance.process.logs import LogLimit
from appliance.room import stats
from appliance.room.agent import RoomAgent
from appliance.room.chat_channel import ChatChannel
from appliance.room.chat_format import PACKET_BYTES
from appliance.room.connection import (
    CONNECT_S,
    LOOK_S,
    NOT_PUBLISHED,
    OLD_PERMISSIONS,
    SessionContext,
    connection,
    disconnect_failure,
)
from appliance.room.encryption import encryption
from appliance.room.participants import participants
from appliance.room.publisher import OwnTrack
from appliance.room.subscriber import Subscriber

REASON_S: Final = 1.0
"""Time-out for the reason of a disconnect after an error; it follows within 0.1 s."""

LEFT_S: Final = 0.5
"""So long somebody who left stays listed: for a new connection, the SDK removes
everybody up to 0.35 s before it reports an interruption."""

_log = logging.getLogger(__name__)


class Session:
    """One stay in a room: starts when created, ends by itself or by `leave`.

    Its end is posted as one event, the last one. Most events of the SDK are handled by
    the loop, because the SDK ignores an exception in a callback.
    """

    def __init__(
        self, command: JoinRoom, key_file: str | None, context: SessionContext
    ) -> None:
        """Start joining; `key_file` is of the room that the command names."""
        self.ticket = command.ticket
        self._key_file = key_file
        self._context = context
        self._pause = asyncio.Event()
        """Set while the connection is interrupted."""
        self._is_reconnected = False
        """Whether the library made a new connection in this interruption."""
        self._left_s = inf
        """Time at which somebody was found to have left; infinity: nobody."""
        self._people: tuple[Participant, ...] = ()
        self._agent: VoiceAgent | None = None
        self._permissions = Permissions()
        """The last ones that were posted, as the two before."""
        self._token_permissions = b""
        self._log_limit = LogLimit()
        self._tasks: set[asyncio.Task[Any]] = set()
        """Cancelled when the session ends."""
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Failure | None] = self._loop.create_future()
        """Why the room could not be joined or was lost; None: it was left."""
        self._connection = connection(command, context, self._finish)
        self.room = room = self._connection.room
        """The room of the SDK."""
        self._subscriber = subscriber = Subscriber(
            context.playback,
            has_key=key_file is not None,
            is_announcer=context.config.sound.speaker == "none",
        )
        in_session = replace(context, spawn=self._spawn, post=self._post)
        self.agent = RoomAgent(command, room, in_session, subscriber)
        recorder, is_paused = self.agent.recorder, self._pause.is_set
        self.own = OwnTrack(command, room, in_session, recorder, is_paused)
        self.chat = ChatChannel(command, room, in_session)
        self._listen()
        self._running = context.spawn(self._run(command))

    @property
    def is_over(self) -> bool:
        """Whether everything is closed and the last event is posted."""
        return self._running.done()

    def leave(self) -> None:
        """Leave, in whatever state; leaving twice is allowed."""
        self._finish(None)

    async def _run(self, command: JoinRoom) -> None:
        """Join, stay until the end, close everything, and post how it ended."""
        try:
            has_joined = await self._has_joined(command)
            if has_joined:
                self._begin()
            found = await self._end
        finally:
            await self._close()
        if found is None:
            _log.info("left  ticket=%d", self.ticket)
            self._context.post(events.RoomLeft(self.ticket))
            return
        message = "room lost" if has_joined else "not joined"
        _log.info("%s  cause=%s reason=%r", message, found.cause, found.reason)
        ended = events.RoomLost if has_joined else events.RoomFailed
        self._context.post(ended(self.ticket, found))

    async def _has_joined(self, command: JoinRoom) -> bool:
        """Join, and return whether that succeeded before the end of the session."""
        joining = self._spawn(self._join(command))
        either: tuple[asyncio.Future[Any], ...] = (joining, self._end)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        found = joining.result() if joining.done() else None
        if found is NOT_PUBLISHED:
            # Perhaps because of a disconnect, which the SDK reports later.
            await asyncio.wait({self._end}, timeout=REASON_S)
        if found is not None:
            self._finish(found)
        return not self._end.done()

    def _begin(self) -> None:
        """Post that the room is joined, and later what changes there."""
        ticket, room = self.ticket, self.room
        _log.info("joined  ticket=%d", ticket)
        self._people = participants(room, self._subscriber)
        self._permissions = self.own.permissions()
        self._token_permissions = room.local_participant.permissions.SerializeToString()
        self._post(
            events.RoomJoined(ticket, room.name, self._people, self._permissions)
        )
        if self._pause.is_set():
            self._post(events.RoomPaused(ticket))
        # An agent may be in a state for a moment only.
        room.on("participant_attributes_changed", self._later(self._look))
        self._spawn(self._follow())
        self._spawn(self._subscriber.follow(room, self._pause.is_set))
        audio = stats.follow(ticket, room, self._post, self.own, self._subscriber)
        for watch in (audio, self.own.follow()):
            self._spawn(self._finish_after(watch))

    async def _join(self, command: JoinRoom) -> Failure | None:
        key = None if self._key_file is None else encryption(self._key_file)
        if isinstance(key, Failure):
            return key
        options = rtc.RoomOptions(
            auto_subscribe=False,
            connect_timeout=CONNECT_S,
            encryption=key,
            data_stream=rtc.DataStreamOptions(max_payload_byte_length=PACKET_BYTES),
        )
        found = await self._connection.open(command.details, options)
        if found is not None:
            return found
        self._subscriber.want_all(self.room)
        return await self.own.publish()

    async def _follow(self) -> None:
        """Post what changes, until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self, *_: object) -> None:
        """Post what has changed, but not during an interruption, nor just before it."""
        if self._pause.is_set():
            return
        self._post_permissions()
        if any(x.id not in self.room.remote_participants for x in self._people):
            self._left_s = min(self._left_s, self._loop.time())
            if self._loop.time() - self._left_s < LEFT_S:
                return
        self._left_s = inf
        people, agent = participants(self.room, self._subscriber), self.agent.look()
        if people != self._people:
            self._people = people
            self._post(events.PeopleChanged(self.ticket, people))
        if agent != self._agent:
            self._agent = agent
            self._post(events.AgentChanged(self.ticket, agent))

    def _post_permissions(self) -> None:
        permissions = self.own.permissions()
        if permissions != self._permissions and not self.own.is_republishing:
            self._permissions = permissions
            message = "permissions changed  now=%s"
            self._log_limit.log(_log, logging.INFO, message, permissions)
            self._post(events.PermissionsChanged(self.ticket, permissions))

    async def _finish_after(self, watch: Coroutine[Any, Any, Failure]) -> None:
        """End the session for the reason that the watch returns."""
        self._finish(await watch)

    def _finish(self, reason: Failure | None) -> None:
        """End the session; later reasons are ignored."""
        if not self._end.done():
            self._end.set_result(reason)

    async def _close(self) -> None:
        """Close everything, in the order the native library needs."""
        self.own.stop()
        self._subscriber.close_all()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self.room.isconnected() and not self._pause.is_set():
            await self.own.unpublish()
        await self._connection.close()
        self.own.close()

    def _post(self, event: Event) -> None:
        """Post an event, unless the session has ended."""
        if not self._end.done():
            self._context.post(event)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._context.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _listen(self) -> None:
        on, subscriber = self.room.on, self._subscriber
        on("participant_permissions_changed", self.own.permissions_changed)
        on("local_track_republished", self._later(self._reconnected))
        for event in ("track_published", "track_unpublished"):
            on(event, self._later(lambda _, other: subscriber.want(other)))
        on("track_subscribed", self._later(subscriber.open))
        on("track_unsubscribed", self._later(lambda _, x, __: subscriber.close(x.sid)))
        on("active_speakers_changed", self._later(subscriber.active_speakers_changed))
        on("e2ee_state_changed", self._later(subscriber.decryption.state_changed))
        on("data_received", self.chat.received)
        on("reconnecting", self._later(self._paused))
        on("reconnected", self._later(self._resumed))
        on("disconnected", lambda reason: self._finish(disconnect_failure(reason)))

    def _later(self, handler: Callable[..., None]) -> Callable[..., object]:
        """Return a callback that has the loop call the handler."""

        def handle(*arguments: object) -> None:
            if not self._end.done():
                handler(*arguments)

        return partial(self._loop.call_soon, handle)

    def _paused(self) -> None:
        self._pause.set()
        _log.warning("connection interrupted, resuming  ticket=%d", self.ticket)
        self._post(events.RoomPaused(self.ticket))

    def _reconnected(self, *_: object) -> None:
        self._is_reconnected = True

    def _resumed(self) -> None:
        self._pause.clear()
        # Without a track there is no sign of a new connection: assume one.
        is_new = self._is_reconnected or not self.own.has_publication
        self.own.resumed()
        self._is_reconnected = False
        _log.info("connection resumed  ticket=%d new=%s", self.ticket, is_new)
        self._subscriber.want_all(self.room)
        known = self.room.local_participant.permissions.SerializeToString()
        if is_new and self._token_permissions not in {b"", known}:
            # The server has gone back to those of the token, and the SDK has not.
            self._finish(OLD_PERMISSIONS)
        self._post(events.RoomResumed(self.ticket, is_new=is_new))
