"""Return of an expected voice agent that is missing: leave the room, and join it again.

LiveKit sends its agents only into a room that begins, and no other one if an agent ends
or if its worker started later than the box. A room ends some time after its last
participant has left. So a box that nobody uses does this, without any sound:

    in the room, alone    for 1, 1, 2, 4, 8, 10, 10 ... minutes
    out of the room       for `CLOSED_S`

A talk, a typed line and a press of the talk button postpone leaving by `PAUSE_S`.
Somebody who talks here, presses the talk button, types a line, leaves or joins makes
the wait 1 minute again. An agent that just comes does not.

An agent that leaves a session in which nobody here talked, pressed the talk button or
typed a line may end by itself each time. The box stays until somebody does so, and then
fetches the next one.
"""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import session
from appliance.core.state import Goal, State, Step

FIRST_S: Final = 60.0
"""First wait in the room; our choice: a worker that restarts needs less."""
LONGEST_S: Final = 600.0
"""Longest wait in the room; our choice, as after a refusal."""
CLOSED_S: Final = 25.0
"""LiveKit keeps a room for 20 s by default after the last participant has left."""
PAUSE_S: Final = 5.0
"""Our choice: who has something to add has begun by then."""
MISSING: Final = (
    "the expected voice agent is missing, perhaps because its program does not run; "
    "the box leaves and joins again every few minutes so that LiveKit sends one"
)


def update(before: State, after: State, now_s: float) -> State:
    """Return the state with the begin of the agent's absence, and of a pause in use."""
    is_used = after.conversation.is_used or _is_in_use(after)
    conversation = replace(after.conversation, is_used=is_used)
    state = replace(after, conversation=conversation)
    is_absent = _is_missing(state) and state.is_in_room
    is_idle = state.is_connected and _is_idle(state)
    may_leave = is_absent and is_idle and not is_over(state)
    is_new_use = _is_new_use(before, after)
    idle_since_s = None if is_new_use else conversation.idle_since_s
    conversation = replace(
        conversation,
        absent_since_s=_since_s(conversation.absent_since_s, now_s, is_so=is_absent),
        idle_since_s=_since_s(idle_since_s, now_s, is_so=may_leave),
    )
    returns = state.agent_returns
    if is_new_use:
        # The fault stays until the agent is there.
        returns = min(returns, 1 if conversation.agent is None else 0)
    absent_since_s = conversation.absent_since_s
    if absent_since_s is not None and now_s >= absent_since_s + _wait_s(state):
        returns = max(returns, 1)
    if (conversation, returns) == (after.conversation, after.agent_returns):
        return after
    return replace(state, conversation=conversation, agent_returns=returns)


def due_s(state: State) -> float:
    """Return when the box leaves to join again; infinity: it does not."""
    conversation = state.conversation
    if conversation.absent_since_s is None or conversation.idle_since_s is None:
        return inf
    due_s = conversation.absent_since_s + _wait_s(state)
    return max(due_s, conversation.idle_since_s + PAUSE_S)


def tick(state: State, now_s: float) -> Step:
    """Leave the room for a while, if the agent has been missing for long enough."""
    if now_s < due_s(state):
        return state, ()
    again_at_s = now_s + session.LEAVE_S + CLOSED_S
    state = replace(state, agent_returns=state.agent_returns + 1, retry_at_s=again_at_s)
    state, commands = session.end(state, Goal.WAIT, now_s)
    # Neither another network nor a person's request brings an agent earlier.
    return replace(state, rejoin_at_s=again_at_s), commands


def is_returning(state: State) -> bool:
    """Return whether the box is between leaving and joining for this reason."""
    is_out = not state.is_in_room and state.cause is None
    return is_out and state.agent_returns > 0


def is_over(state: State) -> bool:
    """Return whether the agent came and left, and nobody here has used this session."""
    conversation = state.conversation
    is_wanted = conversation.is_awaited or conversation.is_used
    return _is_missing(state) and not is_wanted


def status(state: State) -> str:
    """Return why the box waits before it joins again; empty: for another reason.

    Without a failure it always waits for the end of a room, because no agent comes into
    that room before, whoever asks for it.
    """
    is_other = state.cause is not None or state.is_link_down
    return "" if is_other else "waiting for the agent"


def faults(state: State) -> tuple[str, ...]:
    """Return one sentence from the first time on that the box left to join again."""
    is_missing = is_returning(state) or (_is_missing(state) and not is_over(state))
    return (MISSING,) if state.agent_returns and is_missing else ()


def _since_s(since_s: float | None, now_s: float, *, is_so: bool) -> float | None:
    """Return since when it is so; None: it is not."""
    if not is_so:
        return None
    return now_s if since_s is None else since_s


def _wait_s(state: State) -> float:
    """Return how long the agent has to be missing before the box leaves."""
    doubled_s = FIRST_S * 2.0 ** min(max(state.agent_returns - 1, 0), 10)
    # Many boxes may wait for the agents of one server.
    return min(doubled_s, LONGEST_S) * (0.9 + 0.2 * state.jitter)


def _is_missing(state: State) -> bool:
    """Return whether an agent is expected, and neither it nor anybody else is there."""
    conversation = state.conversation
    has_others = conversation.agent is not None or state.people
    return conversation.is_expected and not has_others


def _is_in_use(state: State) -> bool:
    """Return whether somebody talks, presses or has just typed a line.

    A press counts also if it is refused, because nobody would hear the talk.
    """
    is_voice = state.talk.is_on and state.levels.is_voice
    is_typed = state.is_in_room and bool(state.chat.queued)
    return is_voice or state.talk.is_button_down or is_typed


def _is_new_use(before: State, after: State) -> bool:
    """Return whether somebody talks, or has just pressed or typed a line.

    A line that waits is not new in each session.
    """
    is_voice = after.talk.is_on and after.levels.is_voice
    is_pressed = after.talk.is_button_down and not before.talk.is_button_down
    is_typed = len(after.chat.queued) > len(before.chat.queued)
    return is_voice or is_pressed or is_typed


def _is_idle(state: State) -> bool:
    """Return whether nobody uses the box; in `open` mode the talk has no end."""
    is_quiet = state.is_open_mode and not state.levels.is_voice
    is_used = state.talk.is_on or state.talk.is_latched
    return is_quiet or not is_used
