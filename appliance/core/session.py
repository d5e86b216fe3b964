"""Session in a room: fetch a token, join, leave, and move to another room."""

from dataclasses import replace
from typing import Final, assert_never

from appliance.config import Config, Preset, RoomConfig
from appliance.core.commands import DropToken, FetchToken, JoinRoom, LeaveRoom
from appliance.core.events import Permissions, RoomJoined, RoomResumed, TokenReady
from appliance.core.state import Conversation, Goal, Phase, RoomChange, State, Step
from appliance.net.url import is_local

FETCH_S: Final = 20.0
"""Time-out for a token; the adapter itself gives up after 10 s."""
JOIN_S: Final = 25.0
"""Time-out for joining; the adapter itself gives up after 15 s."""
RESUME_S: Final = 30.0
"""Time that LiveKit has to resume a session before a new one is started."""
LEAVE_S: Final = 2.5
"""Time-out for leaving: the whole shutdown must not take longer than 3 s."""
STABLE_S: Final = 10.0
"""So long in the room without an interruption resets the back-off; a shorter session
lengthens the next wait."""
AGENT_ENDS_S: Final = 4.0
"""Wait before the same room is joined again after leaving it and a voice agent, or one
where an agent is expected: the agent's session has ended, but the agent stays until the
room ends. With the setting `departureTimeout: 1` that takes up to 3 s, and the next
agent is a new one."""
EVICTION_RESET_S: Final = 3600.0
"""A session this long, interruptions included, resets the back-off after evictions. It
is twice the longest wait, so that two clients with one identity replace each other ever
more rarely."""

AT_SERVER: Final = frozenset({Phase.JOINING, Phase.IN_ROOM, Phase.PAUSED})
IN_SESSION: Final = frozenset({Phase.FETCHING, *AT_SERVER})


def start(state: State, now_s: float) -> Step:
    """Begin a new session with a new token, but not before the left room has ended."""
    if now_s < (ended_at_s := left_room_ends_s(state)):
        state = replace(state, retry_at_s=ended_at_s)
        return entered(state, Phase.WAITING, now_s), ()
    ticket = state.ticket + 1
    state = replace(entered(state, Phase.FETCHING, now_s), ticket=ticket)
    return state, (FetchToken(ticket, state.preset, state.display_name),)


def end(state: State, goal: Goal, now_s: float) -> Step:
    """End the session, if there is one; `goal` says what comes next."""
    if state.phase is Phase.LEAVING:
        # Stopping is final.
        return replace(state, goal=Goal.STOP if state.goal is Goal.STOP else goal), ()
    if state.phase in AT_SERVER:
        state = entered(with_agent_left(state, now_s), Phase.LEAVING, now_s)
        return replace(state, goal=goal), (LeaveRoom(state.ticket),)
    dropped = (DropToken(state.ticket),) if state.phase is Phase.FETCHING else ()
    state, commands = after_end(replace(state, goal=goal), now_s)
    return state, (*dropped, *commands)


def after_end(state: State, now_s: float) -> Step:
    """Continue with the goal after the session has ended."""
    match state.goal:
        case Goal.REJOIN:
            return start(state, now_s)
        case Goal.STAY_OUT:
            state = replace(state, change=None, failed_change=None)
            return entered(failures_cleared(state), Phase.LEFT, now_s), ()
        case Goal.WAIT:
            return entered(state, Phase.WAITING, now_s), ()
        case Goal.STOP:
            return entered(state, Phase.STOPPED, now_s), ()
        case _:
            assert_never(state.goal)


def join(
    state: State, preset: str | None, display_name: str | None, now_s: float
) -> Step:
    """Join a room; change nothing if its session is already running or beginning.

    `preset` None is the room of the section `room`, `display_name` None the old name.
    """
    if preset not in _presets(state):
        return state, ()
    before = (state.preset, state.display_name)
    if preset != state.preset:
        state = with_agent_left(state, now_s)
    state = _with_target(state, preset, display_name, now_s)
    is_same = (state.preset, state.display_name) == before
    # Before `Started` no token can be fetched: the first session will use the target.
    if (is_same and state.phase in IN_SESSION) or state.phase is Phase.STARTING:
        return state, ()
    return end(failures_cleared(state), Goal.REJOIN, now_s)


def next_room(state: State, now_s: float) -> Step:
    """Move to the next preset, and from the last one to the room of section `room`."""
    names = _presets(state)
    if len(names) == 1:
        return state, ()
    following = names[(names.index(state.preset) + 1) % len(names)]
    return join(state, following, None, now_s)


