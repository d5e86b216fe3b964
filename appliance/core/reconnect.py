"""What to do when an answer is bad, late or missing: wait, then try again, for ever."""

from dataclasses import replace

from appliance.core import backoff, session
from appliance.core.commands import DropToken
from appliance.core.events import Cause, LinkChanged, RoomFailed, RoomLost, TokenFailed
from appliance.core.session import Step
from appliance.core.state import Goal, Phase, State

LIMIT_S = {
    Phase.FETCHING: session.FETCH_S,
    Phase.JOINING: session.JOIN_S,
    Phase.PAUSED: session.RESUME_S,
    Phase.LEAVING: session.LEAVE_S,
}
"""Longest wait for an answer in each phase."""
PAUSING = frozenset({Phase.WAITING, Phase.REFUSED})
"""Phases that end with the next try, at `retry_at_s`."""
UNREACHABLE = frozenset({Cause.SERVER_LOST, Cause.NO_INTERNET})
"""Nobody answers, so nobody is burdened by being asked often."""


def failed(
    state: State, event: TokenFailed | RoomFailed | RoomLost, now_s: float
) -> State:
    """Wait for the next try, or for somebody's wish when trying is no use."""
    state = session.steadied(state, now_s)
    state = _blamed(state, event.cause, event.reason)
    if event.is_final:
        return _refused(state, now_s)
    return _waiting(state, now_s)


def link_changed(state: State, event: LinkChanged, now_s: float) -> Step:
    """Try at once when the network is back or another one."""
    was = state.address
    state = replace(state, address=event.address)
    if event.address is None:
        return _link_gone(state), ()
    # The first report only says what was true all the time.
    is_news = was not in {"", event.address}
    if not (is_news and _may_help(state, was)):
        return state, ()
    return session.leave(replace(state, failures=0), Goal.REJOIN, now_s)


def tick(state: State, now_s: float) -> Step:
    """End every wait that is over."""
    if now_s < deadline_s(state):
        return state, ()
    if state.phase in PAUSING:
        return session.start(state, now_s)
    if state.phase is Phase.LEAVING:
        return session.after_goodbye(state, now_s)
    if state.phase is Phase.FETCHING:
        state = _blamed(state, Cause.TOKEN_SOURCE, "no token came in time")
        return _waiting(state, now_s), (DropToken(state.ticket),)
    state = _blamed(state, Cause.SERVER_LOST, "the server did not answer in time")
    return session.leave(state, Goal.REJOIN, now_s)


def deadline_s(state: State) -> float:
    """Return when this phase's wait is over; infinity when it has none."""
    if state.phase in PAUSING:
        return state.retry_at_s
    return state.since_s + LIMIT_S.get(state.phase, float("inf"))


def _blamed(state: State, cause: Cause, reason: str) -> State:
    """Return the state with one more failure.

    Without a link there is no use in blaming DNS.
    """
    is_blind = cause is Cause.NO_INTERNET and state.address is None
    cause = Cause.NO_LINK if is_blind else cause
    is_replaced = cause is Cause.REPLACED
    return replace(
        state,
        cause=cause,
        reason=reason,
        failures=state.failures + 1,
        replacements=state.replacements + is_replaced,
    )


def _waiting(state: State, now_s: float) -> State:
    """Return the state with its next try set."""
    if state.cause is Cause.REPLACED:
        wait_s = backoff.replaced_wait_s(state.replacements)
    elif state.cause in UNREACHABLE:
        wait_s = backoff.unreachable_wait_s(state.failures, state.jitter)
    else:
        wait_s = backoff.wait_s(state.failures, state.jitter)
    return replace(
        session.entered(state, Phase.WAITING, now_s), retry_at_s=now_s + wait_s
    )


def _refused(state: State, now_s: float) -> State:
    """Return the state with its next try far away.

    Who is refused today may be let in tomorrow: a source that is being deployed answers
    401 for a minute, an owner corrects a key. The configuration corrects itself never.
    """
    wait_s = backoff.refused_wait_s(state.jitter)
    is_hopeless = state.cause is not Cause.REFUSED
    retry_at_s = float("inf") if is_hopeless else now_s + wait_s
    return replace(session.entered(state, Phase.REFUSED, now_s), retry_at_s=retry_at_s)


def _may_help(state: State, was: str | None) -> bool:
    """Whether a new address is a reason to try again at once.

    A box that was replaced goes on waiting: another address ends no fight. A token that
    was asked for without a network may hang in a time-out, so it is asked for again.
    """
    if state.phase is Phase.FETCHING:
        return was is None
    is_out = state.phase in {Phase.WAITING, Phase.REFUSED}
    return is_out and state.cause is not Cause.REPLACED


def _link_gone(state: State) -> State:
    """Name the nearer cause: no link explains no internet."""
    is_blind = state.cause is Cause.NO_INTERNET
    return replace(state, cause=Cause.NO_LINK) if is_blind else state
