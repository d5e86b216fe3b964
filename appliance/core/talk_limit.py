"""Time limits of a talk: warning, end, and a latched talk that nobody hears."""

from dataclasses import replace

from appliance.config import TalkMode
from appliance.core.commands import Earcon, PlayEarcon
from appliance.core.state import Lock, Phase, State
from appliance.core.talk import Step, is_alone, page_ended

ALONE_S = 10.0
"""How long after a rejoin the others may take to come back too."""


def tick(state: State, now_s: float) -> Step:
    """Warn before the time limit and end the talk at it."""
    if now_s >= alone_at_s(state):
        return replace(state, talk=replace(state.talk, is_latched=False)), ()
    if now_s >= limit_at_s(state):
        talk = state.talk
        lock = Lock.LIMIT if talk.is_button_down else talk.lock
        talk = replace(page_ended(talk), lock=lock, is_latched=False)
        return replace(state, talk=talk), ()
    if now_s >= warning_at_s(state):
        state = replace(state, talk=replace(state.talk, has_warned=True))
        return state, (PlayEarcon(Earcon.WARNING),)
    return state, ()


def alone_at_s(state: State) -> float:
    """Return when a latched talk that an outage kept is given up.

    Whoever comes hours later shall not hear a room that believes itself alone; those
    who were there before the outage come back within seconds.
    """
    is_waiting = state.talk.is_latched and not state.talk.is_open
    if state.phase is Phase.IN_ROOM and is_waiting and is_alone(state):
        return state.since_s + ALONE_S
    return float("inf")


def limit_at_s(state: State) -> float:
    """Return when the talk has to end; infinity when nothing ends it.

    An outage does not stop the time: a latched talk must not go on the air by itself
    hours after the press.
    """
    limit_s = state.config.talk.limit_s
    is_endless = limit_s == 0 or state.config.talk.mode is TalkMode.OPEN
    if state.talk.began_at_s is None or is_endless:
        return float("inf")
    return state.talk.began_at_s + limit_s


def warning_at_s(state: State) -> float:
    """Return when the warning is due; infinity when there is none or it has been."""
    config = state.config.talk
    if state.talk.has_warned or not state.talk.is_open:
        return float("inf")
    # A limit as short as the warning would otherwise warn into the first word.
    return limit_at_s(state) - min(config.warning_s, config.limit_s / 2)
