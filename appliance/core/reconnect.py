"""Reconnect policy: time-outs, back-off, and retries without end.

The first retry comes soon, later ones up to 30 s apart; after a refusal the wait is 10
minutes. After a moderator removed the box, or another client with its identity replaced
it, it doubles from 1 to 10 minutes. If a chosen room cannot be joined, the box goes
back to the room before.
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
JITTER_S: Final = 0.25
"""Spreads the retries of many appliances that lost one server over half a second."""
MINUTE_S: Final = 60.0
"""First wait after an eviction. An agent that ends its call by deleting the room must
not be called back at once."""
TEN_MINUTES_S: Final = 600.0
"""Wait after a refusal, and longest one after evictions; our choice."""
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
    if now_s < deadline_s(state):
        return state, ()
    if state.phase in RETRYING:
        return session.start(state, now_s)
    if state.phase is Phase.LEAVING:
        return session.after_end(state, now_s)
    if state.phase is Phase.FETCHING:
        failure = Failure(Cause.TOKEN_SOURCE, "no token arrived in time")
        return _with_retry(_with_failure(state, failure), now_s), ()
    failure = Failure(Cause.SERVER_LOST, "the server did not answer in time")
    return session.end(_with_failure(state, failure), Goal.REJOIN, now_s)


def deadline_s(state: State) -> float:
    """Return the deadline of this phase; infinity when it has none."""
    if state.phase in RETRYING:
        return state.retry_at_s
    return state.since_s + TIMEOUT_S.get(state.phase, inf)


def wait_s(failures: int, jitter: float) -> float:
    """Return the wait after this many consecutive failures.

    Args:
        failures: 1 or more.
        jitter: 0-1, a random number of this process.
    """
    doubled_s = FIRST_S * 2.0 ** min(failures - 1, 10)
    return min(doubled_s, LONGEST_S - JITTER_S) + JITTER_S * (2.0 * jitter - 1.0)


def minutes_wait_s(count: int) -> float:
    """Return the wait after the same thing so many times: doubled from a minute."""
    return min(MINUTE_S * 2.0 ** min(count - 1, 10), TEN_MINUTES_S)


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
        delay_s = wait_s(state.failures, state.jitter)
    retry_at_s = now_s + max(delay_s, least_s)
    return replace(session.entered(state, Phase.WAITING, now_s), retry_at_s=retry_at_s)


def _refused(state: State, now_s: float) -> State:
    """Return the state after a refusal, which may be temporary: a retry follows."""
    retry_at_s = now_s + TEN_MINUTES_S * (0.9 + 0.2 * state.jitter)
    return replace(session.entered(state, Phase.REFUSED, now_s), retry_at_s=retry_at_s)


def _should_retry_at_once(state: State, before: str | None) -> bool:
    """Return whether another link is a reason to retry at once; not if evicted."""
    if state.phase is Phase.FETCHING:
        # A request that was sent without a network may hang until its time-out.
        return before is None
    is_out = state.phase in {Phase.WAITING, Phase.REFUSED}
    return is_out and state.cause not in EVICTIONS
