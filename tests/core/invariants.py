"""Checker of the invariants of the core, at every step."""

from appliance.config import TalkMode
from appliance.core.chat import KEPT_LINES
from appliance.core.commands import (
    CloseGate,
    CloseSound,
    Command,
    Exit,
    FetchToken,
    JoinRoom,
    LeaveRoom,
    OpenGate,
    OpenSound,
    SendChat,
    UnmuteTrack,
)
from appliance.core.events import (
    ButtonPressed,
    ButtonReleased,
    Event,
    JoinAsked,
    LeaveAsked,
    LinkChanged,
    MuteAsked,
    Part,
    PartFound,
    PeopleChanged,
    PermissionsChanged,
    RoomFailed,
    RoomJoined,
    RoomLeft,
    RoomLost,
    RoomResumed,
    TailEnded,
    TalkAsked,
)
from appliance.core.session import LEAVE_S
from appliance.core.state import Lock, Phase, State
from appliance.core.view import ConnectionState, view

NEEDS_SOUND = {Phase.JOINING, Phase.IN_ROOM, Phase.PAUSED, Phase.LEAVING}
HAS_NO_SOUND = {Phase.STARTING, Phase.LEFT, Phase.REFUSED, Phase.STOPPED}
PAGE = (TalkAsked, MuteAsked, JoinAsked, LeaveAsked)
MAY_OPEN = (
    TalkAsked,
    RoomJoined,
    RoomResumed,
    PeopleChanged,
    PartFound,
    MuteAsked,
    ButtonPressed,
    LinkChanged,
)
BANNERS = {
    ConnectionState.CONNECTING: ("starting", "connecting"),
    ConnectionState.CONNECTED: ("in kitchen",),
    ConnectionState.RECONNECTING: ("reconnecting", "connecting: "),
    ConnectionState.DISCONNECTED: (
        "disconnected: ",
        "waiting for the agent, ",
        "leaving",
        "stopped",
    ),
    ConnectionState.LEFT: ("left, ",),
    ConnectionState.REFUSED: ("refused",),
}
"""Beginnings of the banner, whatever is missing."""
IN_OPEN_MODE = (ButtonReleased, PermissionsChanged)
"""In the other modes a talk that lost its permission does not resume by itself."""


