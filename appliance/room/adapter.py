"""The room on LiveKit: takes the core's commands, one visit at a time."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, assert_never

from appliance.config import Config, RoomSettings
from appliance.core.commands import (
    JoinRoom,
    LeaveRoom,
    RoomCommand,
    SendChat,
    UnmuteTrack,
)
from appliance.core.events import ChatFailed, RoomLeft
from appliance.ports import MicrophoneFeed, Playback, Post
from appliance.room import sdk_log
from appliance.room.context import RoomStyle, SessionContext
from appliance.room.session import Session

CLOSE_S = 2.0
"""A goodbye takes 1.5 s at the most; SIGTERM has to be done with after 3 s."""


class LiveKitRoom:
    """Joins, leaves and chats; a new `Session` for each ticket."""

    def __init__(
        self, config: Config, post: Post, feed: MicrophoneFeed, playback: Playback
    ) -> None:
        """Remember everything; nothing is opened.

        Args:
            config: its rooms and the way chat is written.
            post: takes the events.
            feed: gives the microphone.
            playback: takes what others say.
        """
        self._config = config
        self._context = SessionContext(post, feed, playback, self._spawn, pending={})
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[Any]] = set()
        self._visit: Session | None = None

    async def __aenter__(self) -> Self:
        """Open; the room itself is only joined by command."""
        sdk_log.limit_log()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the room, if the core has not done so; within `CLOSE_S`."""
        if self._visit is not None:
            self._visit.leave()
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_S)
        # A connection that is still being made cannot be ended, but the process can.
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def do(self, command: RoomCommand) -> None:
        """Start doing it and return at once; the answer is an event.

        Thread: the loop's.
        """
        match command:
            case JoinRoom():
                self._join(command)
            case LeaveRoom():
                self._leave(command)
            case UnmuteTrack():
                if visit := self._present(command.ticket):
                    visit.own.unmute()
            case SendChat():
                self._send(command)
            case _:
                assert_never(command)

    def _join(self, command: JoinRoom) -> None:
        if self._visit is not None:
            self._visit.leave()
        self._visit = Session(command, self._style(command.preset), self._context)

    def _leave(self, command: LeaveRoom) -> None:
        if visit := self._present(command.ticket):
            visit.leave()
        else:
            self._context.post(RoomLeft(command.ticket))

    def _send(self, command: SendChat) -> None:
        if visit := self._present(command.ticket):
            visit.send(command)
        else:
            reason = "the box is not in the room"
            self._context.post(ChatFailed(command.ticket, command.id, reason))

    def _present(self, ticket: int) -> Session | None:
        """Return the visit with this ticket, unless it is over."""
        visit = self._visit
        is_present = visit is not None and visit.ticket == ticket and not visit.is_over
        return visit if is_present else None

    def _style(self, preset: str | None) -> RoomStyle:
        return RoomStyle(
            encryption_key_file=self._room_config(preset).encryption_key_file,
            is_plain_chat=self._config.chat.format == "plain",
        )

    def _room_config(self, preset: str | None) -> RoomSettings:
        named = (x for x in self._config.room.presets if x.name == preset)
        return next(named, self._config.room)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