def token_ready(state: State, event: TokenReady, now_s: float) -> Step:
    """Join the room with the new token."""
    if state.phase is not Phase.FETCHING:
        return state, ()
    details = event.details
    settings = room_settings(state.config, state.preset)
    is_wanted = details.expects_agent or settings.expect_agent
    # No agent comes into a room of dTelecom, and nothing could be kept for it there.
    is_expected = is_wanted and not details.is_dtelecom
    state = replace(
        entered(state, Phase.JOINING, now_s),
        identity=details.identity,
        is_server_local=is_local(details.url),
        conversation=Conversation(is_expected=is_expected, is_awaited=is_expected),
    )
    details = replace(details, expects_agent=is_expected)
    return state, (JoinRoom(event.ticket, details, state.preset),)


def joined(state: State, event: RoomJoined, now_s: float) -> State:
    """Enter the room."""
    if state.phase is not Phase.JOINING:
        return state
    return replace(
        entered(state, Phase.IN_ROOM, now_s),
        joined_at_s=now_s,
        cause=None,
        reason="",
        change=None,
        room=event.room,
        people=event.people,
        chat=state.chat.named(event.people),
        permissions=event.permissions,
    )


def paused(state: State, now_s: float) -> State:
    """Wait for LiveKit to resume; repeated reports do not prolong the wait."""
    if state.phase is not Phase.IN_ROOM:
        return state
    return entered(with_backoff_reset(state, now_s), Phase.PAUSED, now_s)


def resumed(state: State, event: RoomResumed, now_s: float) -> State:
    """Enter the room again after an interruption."""
    if state.phase is not Phase.PAUSED:
        return state
    chat = state.chat.cut(state.since_s) if event.is_new else state.chat
    return entered(replace(state, chat=chat), Phase.IN_ROOM, now_s)


def with_backoff_reset(state: State, now_s: float) -> State:
    """Return the state with failures reset, if the session was long enough."""
    if state.phase is not Phase.IN_ROOM:
        return state
    failures = 0 if now_s - state.since_s >= STABLE_S else state.failures
    is_reset = now_s - state.joined_at_s >= EVICTION_RESET_S
    evictions = 0 if is_reset else state.evictions
    return replace(state, failures=failures, evictions=evictions)


def entered(state: State, phase: Phase, now_s: float) -> State:
    """Return the state in another phase; outside a room, participants are cleared."""
    state = replace(state, phase=phase, since_s=now_s)
    if state.is_in_room:
        return state
    return replace(
        state,
        people=(),
        rtt_s=None,
        permissions=Permissions(),
        conversation=Conversation(),
    )


def _presets(state: State) -> tuple[str | None, ...]:
    """Return all configured rooms; None is that of the section `room`."""
    return (None, *(preset.name for preset in state.config.room.presets))


def room_settings(config: Config, preset: str | None) -> RoomConfig | Preset:
    """Return the settings of a preset; None is the room of the section `room`."""
    named = (one for one in config.room.presets if one.name == preset)
    return next(named, config.room)


def _with_target(
    state: State, preset: str | None, display_name: str | None, now_s: float
) -> State:
    """Return the state with the requested room and name."""
    is_same_room = preset == state.preset
    return replace(
        state,
        preset=preset,
        change=_change(state, now_s, is_same_room=is_same_room),
        failed_change=None,
        display_name=display_name or state.display_name,
        room=state.room if is_same_room else "",
        conversation=state.conversation if is_same_room else Conversation(),
    )


def with_agent_left(state: State, now_s: float) -> State:
    """Return the state with the earliest time to join this room again.

    No agent comes into the room before it has ended, even if the expected one has left
    earlier. After an outage the agent's session goes on.
    """
    conversation = state.conversation
    has_agent = conversation.is_expected or conversation.agent is not None
    # With people in it the room does not end.
    if not (state.is_connected and has_agent and state.has_only_programs):
        return state
    return replace(state, left_preset=state.preset, rejoin_at_s=now_s + AGENT_ENDS_S)


def left_room_ends_s(state: State) -> float:
    """Return when the chosen room has ended, if it was left with its agent; else 0."""
    return state.rejoin_at_s if state.preset == state.left_preset else 0.0


def _change(state: State, now_s: float, *, is_same_room: bool) -> RoomChange | None:
    """Return the change to another room; None if there is no room to go back to."""
    if state.change is not None:
        return RoomChange(state.change.back_to, now_s)
    if is_same_room or state.is_left or not state.room:
        return None
    return RoomChange(state.preset, now_s)


def failures_cleared(state: State) -> State:
    """Return the state without failures: a person's request resets the back-off."""
    return replace(
        state, failures=0, evictions=0, agent_returns=0, cause=None, reason=""
    )


def room_name(preset: str | None) -> str:
    """Return the name of a configured room."""
    return "first room" if preset is None else preset