class Watch:
    """Model of the adapters that follows the commands and checks each step."""

    def __init__(self) -> None:
        self.is_gate_open = False
        self.has_tail = False
        self.is_sound_open = False
        self.fetching: int | None = None
        self.joined: int | None = None
        self.leaving_s: float | None = None
        self.newest = 0
        self.has_exited = False

    def see(
        self,
        before: State,
        event: Event,
        after: State,
        commands: tuple[Command, ...],
        now_s: float,
    ) -> None:
        assert not (self.has_exited and commands)
        self._follow_event(event)
        for command in commands:
            assert not self.has_exited
            self._follow_command(command, after, now_s)
        self._check_gate(before, event, after)
        self._check_sound(after)
        self._check_view(after, now_s)
        assert len(after.chat.lines) <= KEPT_LINES
        assert len(after.lost) <= len(Part)
        assert self.has_exited == (after.phase is Phase.STOPPED)

    def _follow_event(self, event: Event) -> None:
        """Record tails and sessions that end without a command."""
        if isinstance(event, TailEnded):
            self.has_tail = False
        if isinstance(event, RoomFailed | RoomLost) and event.ticket == self.joined:
            self.joined = None
        is_answer = isinstance(event, RoomLeft) and event.ticket == self.joined
        if is_answer and self.leaving_s is not None:
            self.joined = None

    def _follow_command(self, command: Command, after: State, now_s: float) -> None:
        match command:
            case FetchToken(ticket=ticket):
                assert ticket == after.ticket == self.newest + 1
                self.newest = self.fetching = ticket
            case JoinRoom(ticket=ticket):
                assert ticket == self.fetching == after.ticket
                assert self.joined is None or self._has_left(now_s)
                self.fetching, self.joined, self.leaving_s = None, ticket, None
            case LeaveRoom(ticket=ticket):
                assert ticket == self.joined
                assert self.leaving_s is None
                assert not self.is_gate_open
                assert not self.has_tail
                self.leaving_s = now_s
            case UnmuteTrack(ticket=ticket):
                assert ticket == self.joined == after.ticket
                assert after.talk.is_open
            case SendChat(ticket=ticket):
                assert ticket == self.joined == after.ticket
                assert after.phase is Phase.IN_ROOM
            case Exit():
                assert not self.is_sound_open
                self.has_exited = True
            case _:
                self._follow_sound(command)

    def _follow_sound(self, command: Command) -> None:
        match command:
            case OpenGate():
                assert not self.is_gate_open
                self.is_gate_open = True
                self.has_tail = False
            case CloseGate(tail_ms=tail_ms):
                is_cut = self.has_tail and not tail_ms
                assert self.is_gate_open or is_cut
                self.is_gate_open = False
                self.has_tail = bool(tail_ms)
            case OpenSound():
                assert not self.is_sound_open
                self.is_sound_open = True
            case CloseSound():
                assert not self.is_gate_open
                self.is_sound_open = False
            case _:
                pass

    def _has_left(self, now_s: float) -> bool:
        return self.leaving_s is not None and now_s >= self.leaving_s + LEAVE_S

    def _check_gate(self, before: State, event: Event, after: State) -> None:
        assert self.is_gate_open == after.talk.is_open
        is_missing = any(lost.part is Part.MICROPHONE for lost in after.lost)
        if self.is_gate_open:
            assert after.phase in {Phase.IN_ROOM, Phase.PAUSED}
            assert after.talk.lock is Lock.NONE
            assert not is_missing
            assert not after.talk.is_muted_at_box
            assert not after.talk.is_muted_on_page
            assert after.permissions.may_publish
            assert not after.permissions.is_server_muted
            talks = after.conversation
            is_kept = talks.is_awaited or talks.agent is not None
            assert after.people or is_kept or after.config.talk.mode is TalkMode.OPEN
        if after.talk.is_open and not before.talk.is_open:
            is_open_mode = after.config.talk.mode is TalkMode.OPEN
            assert after.phase is Phase.IN_ROOM
            may_open = (*MAY_OPEN, *(IN_OPEN_MODE if is_open_mode else ()))
            assert isinstance(event, may_open)
        if self.has_tail:
            assert after.phase in {Phase.IN_ROOM, Phase.PAUSED}
            assert not after.talk.is_muted_at_box
            assert not after.talk.is_muted_on_page
        if before.talk.is_muted_at_box and isinstance(event, PAGE):
            assert after.talk.is_muted_at_box
        if after.talk.is_transmitting or self.is_gate_open:
            assert after.is_connected or after.phase is Phase.PAUSED
            assert not after.is_link_down

    def _check_sound(self, after: State) -> None:
        if after.phase in NEEDS_SOUND:
            assert self.is_sound_open
        if after.phase in HAS_NO_SOUND:
            assert not self.is_sound_open
        if after.phase in {Phase.LEFT, Phase.REFUSED}:
            named = {x.part for x in after.lost} | {x.part for x in after.noticed}
            assert not named & {Part.MICROPHONE, Part.SPEAKER}

    def _check_view(self, after: State, now_s: float) -> None:
        seen = view(after, now_s)
        assert seen.banner.startswith(BANNERS[seen.connection])
        assert seen.talk_text
        assert seen.lamps.talking <= self.is_session_live(after)
        assert not (seen.is_muted and self.is_gate_open)
        is_in_room = seen.connection is ConnectionState.CONNECTED
        assert is_in_room == seen.lamps.online == after.is_connected

    def is_session_live(self, after: State) -> bool:
        return after.phase is Phase.IN_ROOM and self.joined == after.ticket
