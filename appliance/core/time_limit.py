"""Time limits of a talk: the configured one, and those of a talk that nobody hears."""

from dataclasses import replace
from math import ceil, inf
from typing import Final

from appliance.core import talk
from appliance.core.commands import Earcon, PlayEarcon
from appliance.core.state import Lock, Phase, State, Step

ALONE_S: Final = 10.0
"""Time that the other participants have to rejoin after an outage; our choice."""
INTERRUPTED_S: Final = 120.0
"""Longest interruption after which a latched talk goes on by itself. Our choice: most
outages are shorter, and after a longer one nobody counts on being heard."""
KEPT_S: Final = 10.0
"""Longest talk that is kept until the expected voice agent comes."""


def due_s(state: State) -> float:
    """Return when `tick` has something to do; infinity: never."""
    return min(
        warning_at_s(state),
        talk.limit_at_s(state),
        interrupted_until_s(state),
        kept_until_s(state),
    )


def tick(state: State, now_s: float) -> Step:
    """Warn before the configured limit, and end the talk at any of them."""
    if now_s >= interrupted_until_s(state):
        return replace(state, talk=replace(state.talk, is_latched=False)), ()
    if now_s >= min(talk.limit_at_s(state), kept_until_s(state)):
        lock = Lock.LIMIT if now_s >= talk.limit_at_s(state) else Lock.ALONE
        ended = talk.page_talk_ended(state.talk)
        return replace(state, talk=replace(ended, is_latched=False, last_lock=lock)), ()
    if now_s >= warning_at_s(state):
        state = replace(state, talk=replace(state.talk, has_warned=True))
        return state, (PlayEarcon(Earcon.WARNING),)
    return state, ()


def interrupted_until_s(state: State) -> float:
    """Return when an interrupted latched talk ends; infinity: never.

    Whatever interrupts it, an outage or a missing microphone, it must not go on by
    itself hours later; the configured limit may be long, or none. Nor must one who
    joins an empty room listen in on people who believe themselves alone.
    """
    is_interrupted = state.talk.is_latched and not state.talk.is_open
    if state.is_open_mode or not is_interrupted:
        return inf
    if state.phase is Phase.IN_ROOM and talk.is_alone(state):
        return state.since_s + ALONE_S
    return state.talk.closed_at_s + INTERRUPTED_S


def kept_until_s(state: State) -> float:
    """Return when a talk that is kept for an expected agent ends; infinity: never."""
    is_kept = talk.is_alone(state) and state.conversation.is_awaited
    if not is_kept or state.talk.opened_at_s is None:
        return inf
    return state.talk.opened_at_s + KEPT_S


def warning_at_s(state: State) -> float:
    """Return when the warning is due; infinity when there is none or it was given."""
    config = state.config.talk
    if state.talk.has_warned or not state.talk.is_open:
        return inf
    # With a limit as short as the warning time, it would sound during the first word.
    return talk.limit_at_s(state) - min(config.warning_s, config.limit_s / 2)


def left_s(state: State, now_s: float) -> int | None:
    """Return the seconds until the limit, rounded up; None before the warning."""
    if not (state.talk.has_warned and state.talk.is_open):
        return None
    return max(0, ceil(talk.limit_at_s(state) - now_s))
