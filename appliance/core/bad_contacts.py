"""Bad contacts and floating wires: which presses count, and what of them is undone.

    pressed within 0.04 s of the release      bounce: the press before it goes on
    the fifth such short contact in a row,    a bad contact or floating wire
    or more than 50 choices of a room
    without a pause

Until it has been quiet for 5 s, a bad contact has no effect, except that talk still
talks. What it changed is undone, as are the last presses of a button that is lost:

    leave        in the room or left          next_room    also which room
    volume       the percentage               talk         what was muted is mute again

Each change keeps who made it, so that it can be taken out: what others changed before
and since then stays.
"""

from collections.abc import Iterable
from dataclasses import fields, replace
from functools import reduce
from itertools import takewhile
from math import inf
from typing import Final

from appliance.core import events, session, talk
from appliance.core.commands import SetVolume, StoreVolumeAndGain
from appliance.core.events import Button
from appliance.core.state import (
    Change,
    Goal,
    Phase,
    Pressable,
    PressSeries,
    State,
    Step,
)

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
ALL: Final = frozenset(field.name for field in fields(Pressable))
ASKED: Final[dict[type, frozenset[str]]] = {
    events.MuteAsked: frozenset({"is_muted"}),
    events.LeaveAsked: frozenset({"has_left"}),
    events.JoinAsked: frozenset({"has_left", "preset"}),
    events.VolumeAsked: frozenset({"volume_percent"}),
}
"""Requests on the page, and what they choose even if it was so before."""


def series_of(state: State, button: Button, at_s: float) -> PressSeries | None:
    """Return the button's series of presses; None: the next press begins one."""
    series = next((one for one in state.press_series if one.button is button), None)
    is_held = any(held is button for held, _ in state.held)
    return series if series and (is_held or at_s < series.last_s + QUIET_S) else None


def continued(
    state: State, last: PressSeries | None, button: Button, at_s: float
) -> tuple[State, PressSeries]:
    """Return the state with the series after a press, and the series."""
    if last and at_s - last.last_s < HASTE_S:
        hasty = last.hasty + 1
        is_bad = last.is_bad or hasty >= MOST_HASTY
        series = replace(last, last_s=at_s, hasty=hasty, is_bad=is_bad)
        return with_series(state, series), series
    presses = last.presses + 1 if last else 1
    is_bad = button in ROOM_BUTTONS and presses > MOST_PRESSES
    if last and (at_s - last.last_s < RUN_S or presses > FEW_PRESSES or last.is_bad):
        is_bad = last.is_bad or is_bad
        series = replace(last, last_s=at_s, presses=presses, hasty=0, is_bad=is_bad)
    else:
        state = _settled(state, {button})
        series = begun(state, button, at_s, presses=presses, is_bad=is_bad)
    return with_series(state, series), series


def begun(
    state: State, button: Button, at_s: float, *, presses: int, is_bad: bool = False
) -> PressSeries:
    """Return the series of which the first presses that may be undone begin now."""
    return PressSeries(
        button,
        at_s,
        is_agent_used=state.conversation.is_used,
        agent_returns=state.agent_returns,
        presses=presses,
        is_bad=is_bad,
    )


def released(series: PressSeries, at_s: float) -> PressSeries:
    """Return the series after a release; a long contact is no part of a chatter."""
    before = 0 if series.hasty > 0 else -MOST_HASTY
    hasty = series.hasty if at_s - series.last_s < HASTE_S else before
    return replace(series, last_s=at_s, hasty=hasty)


def _current(state: State) -> Pressable:
    """Return what presses may change, as it is now."""
    return Pressable(
        preset=state.preset,
        has_left=state.phase is Phase.LEFT
        or (state.phase is Phase.LEAVING and state.goal is Goal.STAY_OUT),
        volume_percent=state.volume_percent,
        is_muted=state.talk.is_muted,
    )


def _made(changes: Iterable[Change]) -> Pressable:
    """Return what these changes make, of which the first sets everything."""

    def after(old: Pressable, change: Change) -> Pressable:
        return replace(old, **{x: getattr(change.made, x) for x in change.names})

    first, *rest = changes
    return reduce(after, rest, first.made)


