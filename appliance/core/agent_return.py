"""Return of an expected voice agent that is missing: leave the room, and join it again.

LiveKit sends agents only into a room that begins, and a room ends some time after its
last participant has left. So a box that is alone without its agent leaves, without any
sound, after 1, 2, 4, 8, 10, 10 ... minutes, and joins again. A talk, a press of the
talk button or a typed line postpones this by `PAUSE_S` and ends the longer waits. After
a session without any of these, in which the agent has left, it waits for one of them.
"""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import reconnect, session
from appliance.core.state import Goal, State, Step

FIRST_S: Final = 60.0
"""First wait in the room; our choice: a worker that restarts needs less."""
CLOSED_S: Final = 25.0
"""LiveKit keeps a room for 20 s by default after the last participant has left."""
PAUSE_S: Final = 5.0
"""Our choice: who has something to add has begun by then."""


def update(before: State, after: State, now_s: float) -> State:
    """Return the state with the time at which the box leaves to fetch the agent."""
    if not after.is_in_room:
        return after
    conversation = after.conversation
    is_use = _is_use(before, after)
    is_used = conversation.is_used or is_use
    at_s, returns = conversation.return_at_s, after.agent_returns
    if not is_missing(after):
        at_s, returns = inf, 0
    elif is_use:
        at_s = max(now_s + PAUSE_S, after.joined_at_s + FIRST_S)
        returns = min(returns, 1)
    elif not is_missing(before):
        is_wanted = conversation.is_awaited or is_used
        # Many boxes may wait for the agents of one server.
        wait_s = reconnect.minutes_wait_s(returns + 1) * (0.9 + 0.2 * after.jitter)
        at_s = now_s + wait_s if is_wanted else inf
    changed = replace(conversation, return_at_s=at_s, is_used=is_used)
    if (changed, returns) == (conversation, after.agent_returns):
        return after
    return replace(after, conversation=changed, agent_returns=returns)


def due_s(state: State) -> float:
    """Return when `tick` has something to do; infinity: never."""
    return state.conversation.return_at_s if state.is_connected else inf


def tick(state: State, now_s: float) -> Step:
    """Leave the room for a while, if it is time and nobody talks."""
    if now_s < due_s(state):
        return state, ()
    if _is_talking(state):
        later = replace(state.conversation, return_at_s=now_s + PAUSE_S)
        return replace(state, conversation=later), ()
    state, commands = session.end(state, Goal.REJOIN, now_s)
    return replace(
        state,
        agent_returns=state.agent_returns + 1,
        rejoin_at_s=now_s + session.LEAVE_S + CLOSED_S,
    ), commands


def is_missing(state: State) -> bool:
    """Return whether an agent is expected, and neither it nor anybody else is there."""
    conversation = state.conversation
    has_others = conversation.agent is not None or state.people
    return state.is_in_room and conversation.is_expected and not has_others


def is_returning(state: State) -> bool:
    """Return whether the box is between leaving and joining for this reason."""
    is_out = not state.is_in_room and state.cause is None
    return is_out and state.agent_returns > 0


def _is_use(before: State, after: State) -> bool:
    """Return whether somebody talks, or has just pressed, even in vain, or typed."""
    is_pressed = after.talk.is_button_down and not before.talk.is_button_down
    is_typed = len(after.chat.queued) > len(before.chat.queued)
    return _is_talking(before) or is_pressed or is_typed


def _is_talking(state: State) -> bool:
    """Return whether somebody talks; in `open` mode the talk has no end."""
    return state.talk.is_on and (state.levels.is_voice or not state.is_open_mode)
