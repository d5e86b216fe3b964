"""Adapter for LiveKit rooms: implements `ports.Room`, one session at a time.

It also filters the SDK's log lines: no secrets, and a limited rate.
"""

import gc
import logging
from functools import cache
from pathlib import PurePath
from typing import Final, Self, assert_never

from appliance.config import Config
from appliance.core import commands
from appliance.core.events import ChatFailed, RoomLeft
from appliance.core.session import room_settings
from appliance.ports import MicrophoneFeed, Playback, Post
from appliance.process.background import Background
from appliance.process.logs import LogLimit, redacted
from appliance.room.connection import SessionContext
from appliance.room.session import Session

CLOSE_S: Final = 2.0
"""Leaving takes at most 1.5 s; after SIGTERM the process has 3 s to end."""
_NATIVE: Final = "%s:%s:%s - %s"
"""The format of lines that the SDK passes on from the native library."""
_CALLBACK_FAILED: Final = "error running user callback"
"""The SDK logs the whole event after this, chat and tokens included."""


class LiveKitRoom:
    """Client of LiveKit rooms: one `Session` for each ticket."""

    def __init__(
        self, config: Config, post: Post, feed: MicrophoneFeed, playback: Playback
    ) -> None:
        """Start without a session; `JoinRoom` begins the first one."""
        self._background = Background()
        spawn = self._background.start
        self._context = SessionContext(post, feed, playback, spawn, config)
        self.session: Session | None = None
        """The latest one, which may be over."""

    async def __aenter__(self) -> Self:
        """Open; the room itself is only joined by command."""
        limit_log()
        await self._background.open()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Leave the room, if the core has not done so; within `CLOSE_S`."""
        if self.session is not None:
            self.session.leave()
        # A connection attempt is abandoned, because it cannot be stopped.
        await self._background.wait(CLOSE_S)
        await self._background.close(*failure)

    def do(self, command: commands.RoomCommand) -> None:
        """Start the command and return at once; the result is an event.

        Thread: the loop's.
        """
        session = self._current(command.ticket)
        match command:
            case commands.JoinRoom():
                self._join(command)
            case commands.LeaveRoom() if session:
                session.leave()
            case commands.LeaveRoom():
                self._context.post(RoomLeft(command.ticket))
            case commands.SendChat() if session:
                session.chat.send(command)
            case commands.SendChat():
                reason = "the box is not in the room"
                self._context.post(ChatFailed(command.ticket, command.id, reason))
            case commands.UnmuteTrack():
                if session:
                    session.own.unmute()
            case commands.MuteAgent() | commands.TakeTurn():
                if session:
                    session.agent.do(command)
            case _:
                assert_never(command)

    def _join(self, command: commands.JoinRoom) -> None:
        if self.session is not None:
            self.session.leave()
            self.session = None
            # Python itself collects cycles so rarely here that each session, whose
            # objects refer to each other, would hold 0.5 MB for days.
            gc.collect()
        room = room_settings(self._context.config, command.preset)
        self.session = Session(command, room.encryption_key_file, self._context)

    def _current(self, ticket: int) -> Session | None:
        """Return the session with this ticket, unless it is over."""
        session = self.session
        is_current = session and session.ticket == ticket and not session.is_over
        return session if is_current else None


@cache
def limit_log() -> None:
    """Install the filter; calling it again changes nothing."""
    for logger in (logging.getLogger("livekit"), logging.getLogger()):
        logger.addFilter(_SdkFilter())


class _SdkFilter(logging.Filter):
    """Rewrites records that come from the SDK, whichever logger it used."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = LogLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        if PurePath(record.pathname).parts[-3:-1] != ("livekit", "rtc"):
            return True
        message = str(record.msg)
        if message.startswith(_CALLBACK_FAILED):
            record.msg, record.args = _CALLBACK_FAILED, ()
        # Everything that matters in native lines is reported as an event as well. Lines
        # at INFO are about streams on other topics: agents send several a second.
        if message == _NATIVE or record.levelno < logging.WARNING:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        if not logging.getLogger(record.name).isEnabledFor(record.levelno):
            return False
        record.msg, record.args = redacted(record.getMessage()), ()
        if record.levelno < logging.INFO:
            return True
        # The line of code is the kind.
        left_out = self._limit.admitted((record.pathname, record.lineno))
        if left_out:
            record.msg = f"{record.msg}  left_out={left_out}"
        return left_out is not None
