"""Slot of the voice agent in a session: empty and without cost until one comes."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from livekit import rtc

from appliance.core.commands import JoinRoom, MuteAgent, TakeTurn, Turn
from appliance.room.connection import SessionContext
from appliance.room.participants import is_agent
from appliance.room.publisher import Send
from appliance.room.subscriber import Subscriber

if TYPE_CHECKING:
    from appliance.room.agent import RoomAgent
    from appliance.room.pre_connect_audio import PreConnectAudio


class AgentSlot:
    """Looks out for an agent, and passes the commands for it on."""

    def __init__(
        self,
        command: JoinRoom,
        room: rtc.Room,
        context: SessionContext,
        subscriber: Subscriber,
    ) -> None:
        """Listen to the room, which is not connected yet.

        Args:
            command: says whether an agent is expected. dTelecom's servers carry neither
                streams nor remote procedure calls: there are no turns, and nothing is
                kept for an expected agent.
            room: of the session.
            context: of the session.
            subscriber: plays the agent.
        """
        self._has_calls = not command.is_dtelecom
        is_kept = command.expects_agent and self._has_calls
        self._pre_connect = _pre_connect(room, context) if is_kept else None
        self._arguments = (
            command.ticket,
            room,
            context,
            subscriber,
            self._pre_connect,
        )
        self._room = room
        self._agent: RoomAgent | None = None
        self._has_joined = False
        self._loop = asyncio.get_running_loop()
        for event in (
            "participant_connected",
            "participant_disconnected",
            "participant_attributes_changed",
            "participant_name_changed",
            "local_track_published",
            "reconnected",
        ):
            room.on(event, self._changed)

    @property
    def recorder(self) -> Callable[[Send], Send] | None:
        """Adds the recorder for an expected agent to a sink; None: none is expected."""
        return self._pre_connect.recorded if self._pre_connect else None

    def joined(self) -> None:
        """Post the agent that is there, after `RoomJoined`, and every later change."""
        self._has_joined = True
        self._look()
        self._post_change()

    def do(self, command: MuteAgent | TakeTurn) -> None:
        """Carry out the command; a cancelled turn is not kept for an agent either."""
        match command:
            case MuteAgent(is_on=is_on):
                if self._agent is not None:
                    self._agent.mute(is_on=is_on)
            case TakeTurn(turn=turn):
                if turn is Turn.CANCEL and self._pre_connect is not None:
                    self._pre_connect.forget()
                if self._agent is not None and self._has_calls:
                    self._agent.take_turn(turn)
            case _:
                assert_never(command)

    def close(self) -> None:
        """Stop everything."""
        self._has_joined = False
        if self._agent is not None:
            self._agent.close()
        if self._pre_connect is not None:
            self._pre_connect.close()

    def _changed(self, *_: object) -> None:
        """Receive captions from now on; they may follow in the same moment."""
        self._look()
        # The SDK ignores an exception in a callback, the loop does not.
        self._loop.call_soon(self._post_change)

    def _look(self) -> None:
        others = self._room.remote_participants.values()
        if self._agent is None and any(map(is_agent, others)):
            from appliance.room.agent import RoomAgent

            self._agent = RoomAgent(*self._arguments)

    def _post_change(self) -> None:
        if self._agent is not None and self._has_joined:
            self._agent.changed()


def _pre_connect(room: rtc.Room, context: SessionContext) -> "PreConnectAudio":
    from appliance.room.pre_connect_audio import PreConnectAudio

    return PreConnectAudio(room, context.spawn)
