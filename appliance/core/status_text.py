"""Connection status as one short line: state, cause and next attempt."""

from math import ceil
from typing import Final

from appliance.core import agent_text, session
from appliance.core.events import Cause
from appliance.core.state import Goal, Phase, State

CAUSE_TEXT: Final = {
    Cause.NO_LINK: "no network",
    Cause.NO_INTERNET: "no internet",
    Cause.TOKEN_SOURCE: "no token",
    Cause.REFUSED: "refused",
    Cause.SERVER_LOST: "server lost",
    Cause.ROOM_CLOSED: "room closed",
    Cause.REPLACED: "replaced by another box",
    Cause.MISCONFIGURED: "wrong configuration",
}
NEED_LINK: Final = frozenset({Cause.NO_INTERNET, Cause.SERVER_LOST, Cause.TOKEN_SOURCE})
"""Causes that a missing network explains."""
FIXED_TEXT: Final = {
    Phase.STARTING: "starting",
    Phase.LEFT: "left, press leave to rejoin",
    Phase.STOPPED: "stopped",
}


def banner(state: State, now_s: float) -> str:
    """Return state, cause and next attempt, and which change of rooms failed."""
    status = _status(state, now_s)
    failed = state.failed_change
    if failed is None:
        return status
    return f"{status} ({room_name(failed.preset)}: {CAUSE_TEXT[failed.cause]})"


def room_name(preset: str | None) -> str:
    """Return the name of a configured room."""
    return "first room" if preset is None else preset


def _status(state: State, now_s: float) -> str:
    """Return state, cause and next attempt; it fits on two lines of the OLED."""
    match state.phase:
        case Phase.FETCHING | Phase.JOINING:
            return _with_cause("connecting", _cause(state))
        case Phase.IN_ROOM:
            return _in_room(state)
        case Phase.WAITING:
            status = _with_cause("disconnected", _cause(state))
            press = " or on a press" if session.is_removed(state) else ""
            return f"{status}, retry in {retry_s(state, now_s)} s{press}"
        case Phase.REFUSED:
            return _with_cause("refused", state.cause) + _next_attempt(state, now_s)
        case Phase.PAUSED | Phase.LEAVING:
            return _interrupted(state)
        case _:
            return FIXED_TEXT[state.phase]


def retry_s(state: State, now_s: float) -> int:
    """Return the seconds until the next attempt, rounded up; 0 when it is due."""
    return max(0, ceil(state.retry_at_s - now_s))


def _in_room(state: State) -> str:
    if state.is_link_down:
        return _with_cause("reconnecting", Cause.NO_LINK)
    place = f"in {state.room}" if state.room else "connected"
    return ", ".join(filter(None, (place, agent_text.status(state))))


def _cause(state: State) -> Cause | None:
    """Return the cause of the outage; a missing network explains most others."""
    is_offline = state.cause in {None, *NEED_LINK} and state.is_link_down
    return Cause.NO_LINK if is_offline else state.cause


def _next_attempt(state: State, now_s: float) -> str:
    return f", asks again in {ceil(retry_s(state, now_s) / 60)} min"


def _interrupted(state: State) -> str:
    """Return the text while a session is interrupted or ends."""
    if state.phase is Phase.PAUSED:
        cause = Cause.NO_LINK if state.is_link_down else None
        return _with_cause("reconnecting", cause)
    if state.goal is Goal.REJOIN:
        return _with_cause("reconnecting", _cause(state))
    return "leaving"


def _with_cause(status: str, cause: Cause | None) -> str:
    text = CAUSE_TEXT[cause] if cause is not None else ""
    return status if text in {"", status} else f"{status}: {text}"
