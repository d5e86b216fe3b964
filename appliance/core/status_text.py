"""The connection in one short line of words (R4.2, R8.2)."""

from math import ceil

from appliance.core.events import Cause
from appliance.core.state import Goal, Phase, State

WORDS = {
    Cause.NO_LINK: "no network",
    Cause.NO_INTERNET: "no internet",
    Cause.TOKEN_SOURCE: "no token",
    Cause.REFUSED: "refused",
    Cause.SERVER_LOST: "server lost",
    Cause.ROOM_CLOSED: "room closed",
    Cause.REPLACED: "replaced by another box",
    Cause.MISCONFIGURED: "wrong configuration",
}
NEED_LINK = frozenset({Cause.NO_INTERNET, Cause.SERVER_LOST, Cause.TOKEN_SOURCE})
"""Causes that a missing network explains."""
STILL = {
    Phase.STARTING: "starting",
    Phase.LEFT: "left, press leave to rejoin",
    Phase.STOPPED: "stopped",
}


def banner(state: State, now_s: float) -> str:
    """Return state, cause and next retry; short enough for two lines of the OLED."""
    match state.phase:
        case Phase.FETCHING | Phase.JOINING:
            return _because("connecting", _cause(state))
        case Phase.IN_ROOM:
            return _in_room(state)
        case Phase.WAITING:
            is_out = _because("disconnected", _cause(state))
            return f"{is_out}, retry in {retry_s(state, now_s)} s"
        case Phase.REFUSED:
            return _because("refused", state.cause) + _asks_again(state, now_s)
        case Phase.PAUSED | Phase.LEAVING:
            return _between(state)
        case _:
            return STILL[state.phase]


def retry_s(state: State, now_s: float) -> int:
    """Return the whole seconds until the next try; 0 when it is due."""
    return max(0, ceil(state.retry_at_s - now_s))


def _in_room(state: State) -> str:
    if state.is_link_down:
        return _because("reconnecting", Cause.NO_LINK)
    return f"in {state.room}" if state.room else "connected"


def _cause(state: State) -> Cause | None:
    """Return why the box is out: without a network nothing else matters."""
    is_blind = state.cause in {None, *NEED_LINK} and state.is_link_down
    return Cause.NO_LINK if is_blind else state.cause


def _asks_again(state: State, now_s: float) -> str:
    if state.retry_at_s == float("inf"):
        return ""
    return f", asks again in {ceil(retry_s(state, now_s) / 60)} min"


def _between(state: State) -> str:
    """Return the words for a room that is nearly gone."""
    if state.phase is Phase.PAUSED:
        cause = Cause.NO_LINK if state.is_link_down else None
        return _because("reconnecting", cause)
    if state.goal is Goal.REJOIN:
        return _because("reconnecting", _cause(state))
    return "leaving"


def _because(word: str, cause: Cause | None) -> str:
    words = WORDS[cause] if cause is not None else ""
    return word if words in {"", word} else f"{word}: {words}"
