"""Reconnect policy: time-outs, back-off, retries without end, return for an agent.

The first retry comes soon, later ones up to 30 s apart, or 8 s for the first five
minutes where nothing answers; after a refusal the wait is 10 minutes. After a moderator
removed the box, or another client with its identity replaced it, it doubles from 1 to
10 minutes. If a chosen room cannot be joined, the box goes back to the room before.

LiveKit sends agents only into a room that begins, and a room ends some time after its
last participant has left. So a box that is alone without the voice agent that it
expects leaves, without any sound, after 1, 2, 4, 8, 10, 10 ... minutes, and joins
again. A talk, a press of the talk button or a typed line postpones this by `PAUSE_S`
and ends the longer waits. After a session without any of these, in which the agent has
left, it waits for one of them.
"""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import session
from appliance.core.events import (
    Cause,
    Failure,
    LinkChanged,
    RoomFailed,
    RoomLost,
    TokenFailed,
)
from appliance.core.state import EVICTIONS, FailedRoom, Goal, Phase, State, Step

FIRST_S: Final = 0.5
"""First wait; each further one is twice as long."""
LONGEST_S: Final = 30.0
HOPEFUL_S: Final = 8.0
"""Longest wait in the first attempts where nothing answers: no load on anyone."""
HOPEFUL_FAILURES: Final = 40
"""Our choice: five minutes are how long the restart of a router or server takes."""
JITTER_S: Final = 0.25
"""Spreads the retries of many appliances that lost one server over half a second."""
MINUTE_S: Final = 60.0
"""First wait after an eviction: an agent that ends its call by deleting the room must
not be called back at once. Also for a missing agent, whose worker may restart."""
TEN_MINUTES_S: Final = 600.0
"""Wait after a refusal, and longest one of those that begin with a minute."""
CLOSED_S: Final = 25.0
"""LiveKit keeps a room for 20 s by default after the last participant has left."""
PAUSE_S: Final = 5.0
"""Our choice: who has something to add has begun by then."""
CHANGE_FAILURES: Final = 5
"""Failures of a chosen room after which the box goes back, about 8 s if each comes at
once. Our choice: a server that is just starting is there by then."""
LONGEST_ASKED_S: Final = 300.0
"""Longest wait that a token source can ask for (header `Retry-After`)."""

TIMEOUT_S: Final = {
    Phase.FETCHING: session.FETCH_S,
    Phase.JOINING: session.JOIN_S,
    Phase.PAUSED: session.RESUME_S,
    Phase.LEAVING: session.LEAVE_S,
}
"""Longest wait for an answer, by phase."""
RETRYING: Final = frozenset({Phase.WAITING, Phase.REFUSED})
"""Phases that end with the next attempt, at `retry_at_s`."""
UNREACHABLE: Final = frozenset({Cause.SERVER_LOST, Cause.NO_INTERNET})
"""Nothing answers."""


def failed(
    state: State, event: TokenFailed | RoomFailed | RoomLost, now_s: float
) -> Step:
    """Schedule the next attempt after a failure, perhaps in the room before."""
    is_token = isinstance(event, TokenFailed)
    if state.phase not in ({Phase.FETCHING} if is_token else session.AT_SERVER):
        return state, ()
    failure = event.failure
    before = session.with_backoff_reset(state, now_s)
    state = _with_failure(before, failure)
    if failure.is_final and state.preset == before.preset:
        return _refused(state, now_s), ()
    asked_s = min(failure.retry_after_s, LONGEST_ASKED_S)
    return _with_retry(state, now_s, asked_s), ()


def link_changed(state: State, event: LinkChanged, now_s: float) -> Step:
    """Retry at once when the network is back or is another one."""
    before = state.address
    is_other = (event.address, event.sources) != (before, state.sources)
    state = replace(state, address=event.address, sources=event.sources)
    # The first report is no change: it only makes the address known.
    is_new = is_other and event.address is not None and before != ""
    if not (is_new and _should_retry_at_once(state, before)):
        return state, ()
    return session.end(replace(state, failures=0), Goal.REJOIN, now_s)


def tick(state: State, now_s: float) -> Step:
    """Handle a deadline that has passed."""
    if now_s < due_s(state):
        return state, ()
    if state.phase is Phase.IN_ROOM:
        return _returning(state, now_s)
    if state.phase in RETRYING:
        return session.start(state, now_s)
    if state.phase is Phase.LEAVING:
        return session.after_end(state, now_s)
    if state.phase is Phase.FETCHING:
        failure = Failure(Cause.TOKEN_SOURCE, "no token arrived in time")
        return _with_retry(_with_failure(state, failure), now_s), ()
    failure = Failure(Cause.SERVER_LOST, "the server did not answer in time")
    return session.end(_with_failure(state, failure), Goal.REJOIN, now_s)


def due_s(state: State) -> float:
    """Return when `tick` has something to do; infinity: never."""
    if state.is_connected:
        return state.conversation.return_at_s
    if state.phase in RETRYING:
        return state.retry_at_s
    return state.since_s + TIMEOUT_S.get(state.phase, inf)


def wait_s(failures: int, jitter: float, longest_s: float = LONGEST_S) -> float:
    """Return the wait after this many consecutive failures.

    Args:
        failures: 1 or more.
        jitter: 0-1, a random number of this process.
        longest_s: cap of the doubled waits.
    """
    doubled_s = FIRST_S * 2.0 ** min(failures - 1, 10)
    return min(doubled_s, longest_s - JITTER_S) + JITTER_S * (2.0 * jitter - 1.0)


