"""Session in a room, from joining to leaving."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final

from livekit import rtc

from appliance.core.commands import JoinRoom
from appliance.core.events import (
    Event,
    Failure,
    RoomFailed,
    RoomJoined,
    RoomLeft,
    RoomLost,
    RoomPaused,
    RoomResumed,
)
from appliance.room import stats
from appliance.room.agent import RoomAgent
from appliance.room.chat_channel import ChatChannel
from appliance.room.chat_format import PACKET_BYTES
from appliance.room.connection import CONNECT_S, LOOK_S, SessionContext, connection
from appliance.room.encryption import encryption
from appliance.room.failures import disconnect_failure
from appliance.room.participants import Participants
from appliance.room.publisher import OwnTrack
from appliance.room.subscriber import Subscriber

REASON_S: Final = 1.0
"""Time-out for the reason of a disconnect after an error; it follows within 0.1 s."""

_log = logging.getLogger(__name__)


class Session:
    """One stay in a room: starts when created, ends by itself or by `leave`.

    Its end is posted as one event. Events of the SDK, except data packets, are handled
    by the loop: the SDK ignores an exception in a callback, the loop does not.
    """

    def __init__(
        self, command: JoinRoom, key_file: str | None, context: SessionContext
    ) -> None:
        """Start joining; `key_file` is of the room that the command names."""
        self.ticket = ticket = command.ticket
        self._key_file = key_file
        self._context = context
        self._is_leaving = False
        self._pause = asyncio.Event()
        """Set while the connection is interrupted."""
        self._is_reconnected = False
        """Whether the library made a new connection in this interruption."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """Tasks that are cancelled when the session ends."""
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[Failure] = self._loop.create_future()
        self._connection = connection(command, context, self._lose)
        self.room = room = self._connection.room
        """The room of the SDK."""
        self._subscriber = subscriber = Subscriber(
            context.playback,
            has_key=key_file is not None,
            is_announcer=context.config.sound.speaker == "none",
        )
        in_session = replace(context, spawn=self._spawn, post=self._post)
        self.agent = RoomAgent(command, room, in_session, subscriber)
        self._people = Participants(ticket, room, self._post, subscriber)
        recorder, is_paused = self.agent.recorder, self._pause.is_set
        self.own = OwnTrack(command, room, in_session, recorder, is_paused)
        self.chat = ChatChannel(command, room, in_session)
        self._listen()
        self._staying = context.spawn(self._stay(command))
        self._over = context.spawn(self._finish())

    @property
    def is_over(self) -> bool:
        """Whether everything is closed and the last event is posted."""
        return self._over.done()

    def leave(self) -> None:
        """Leave, in whatever state; leaving twice is allowed."""
        self._is_leaving = True
        self._staying.cancel()

    async def _finish(self) -> None:
        """Wait for the end, close everything, and post how it ended."""
        try:
            await asyncio.wait({self._staying})
        finally:
            await self._close()
        if self._is_leaving:
            _log.info("left  ticket=%d", self.ticket)
            self._context.post(RoomLeft(self.ticket))
        elif not self._staying.cancelled():
            self._context.post(self._staying.result())

    async def _stay(self, command: JoinRoom) -> RoomFailed | RoomLost:
        """Join, and return why that failed or how the room was lost."""
        ticket = self.ticket
        if (found := await self._join(command)) is not None:
            _log.info("not joined  cause=%s reason=%r", found.cause, found.reason)
            return RoomFailed(ticket, found)
        _log.info("joined  ticket=%d", ticket)
        self._post(
            RoomJoined(ticket, self.room.name, self._people.now(), self.own.now())
        )
        self._spawn(self._follow())
        self._spawn(self._subscriber.follow(self.room, self._pause.is_set))
        audio = stats.follow(ticket, self.room, self._post, self.own)
        for watch in (audio, self.own.follow()):
            self._spawn(self._lose_after(watch))
        found = await self._lost
        _log.info("room lost  cause=%s reason=%r", found.cause, found.reason)
        return RoomLost(ticket, found)

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
        publishing = self._spawn(self.own.publish())
        # The library does not end publishing when the room is lost.
        either: tuple[asyncio.Future[Any], ...] = (publishing, self._lost)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if publishing.done() and publishing.result() is not None:
            # Perhaps because of a disconnect, which the SDK reports later.
            await asyncio.wait({self._lost}, timeout=REASON_S)
        return self._lost.result() if self._lost.done() else publishing.result()

    async def _follow(self) -> None:
        """Post changes of the others and of the agent, until cancelled."""
        # An agent may be in a state for a moment only.
        self.room.on("participant_attributes_changed", self._later(self._look))
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self, *_: object) -> None:
        """Post what has changed, but not during an interruption.

        For a new connection, the SDK first removes everybody from its list. Who is
        still in the room is back before the connection is complete.
        """
        if not self._pause.is_set():
            self._people.look()
            self.agent.look()

    async def _lose_after(self, watch: Coroutine[Any, Any, Failure]) -> None:
        """Lose the room for the reason that the watch returns."""
        self._lose(await watch)

    async def _close(self) -> None:
        """Close everything, in the order the native library needs."""
        self.own.stop()
        self._subscriber.close_all()
        for task in self._tasks:
            task.cancel()
        if self.room.isconnected() and not self._pause.is_set():
            await self.own.unpublish()
        await self._connection.close()
        self.own.close()

    def _post(self, event: Event) -> None:
        """Post an event, unless the session is over."""
        if not self._staying.done():
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
        # Its arguments: the track, the publication, the participant.
        on("track_unsubscribed", self._later(lambda *x: subscriber.close(x[1].sid)))
        on("active_speakers_changed", self._later(subscriber.active_speakers_changed))
        on("e2ee_state_changed", self._later(subscriber.decryption.state_changed))
        on("data_received", self.chat.received)
        on("reconnecting", self._later(self._paused))
        on("reconnected", self._later(self._resumed))
        on("disconnected", lambda reason: self._lose(disconnect_failure(reason)))

    def _later(self, handler: Callable[..., None]) -> Callable[..., object]:
        """Return a callback after which the loop calls the handler."""

        def handle(*arguments: object) -> None:
            if not self._staying.done():
                handler(*arguments)

        return partial(self._loop.call_soon, handle)

    def _lose(self, failure: Failure) -> None:
        """End the session for this reason; later reasons are ignored."""
        if not self._lost.done():
            self._lost.set_result(failure)

    def _paused(self) -> None:
        self._pause.set()
        _log.warning("connection interrupted, resuming  ticket=%d", self.ticket)
        self._post(RoomPaused(self.ticket))

    def _reconnected(self, *_: object) -> None:
        self._is_reconnected = True

    def _resumed(self) -> None:
        self._pause.clear()
        # Without a track there is no sign of a new connection: assume one.
        is_new = self._is_reconnected or not self.own.has_publication
        self._is_reconnected = False
        _log.info("connection resumed  ticket=%d new=%s", self.ticket, is_new)
        self._subscriber.want_all(self.room)
        self._post(RoomResumed(self.ticket, is_new=is_new))
