"""Bad contacts and floating wires: which presses count, and what of them is undone.

    pressed within 0.04 s of the release      bounce: the press before it goes on
    the fifth such short contact in a row,    a bad contact or floating wire
    or more than 50 choices of a room
    without a pause

Until it has been quiet for 5 s, a bad contact has no effect, except that talk still
talks. What it changed is undone, as are the last presses of a button that is lost:

    leave        in the room or left          next_room    also which room
    volume       the percentage               talk         what was muted is mute again

A choice since then is not undone: one on the page, or one with another good button.
"""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import events, session, talk
from appliance.core.commands import SetVolume, StoreVolumeAndGain
from appliance.core.events import Button
from appliance.core.state import BeforePresses, Goal, Phase, PressSeries, State, Step

HASTE_S: Final = 0.04
"""A press this soon after the button's release is bounce, because nobody presses again
so quickly; nor is a contact shorter than this a person's."""
MOST_HASTY: Final = 5
"""So many of them in a row, each a contact as short, are the work of a bad contact or
of a floating wire, which makes one press in each period of the mains hum; our choice,
as a worn contact makes one or two. After long contacts only, which are perhaps those
of a person with a worn button, twice as many."""
RUN_S: Final = 2.0
"""Pause between presses that are undone together; our choice. A wire that floats too
quickly for its level to settle seems to rest meanwhile; but a person's press before it
broke is to stay."""
QUIET_S: Final = 5.0
"""After this time without a press a button counts again. It is longer than a floating
wire takes to be found (3.6 s), which may have made a single press of all that time."""
MOST_PRESSES: Final = 50
"""More presses without such a pause are those of a bad contact, if they choose rooms:
it would have one token fetched after the other, all day. Our choice: more than anybody
makes."""
FEW_PRESSES: Final = 10
"""More presses without such a pause are undone together even if `RUN_S` separates them,
because a contact that chatters slowly rests at times; our choice."""
ROOM_BUTTONS: Final = frozenset({Button.LEAVE, Button.NEXT_ROOM})
LIKE: Final[dict[type, Button]] = {
    events.MuteAsked: Button.TALK,
    events.LeaveAsked: Button.LEAVE,
    events.JoinAsked: Button.NEXT_ROOM,
    events.VolumeAsked: Button.VOLUME_UP,
}
"""Requests on the page, and the button that changes the same."""


def series_of(state: State, button: Button, at_s: float) -> PressSeries | None:
    """Return the button's series of presses; None: the next press begins one."""
    series = next((one for one in state.press_series if one.button is button), None)
    is_held = any(held is button for held, _ in state.held)
    return series if series and (is_held or at_s < series.last_s + QUIET_S) else None


def continued(
    state: State, last: PressSeries | None, button: Button, at_s: float
) -> PressSeries:
    """Return the series after a press."""
    if last and at_s - last.last_s < HASTE_S:
        hasty = last.hasty + 1
        is_bad = last.is_bad or hasty >= MOST_HASTY
        return replace(last, last_s=at_s, hasty=hasty, is_bad=is_bad)
    presses = last.presses + 1 if last else 1
    is_bad = button in ROOM_BUTTONS and presses > MOST_PRESSES
    if last and (at_s - last.last_s < RUN_S or presses > FEW_PRESSES or last.is_bad):
        before, is_bad = last.before, last.is_bad or is_bad
    else:
        before = current(state)
    return PressSeries(button, at_s, before, presses, is_bad=is_bad)


def released(state: State, series: PressSeries, at_s: float) -> State:
    """Return the state after a release; a long contact is no part of a chatter."""
    is_short = at_s - series.last_s < HASTE_S
    before = 0 if series.hasty > 0 else -MOST_HASTY
    hasty = series.hasty if is_short else before
    state = with_series(state, replace(series, last_s=at_s, hasty=hasty))
    return state if is_short or series.is_bad else chosen(state, series.button)


def current(state: State) -> BeforePresses:
    """Return what presses may change, as it is now."""
    return BeforePresses(
        preset=state.preset,
        has_left=state.phase is Phase.LEFT
        or (state.phase is Phase.LEAVING and state.goal is Goal.STAY_OUT),
        volume_percent=state.volume_percent,
        is_muted=state.talk.is_muted,
        is_agent_used=state.conversation.is_used,
        agent_returns=state.agent_returns,
    )


