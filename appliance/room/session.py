"""Session in a room, from joining to leaving."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final, NoReturn

from livekit import rtc

from appliance.core.commands import JoinRoom
from appliance.core.events import (
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
from appliance.room.connection import CONNECT_S, SessionContext, connection
from appliance.room.encryption import encryption
from appliance.room.failures import NOT_PUBLISHED, disconnect_failure
from appliance.room.participants import Participants
from appliance.room.publisher import OwnTrack
from appliance.room.subscriber import Subscriber

LEFT_S: Final = 0.5
"""Our choice: so long somebody who left is still listed. The SDK reports that everybody
has left just before it reports that it makes a new connection."""
REASON_S: Final = 1.0
"""Time-out for the reason of a disconnect after an error; it follows within 0.1 s."""

_log = logging.getLogger(__name__)


class Session:
    """One stay in a room: starts when created, ends by itself or by `leave`.

    Its end is posted as one event. Events of the SDK, except data packets, are queued
    and handled by one task: the SDK ignores an exception in a callback, but a failed
    task ends the process.
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
        self._is_paused = self._pause.is_set
        self._paused_s = 0.0
        self._is_reconnected = False
        """Whether the library made a new connection in this interruption."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """Tasks that are cancelled when the session ends."""
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Callable[[], Failure | None]] = asyncio.Queue()
        self._lost: asyncio.Future[Failure] = self._loop.create_future()
        self._connection = connection(command, context, self._lose)
        self.room = room = self._connection.room
        """The room of the SDK."""
        self._subscriber = Subscriber(
            context.playback,
            self._fail,
            has_key=key_file is not None,
            is_announcer=context.config.sound.speaker == "none",
        )
        in_session = replace(context, spawn=self._spawn)
        heard = self._subscriber, self._is_paused
        self.agent = RoomAgent(command, room, in_session, *heard)
        self._people = Participants(ticket, room, context.post, *heard)
        recorder = self.agent.recorder
        self.own = OwnTrack(command, room, context, recorder, self._is_paused)
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
            found = await self._cause(found)
            _log.info("not joined  cause=%s reason=%r", found.cause, found.reason)
            return RoomFailed(ticket, found)
        _log.info("joined  ticket=%d", ticket)
        state = (self.room.name, self._people.now(), self.own.now())
        self._context.post(RoomJoined(ticket, *state))
        self.agent.joined()
        found = await self._cause(await self._handle_events())
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
        return await self._publish()

    async def _publish(self) -> Failure | None:
        """Publish our track, unless the room is lost meanwhile."""
        publishing = asyncio.ensure_future(self.own.publish())
        either: tuple[asyncio.Future[Any], ...] = (publishing, self._lost)
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            publishing.cancel()
            await asyncio.wait({publishing})
        return self._lost.result() if self._lost.done() else publishing.result()

    async def _cause(self, found: Failure) -> Failure:
        """Return the failure, or that of a disconnect, which the SDK reports later."""
        if found is NOT_PUBLISHED:
            await asyncio.wait({self._lost}, timeout=REASON_S)
        return self._lost.result() if self._lost.done() else found

    async def _handle_events(self) -> Failure:
        """Handle the room's events until the room is lost, and return why."""
        self._spawn(stats.measure(self.ticket, self.room, self._context.post))
        self._spawn(self._people.follow())
        room, subscriber, is_paused = self.room, self._subscriber, self._is_paused
        self._spawn(subscriber.follow(room, is_paused))
        receiving = stats.nothing_received(room, subscriber, is_paused)
        self._spawn(self._lose_after(receiving))
        sending = stats.nothing_sent(room, self.own, is_paused)
        self._spawn(self._lose_after(sending))
        self._spawn(self.own.follow(self._later(lambda failure: failure)))
        while True:
            handler = await self._events.get()
            if (failure := handler()) is not None:
                return failure

    async def _lose_after(self, watch: Coroutine[Any, Any, Failure]) -> None:
        """Lose the room for the reason that the watch returns."""
        self._lose(await watch)

    async def _close(self) -> None:
        """Close everything, in the order the native library needs."""
        self.own.stop()
        self._subscriber.close_all()
        self.chat.close()
        self.agent.close()
        for task in self._tasks:
            task.cancel()
        if self.room.isconnected() and not self._is_paused():
            await self.own.unpublish()
        await self._connection.close()
        self.own.close()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run the work as a task until the session ends."""
        task = self._context.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _listen(self) -> None:
        on = self.room.on
        for event in (
            "participant_connected",
            "participant_name_changed",
            "track_muted",
            "track_unmuted",
            "local_track_unpublished",
        ):
            on(event, self._later(self._people_changed))
        on("participant_disconnected", self._left)
        on("participant_permissions_changed", self._permissions_changed)
        on("local_track_republished", self._later(self._reconnected))
        on("track_published", self._later(self._tracks_changed))
        on("track_unpublished", self._later(self._tracks_changed))
        on("track_subscribed", self._later(self._subscriber.open))
        # Its arguments: the track, the publication, the participant.
        on(
            "track_unsubscribed",
            self._later(lambda *x: self._subscriber.close(x[1].sid)),
        )
        on("active_speakers_changed", self._later(self._people.active_speakers_changed))
        on("e2ee_state_changed", self._later(self._subscriber.decryption.state_changed))
        on("data_received", self.chat.received)
        on("reconnecting", self._later(self._paused))
        on("reconnected", self._later(self._resumed))
        on("disconnected", lambda reason: self._lose(disconnect_failure(reason)))

    def _later(self, handler: Callable[..., Failure | None]) -> Callable[..., None]:
        """Return a callback that has the handler called by `_handle_events`."""

        def queue(*arguments: object) -> None:
            self._events.put_nowait(partial(handler, *arguments))

        return queue

    def _lose(self, failure: Failure) -> None:
        """End the session for this reason; later reasons are ignored."""
        if not self._lost.done():
            self._lost.set_result(failure)
            self._events.put_nowait(lambda: failure)

    def _left(self, *_: object) -> None:
        """List the others and find the agent, unless a pause begins meanwhile."""
        self._loop.call_later(LEFT_S, self._later(self._look))

    def _look(self) -> None:
        self._people.changed(is_settled=True)
        self.agent.look(is_settled=True)

    def _permissions_changed(self, *_: object) -> None:
        """Mark our track as changed now, and handle the change in order."""
        self.own.changed()
        self._later(self._people_changed)()

    def _people_changed(self, *_: object) -> None:
        self._people.changed()
        # These events concern our own track as well.
        self.own.changed()

    def _tracks_changed(
        self, _: rtc.RemoteTrackPublication, other: rtc.RemoteParticipant
    ) -> None:
        self._subscriber.want(other)
        self._people.changed()

    def _paused(self) -> None:
        if not self._is_paused():
            self._paused_s = time.monotonic()
        self._pause.set()
        _log.warning("connection interrupted, resuming  ticket=%d", self.ticket)
        self._context.post(RoomPaused(self.ticket))

    def _reconnected(self, *_: object) -> None:
        self._is_reconnected = True

    def _resumed(self) -> None:
        self._pause.clear()
        # Without a track there is no sign of a new connection: assume one.
        is_new = (
            self._is_reconnected
            or not self.own.has_publication
            or self._people.are_listed_anew
        )
        is_republished, self._is_reconnected = self._is_reconnected, False
        _log.info("connection resumed  ticket=%d new=%s", self.ticket, is_new)
        self._subscriber.want_all(self.room)
        self._people.resume()
        self.own.resume(is_republished=is_republished)
        self._context.post(RoomResumed(self.ticket, is_new=is_new))
        # After the core, whose part is scheduled by posting: it takes back what was
        # said, or ends a turn, if that was to be done during the interruption.
        self._loop.call_soon(partial(self.agent.resume, self._paused_s, is_new=is_new))

    def _fail(self, exc: BaseException) -> None:
        """Let `_handle_events` raise the exception.

        Thread: the library's.
        """
        self._loop.call_soon_threadsafe(self._later(_raise), exc)


def _raise(exc: BaseException) -> NoReturn:
    raise exc
