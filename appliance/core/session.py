"""Session in a room: fetch a token, join, leave, and move to another room."""

from dataclasses import replace
from typing import Final, assert_never

from appliance.config import Config, Preset, RoomConfig
from appliance.core.chat import ChatLog
from appliance.core.commands import FetchToken, JoinRoom, LeaveRoom
from appliance.core.events import Permissions, RoomJoined, RoomResumed, TokenReady
from appliance.core.state import EVICTIONS, Conversation, Goal, Phase, State, Step
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
"""So long in the room without an interruption resets the back-off."""
AGENT_ENDS_S: Final = 4.0
"""Wait before a room with a voice agent is joined again: until the room ends (3 s with
`departureTimeout: 1`), the agent stays and hears nobody."""
EVICTION_RESET_S: Final = 1800.0
"""A session this long resets the back-off after evictions: longer than the longest
wait, so that two clients with one identity keep it long."""

AT_SERVER: Final = frozenset({Phase.JOINING, Phase.IN_ROOM, Phase.PAUSED})
IN_SESSION: Final = frozenset({Phase.FETCHING, *AT_SERVER})


def start(state: State, now_s: float) -> Step:
    """Begin a new session with a new token, but not before the left room has ended."""
    if state.preset == state.left_preset and now_s < state.rejoin_at_s:
        state = replace(state, retry_at_s=state.rejoin_at_s)
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
        conversation = state.conversation
        has_agent = conversation.is_expected or conversation.agent is not None
        # With people in it the room does not end.
        if state.is_connected and has_agent and state.has_only_programs:
            # After an outage the agent's session goes on.
            state = replace(
                state,
                left_preset=state.joined_preset,
                rejoin_at_s=now_s + AGENT_ENDS_S,
            )
        state = replace(entered(state, Phase.LEAVING, now_s), goal=goal)
        return state, (LeaveRoom(state.ticket),)
    return after_end(replace(state, goal=goal), now_s)


def after_end(state: State, now_s: float) -> Step:
    """Continue with the goal after the session has ended."""
    match state.goal:
        case Goal.REJOIN:
            return start(state, now_s)
        case Goal.STAY_OUT:
            state = replace(failures_cleared(state), failed_room=None)
            return entered(state, Phase.LEFT, now_s), ()
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
    # Nobody wants to go back to a room that was left on request, or never joined.
    has_last = state.joined_at_s > 0.0 and not state.is_left
    state = replace(
        state,
        preset=preset,
        joined_preset=state.joined_preset if has_last else preset,
        failed_room=None,
        display_name=display_name or state.display_name,
        room=state.room if preset == state.preset else "",
    )
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
        joined_preset=state.preset,
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
    before, state = state, replace(state, phase=phase, since_s=now_s)
    if state.is_in_room:
        return state
    return replace(
        state,
        chat=_chat_after(before, now_s),
        people=(),
        rtt_s=None,
        permissions=Permissions(),
        conversation=Conversation(),
    )


def _chat_after(state: State, now_s: float) -> ChatLog:
    """Return the chat outside of a room, with the lines that an outage may lose."""
    is_lost = state.cause not in {None, *EVICTIONS} or not state.is_connected
    if not (state.is_in_room and is_lost):
        return state.chat
    return state.chat.cut(state.since_s if state.phase is Phase.PAUSED else now_s)


def _presets(state: State) -> tuple[str | None, ...]:
    """Return all configured rooms; None is that of the section `room`."""
    return (None, *(preset.name for preset in state.config.room.presets))


def room_settings(config: Config, preset: str | None) -> RoomConfig | Preset:
    """Return the settings of a preset; None is the room of the section `room`."""
    named = (one for one in config.room.presets if one.name == preset)
    return next(named, config.room)


def failures_cleared(state: State) -> State:
    """Return the state without failures: a person's request resets the back-off."""
    return replace(
        state, failures=0, evictions=0, agent_returns=0, cause=None, reason=""
    )