def changed(before: State, after: State, button: Button) -> State:
    """Return the state `after` a press, with what that has changed."""
    if not after.changes:
        base = Change(None, ALL, _current(before))
        after = replace(after, changes=(base,))
    return _with_change(after, button, frozenset())


def noted(state: State, event: events.Event) -> State:
    """Return the state with what the event has changed otherwise than by a press.

    The return from a room that refuses the box belongs to the choice of that room.
    """
    if not state.changes:
        return state
    asked = ASKED.get(type(event))
    now, known = _current(state), _made(state.changes)
    is_return = asked is None and now == replace(known, preset=now.preset)
    choosers = (x.by for x in reversed(state.changes) if "preset" in x.names)
    by = next(choosers) if is_return else None
    return _with_change(state, by, asked or frozenset())


def _with_change(state: State, by: Button | None, names: frozenset[str]) -> State:
    """Return the state with a change: of these names, and of all that is different."""
    now, known = _current(state), _made(state.changes)
    names |= {x for x in ALL if getattr(now, x) != getattr(known, x)}
    if not names:
        return state
    first, *rest = state.changes
    # Earlier ones by the same button cannot be seen any more.
    kept = (x for x in rest if not (x.by is by and x.names <= names))
    return replace(state, changes=(first, *kept, Change(by, names, now)))


def _settled(state: State, buttons: set[Button]) -> State:
    """Return the state in which nothing undoes what these buttons have changed."""
    changes = [replace(x, by=None) if x.by in buttons else x for x in state.changes]
    first = tuple(takewhile(lambda change: change.by is None, changes))
    base = (Change(None, ALL, _made(first)),) if first else ()
    return replace(state, changes=(*base, *changes[len(first) :]))


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
    now = _current(state)
    kept = tuple(x for x in state.changes if x.by is not series.button)
    wanted = _made(kept) if kept else now
    is_there = (wanted.preset, wanted.has_left) == (now.preset, now.has_left)
    state = replace(state, changes=kept)
    match series.button:
        case Button.TALK:
            # In `open` mode the first press may have been a person's mute.
            is_muted = wanted.is_muted or state.talk.is_muted or state.is_open_mode
            return talk.muted_on_page(state, is_on=is_muted), ()
        case Button.VOLUME_UP | Button.VOLUME_DOWN:
            percent = wanted.volume_percent
            commands = SetVolume(percent), StoreVolumeAndGain(percent=percent)
            return replace(state, volume_percent=percent), commands
        case _ if is_there or series.button not in ROOM_BUTTONS:
            return state, ()
        case _ if wanted.has_left:
            state = replace(state, preset=wanted.preset)
            return session.end(state, Goal.STAY_OUT, now_s)
        case _:
            joining, fetching = session.join(state, wanted.preset, None, now_s)
            # If it fails, the way back does not lead to the other room.
            return replace(joining, change=None), fetching


def with_series(state: State, series: PressSeries) -> State:
    """Return the state with this series of presses of its button."""
    found = state.press_series
    if all(one.button is not series.button for one in found):
        return replace(state, press_series=(*found, series))
    kept = (series if one.button is series.button else one for one in found)
    return replace(state, press_series=tuple(kept))


def forgotten(state: State, now_s: float) -> State:
    """Return the state without the series that are over."""
    series = state.press_series
    over = {x.button for x in series if not series_of(state, x.button, now_s)}
    return without_series(state, over) if over else state


def without_series(state: State, buttons: set[Button]) -> State:
    """Return the state without the series of these buttons."""
    state = _settled(state, buttons)
    kept = tuple(one for one in state.press_series if one.button not in buttons)
    return replace(state, press_series=kept, changes=state.changes if kept else ())


def due_s(state: State) -> float:
    """Return when a bad contact has been quiet; infinity: none is bad."""
    held = [button for button, _ in state.held]
    bad = (x for x in state.press_series if x.is_bad and x.button not in held)
    return min((x.last_s + QUIET_S for x in bad), default=inf)