def requested(state: State, event: events.Event) -> State:
    """Return the state after a request on the page, which no button undoes."""
    like = LIKE.get(type(event))
    return state if like is None else _told(state, like, None)


def chosen(state: State, button: Button) -> State:
    """Return the state after a choice with this button, which no other one undoes."""
    return _told(state, button, button)


def _told(state: State, like: Button, chooser: Button | None) -> State:
    now = current(state)
    told = (
        one
        if one.button is chooser
        else replace(one, before=_merged(one.before, now, like))
        for one in state.press_series
    )
    return replace(state, press_series=tuple(told))


def _merged(old: BeforePresses, new: BeforePresses, button: Button) -> BeforePresses:
    """Return the old values, but the new ones of what this button changes."""
    match button:
        case Button.LEAVE:
            return replace(old, has_left=new.has_left)
        case Button.NEXT_ROOM:
            return replace(old, has_left=new.has_left, preset=new.preset)
        case Button.VOLUME_UP | Button.VOLUME_DOWN:
            return replace(old, volume_percent=new.volume_percent)
        case Button.TALK:
            return replace(old, is_muted=new.is_muted)
        case _:
            return old


def unlatched(state: State) -> State:
    """Return the state without a talk that a bad contact has latched."""
    if not is_bad(state, Button.TALK) or state.is_open_mode:
        return state
    return replace(state, talk=replace(state.talk, is_latched=False))


def is_bad(state: State, button: Button) -> bool:
    """Return whether the button has a bad contact."""
    return any(one.is_bad for one in state.press_series if one.button is button)


def undone(state: State, series: PressSeries, now_s: float) -> Step:
    """Undo what a bad contact or a floating wire has changed, if that is not long ago.

    Without its button, and perhaps without the page, nobody else may do so.
    """
    if now_s >= series.last_s + QUIET_S:
        return state, ()
    before = series.before
    until = state.press_series.index(series) + 1
    # What began later was not a choice in the place where this one led.
    later = (
        replace(one, before=_merged(one.before, before, series.button))
        for one in state.press_series[until:]
    )
    state = replace(state, press_series=(*state.press_series[:until], *later))
    wanted = _merged(current(state), before, series.button)
    match series.button:
        case Button.TALK:
            # In `open` mode the first press may have been a person's mute.
            is_muted = wanted.is_muted or state.talk.is_muted or state.is_open_mode
            return talk.muted_on_page(state, is_on=is_muted), ()
        case Button.VOLUME_UP | Button.VOLUME_DOWN:
            percent = wanted.volume_percent
            commands = SetVolume(percent), StoreVolumeAndGain(percent=percent)
            return replace(state, volume_percent=percent), commands
        case _ if wanted == current(state):
            return state, ()
        case _ if wanted.has_left:
            state = replace(state, preset=wanted.preset)
            return session.end(state, Goal.STAY_OUT, now_s)
        case _:
            return session.join(state, wanted.preset, None, now_s)


def with_series(state: State, series: PressSeries) -> State:
    """Return the state with this series, in the order in which its presses began."""
    found = state.press_series
    if not any(one.before is series.before for one in found):
        found = (*without_series(state, series.button).press_series, series)
    kept = (series if one.button is series.button else one for one in found)
    return replace(state, press_series=tuple(kept))


def without_series(state: State, button: Button) -> State:
    """Return the state without the presses of this button."""
    others = (one for one in state.press_series if one.button is not button)
    return replace(state, press_series=tuple(others))


def forgotten(state: State, now_s: float) -> State:
    """Return the state without the series that are over."""
    series = state.press_series
    kept = tuple(x for x in series if series_of(state, x.button, now_s))
    return state if kept == series else replace(state, press_series=kept)


def due_s(state: State) -> float:
    """Return when a bad contact has been quiet; infinity: none is bad."""
    held = [button for button, _ in state.held]
    bad = (x for x in state.press_series if x.is_bad and x.button not in held)
    return min((x.last_s + QUIET_S for x in bad), default=inf)