def minutes_wait_s(count: int) -> float:
    """Return the wait after the same thing so many times: doubled from a minute."""
    return min(MINUTE_S * 2.0 ** min(count - 1, 10), TEN_MINUTES_S)


def update_return(before: State, after: State, now_s: float) -> State:
    """Return the state with the time at which the box leaves to fetch the agent."""
    conversation = after.conversation
    is_due = conversation.is_expected or after.agent_returns
    if not (after.is_in_room and is_due):
        return after
    is_use = _is_use(before, after)
    is_used = conversation.is_used or is_use
    at_s, returns = conversation.return_at_s, after.agent_returns
    if not is_agent_missing(after):
        at_s, returns = inf, 0
    elif is_use:
        at_s = max(now_s + PAUSE_S, after.joined_at_s + MINUTE_S)
        returns = min(returns, 1)
    elif not is_agent_missing(before):
        is_wanted = conversation.is_awaited or is_used
        at_s = now_s + _spread(minutes_wait_s(returns + 1), after) if is_wanted else inf
    elif after.is_connected and not before.is_connected:
        # Who has joined during the interruption is reported a moment after its end.
        at_s = max(at_s, now_s + PAUSE_S)
    changed = replace(conversation, return_at_s=at_s, is_used=is_used)
    if (changed, returns) == (conversation, after.agent_returns):
        return after
    return replace(after, conversation=changed, agent_returns=returns)


def is_agent_missing(state: State) -> bool:
    """Return whether an agent is expected, and neither it nor a person is there.

    The avatar of an agent that has crashed may stay; it keeps no room from ending.
    """
    conversation = state.conversation
    is_alone = conversation.agent is None and state.has_only_programs
    return state.is_in_room and conversation.is_expected and is_alone


def is_returning(state: State) -> bool:
    """Return whether the box has left because of a missing agent, and will rejoin."""
    is_out = not state.is_in_room and state.cause is None
    return is_out and state.agent_returns > 0


def _returning(state: State, now_s: float) -> Step:
    """Leave the room until it has ended, unless somebody talks."""
    if _is_talking(state):
        later = replace(state.conversation, return_at_s=now_s + PAUSE_S)
        return replace(state, conversation=later), ()
    state, commands = session.end(state, Goal.REJOIN, now_s)
    return replace(
        state,
        agent_returns=state.agent_returns + 1,
        rejoin_at_s=now_s + session.LEAVE_S + CLOSED_S,
    ), commands


def _is_use(before: State, after: State) -> bool:
    """Return whether somebody talks, or has just pressed, even in vain, or typed."""
    is_pressed = after.talk.is_button_down and not before.talk.is_button_down
    is_typed = len(after.chat.queued) > len(before.chat.queued)
    return _is_talking(before) or is_pressed or is_typed


def _is_talking(state: State) -> bool:
    """Return whether somebody talks; in `open` mode the talk has no end."""
    return state.talk.is_on and (state.levels.is_voice or not state.is_open_mode)


def _spread(wait_s: float, state: State) -> float:
    """Return the wait ± 10 %: many boxes may wait for one server."""
    return wait_s * (0.9 + 0.2 * state.jitter)


def _with_failure(state: State, failure: Failure) -> State:
    """Return the state with one more failure, which may send it to the room before."""
    state = replace(
        state,
        cause=failure.cause,
        reason=failure.reason,
        failures=state.failures + 1,
        evictions=state.evictions + (failure.cause in EVICTIONS),
    )
    has_failed = state.failures >= CHANGE_FAILURES and not state.is_link_down
    if state.preset == state.joined_preset or not (failure.is_final or has_failed):
        return state
    failed = FailedRoom(state.preset or "first room", failure.cause, failure.reason)
    return replace(state, preset=state.joined_preset, failed_room=failed, failures=0)


def _with_retry(state: State, now_s: float, least_s: float = 0.0) -> State:
    """Return the state waiting for the next attempt, `least_s` or longer."""
    if state.cause in EVICTIONS:
        delay_s = minutes_wait_s(state.evictions)
    else:
        is_hopeful = state.cause in UNREACHABLE and state.failures <= HOPEFUL_FAILURES
        longest_s = HOPEFUL_S if is_hopeful else LONGEST_S
        delay_s = wait_s(state.failures, state.jitter, longest_s)
    retry_at_s = now_s + max(delay_s, least_s)
    return replace(session.entered(state, Phase.WAITING, now_s), retry_at_s=retry_at_s)


def _refused(state: State, now_s: float) -> State:
    """Return the state after a refusal, which may be temporary: a retry follows."""
    retry_at_s = now_s + _spread(TEN_MINUTES_S, state)
    return replace(session.entered(state, Phase.REFUSED, now_s), retry_at_s=retry_at_s)


def _should_retry_at_once(state: State, before: str | None) -> bool:
    """Return whether another link is a reason to retry at once; not if evicted."""
    if state.phase is Phase.FETCHING:
        # A request that was sent without a network may hang until its time-out.
        return before is None
    is_out = state.phase in {Phase.WAITING, Phase.REFUSED}
    return is_out and state.cause not in EVICTIONS
