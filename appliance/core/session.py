"""When to fetch a token, join and leave, and where to go next."""

from dataclasses import replace
from typing import assert_never

from appliance.core.commands import (
    Command,
    DropToken,
    FetchToken,
    JoinRoom,
    LeaveRoom,
)
from appliance.core.events import JoinAsked, Permissions, RoomJoined, TokenReady
from appliance.core.state import Goal, Phase, State
from appliance.net.url import is_local

Step = tuple[State, tuple[Command, ...]]

FETCH_S = 20.0
"""Longest wait for a token; the adapter itself gives up after 10 s."""
JOIN_S = 25.0
"""Longest wait for the server; the adapter itself gives up after 15 s."""
RESUME_S = 30.0
"""R8.1: LiveKit may try this long to resume a session, then we start afresh."""
LEAVE_S = 2.5
"""Longest goodbye: R1.4 allows 3 s for the whole stop."""
STEADY_S = 10.0
"""A visit this long counts as a success; a shorter one lengthens the next wait."""
PEACE_S = 3600.0
"""A visit this long ends a fight over our identity: twice the longest wait of the
other box, so that two boxes that take turns go on getting slower."""

AT_SERVER = frozenset({Phase.JOINING, Phase.IN_ROOM, Phase.PAUSED})
ON_VISIT = frozenset({Phase.FETCHING, *AT_SERVER})


def start(state: State, now_s: float) -> Step:
    """Begin a new visit with a token of its own."""
    ticket = state.ticket + 1
    state = replace(entered(state, Phase.FETCHING, now_s), ticket=ticket)
    return state, (FetchToken(ticket, state.preset, state.display_name),)


def leave(state: State, goal: Goal, now_s: float) -> Step:
    """End whatever visit there is; `goal` says what comes after."""
    if state.phase is Phase.LEAVING:
        return replace(state, goal=_stronger(state.goal, goal)), ()
    if state.phase in AT_SERVER:
        state = replace(entered(state, Phase.LEAVING, now_s), goal=goal)
        return state, (LeaveRoom(state.ticket),)
    dropped = (DropToken(state.ticket),) if state.phase is Phase.FETCHING else ()
    state, commands = after_goodbye(replace(state, goal=goal), now_s)
    return state, (*dropped, *commands)


def after_goodbye(state: State, now_s: float) -> Step:
    """Do what the goodbye was for."""
    match state.goal:
        case Goal.REJOIN:
            return start(state, now_s)
        case Goal.STAY_OUT:
            return entered(_forgotten(state), Phase.LEFT, now_s), ()
        case Goal.STOP:
            return entered(state, Phase.STOPPED, now_s), ()
        case _:
            assert_never(state.goal)


def press_leave(state: State, now_s: float) -> Step:
    """Leave and stay out; when out or on the way out, come back."""
    if is_out(state):
        return join(state, JoinAsked(state.preset), now_s)
    return leave(state, Goal.STAY_OUT, now_s)


def is_out(state: State) -> bool:
    """Whether a press on the leave button means: come back."""
    if state.phase is Phase.LEAVING:
        return state.goal is Goal.STAY_OUT
    return state.phase in {Phase.LEFT, Phase.REFUSED}


def join(state: State, event: JoinAsked, now_s: float) -> Step:
    """Join, or move to another preset or name; a box that is there already stays."""
    if event.preset not in _presets(state):
        return state, ()
    here = (state.preset, state.display_name)
    state = _moved(state, event)
    is_there = state.phase in ON_VISIT and (state.preset, state.display_name) == here
    # Before `Started` nobody is there to fetch a token; the wish is kept.
    if is_there or state.phase is Phase.STARTING:
        return state, ()
    return leave(_forgotten(state), Goal.REJOIN, now_s)


def next_room(state: State, now_s: float) -> Step:
    """Move on to the next preset, after the last one back to the room itself."""
    names = _presets(state)
    if len(names) == 1:
        return state, ()
    following = names[(names.index(state.preset) + 1) % len(names)]
    return join(state, JoinAsked(following), now_s)


def token_ready(state: State, event: TokenReady, now_s: float) -> Step:
    """Go to the server with the fresh token."""
    if state.phase is not Phase.FETCHING:
        return state, ()
    state = replace(
        entered(state, Phase.JOINING, now_s),
        identity=event.identity,
        is_server_local=is_local(event.url),
    )
    return state, (JoinRoom(event.ticket, event.url, event.token, state.preset),)


def joined(state: State, event: RoomJoined, now_s: float) -> State:
    """Be in the room."""
    if state.phase is not Phase.JOINING:
        return state
    state = replace(entered(state, Phase.IN_ROOM, now_s), cause=None, reason="")
    return replace(
        state,
        room=event.room,
        people=event.people,
        permissions=event.permissions,
    )


def paused(state: State, now_s: float) -> State:
    """Wait for LiveKit to resume; its later attempts do not prolong the wait."""
    if state.phase is not Phase.IN_ROOM:
        return state
    return entered(steadied(state, now_s), Phase.PAUSED, now_s)


def resumed(state: State, now_s: float) -> State:
    """Be in the room again."""
    if state.phase is not Phase.PAUSED:
        return state
    return entered(state, Phase.IN_ROOM, now_s)


def steadied(state: State, now_s: float) -> State:
    """Return the state without the failures that a long visit has made good."""
    if state.phase is not Phase.IN_ROOM:
        return state
    stay_s = now_s - state.since_s
    failures = 0 if stay_s >= STEADY_S else state.failures
    replacements = 0 if stay_s >= PEACE_S else state.replacements
    return replace(state, failures=failures, replacements=replacements)


def entered(state: State, phase: Phase, now_s: float) -> State:
    """Return the state in another phase; who was there is forgotten outside a room."""
    state = replace(state, phase=phase, since_s=now_s)
    if phase in {Phase.IN_ROOM, Phase.PAUSED}:
        return state
    return replace(state, people=(), rtt_s=None, permissions=Permissions())


def _presets(state: State) -> tuple[str | None, ...]:
    """Return every room the box knows; None is the one of the section `room`."""
    return (None, *(preset.name for preset in state.config.room.presets))


def _moved(state: State, event: JoinAsked) -> State:
    """Return the state with the wanted room and name."""
    is_same_room = event.preset == state.preset
    return replace(
        state,
        preset=event.preset,
        display_name=event.display_name or state.display_name,
        room=state.room if is_same_room else "",
    )


def _forgotten(state: State) -> State:
    """Return the state without its history of failures: a person wants a clean try."""
    return replace(state, failures=0, replacements=0, cause=None, reason="")


def _stronger(one: Goal, other: Goal) -> Goal:
    """Return what to do of two wishes: stopping is final, else the newer one."""
    return one if one is Goal.STOP else other
