"""Bad contacts and floating wires: which presses count, and what of them is undone.

    pressed within 0.04 s of the release      bounce: the press before it goes on
    the fifth such short contact in a row,    a bad contact or floating wire
    or more than 50 choices of a room
    without a pause

What the presses of a bad contact changed is undone, and until it has been quiet for 5 s
the button has no effect, except that talk still talks. The loss of a button undoes the
presses just before it, too. A choice of the room with another button, or on the page,
is not undone.
"""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import session, talk
from appliance.core.commands import SetVolume, StoreVolumeAndGain
from appliance.core.events import Button
from appliance.core.state import Goal, Phase, PressSeries, State, Step

HASTE_S: Final = 0.04
"""A press this soon after the button's release is bounce, because nobody presses again
so quickly."""
MOST_HASTY: Final = 5
"""So many of them in a row, each a contact as short, are the work of a bad contact or
of a floating wire, which makes one press in each period of the mains hum; our choice,
as a worn contact makes one or two. Then what its presses changed is undone, and it is
ignored until it is quiet."""
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
"""After more presses without such a pause a choice of the room in another way has the
button ignored, because its contact may chatter slowly; our choice."""
ROOM_BUTTONS: Final = frozenset({Button.LEAVE, Button.NEXT_ROOM})
SAME_EFFECT: Final = (
    ROOM_BUTTONS | {Button.TALK},
    frozenset({Button.VOLUME_UP, Button.VOLUME_DOWN}),
)
"""Buttons that change the same: the room, or the volume. What all of them have changed
is undone, because their wires float together when their common ground breaks."""


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
    if last and (last.is_bad or at_s - last.last_s < RUN_S):
        before, is_bad = last.before, last.is_bad or is_bad
    else:
        before = _before(state, button, at_s)
    return PressSeries(button, at_s, before, presses, is_bad=is_bad)


def at_boot(state: State, button: Button, at_s: float) -> PressSeries:
    """Return the series of a button that was down when its pin was opened."""
    return PressSeries(button, at_s, replace(state, press_series=()), presses=0)


def released(series: PressSeries, at_s: float) -> PressSeries:
    """Return the series after a release; a long contact is no part of a chatter."""
    hasty = series.hasty if at_s - series.last_s < HASTE_S else 0
    return replace(series, last_s=at_s, hasty=hasty)


def _before(state: State, button: Button, at_s: float) -> State:
    """Return the state before a press and those of alike buttons at the same time."""
    alike = next((same for same in SAME_EFFECT if button in same), frozenset())
    for other in alike - {button}:
        series = series_of(state, other, at_s)
        if series and at_s - series.last_s < HASTE_S and not series.is_bad:
            return series.before
    return replace(state, press_series=())


def chosen(state: State, chooser: Button | None, at_s: float) -> State:
    """Return the state after a choice of the room; `chooser` None: on the page.

    What another button did to the room is not undone any more, unless both were pressed
    together; and one that was pressed often does not overrule the choice.
    """

    def after(one: PressSeries) -> PressSeries:
        is_together = chooser is not None and at_s - one.last_s < HASTE_S
        is_other = one.button in SAME_EFFECT[0] - {chooser}
        if not is_other or one.is_bad or is_together:
            return one
        # What it did to a mute is still undone.
        before = replace(state, press_series=(), talk=one.before.talk)
        is_bad = one.button in ROOM_BUTTONS and one.presses > FEW_PRESSES
        return replace(one, before=before, is_bad=is_bad)

    return replace(state, press_series=tuple(map(after, state.press_series)))


def unlatched(state: State) -> State:
    """Return the state without a talk that a bad contact has latched."""
    is_bad = any(x.button is Button.TALK and x.is_bad for x in state.press_series)
    if not is_bad or state.is_open_mode:
        return state
    return replace(state, talk=replace(state.talk, is_latched=False))


def undone(state: State, series: PressSeries, now_s: float) -> Step:
    """Undo what a bad contact or a floating wire has changed, if that is not long ago.

    Without its button, and perhaps without the page, nobody else may do so.
    """
    if now_s >= series.last_s + QUIET_S:
        return state, ()
    before = series.before
    match series.button:
        case Button.TALK:
            # In `open` mode the first press may have been a person's mute.
            is_muted = before.talk.is_muted or state.talk.is_muted or state.is_open_mode
            state = talk.muted_on_page(state, is_on=is_muted)
            return _back(state, before, now_s)
        case Button.NEXT_PAGE:
            return replace(state, screen_page=before.screen_page), ()
        case Button.VOLUME_UP | Button.VOLUME_DOWN:
            percent = before.volume_percent
            commands = SetVolume(percent), StoreVolumeAndGain(percent=percent)
            return replace(state, volume_percent=percent), commands
        case _:
            return _back(state, before, now_s)


def _back(state: State, before: State, now_s: float) -> Step:
    """Return to the previous room, or out of it."""
    now, was = place_of(state), place_of(before)
    is_there = now is was or (now, was) == (Goal.WAIT, Goal.REJOIN)
    if state.preset == before.preset and is_there:
        return state, ()
    state = replace(state, chat=state.chat.queued_again(before.chat.queued))
    match was:
        case Goal.WAIT if now_s < before.retry_at_s:
            return _put_out(state, before, now_s)
        case Goal.STAY_OUT:
            state = replace(state, preset=before.preset)
            return session.end(state, Goal.STAY_OUT, now_s)
        case _:
            state, joining = session.join(state, before.preset, None, now_s)
            change, failed_change = before.change, before.failed_change
            return replace(state, change=change, failed_change=failed_change), joining


def place_of(state: State) -> Goal:
    """Return where the box is or goes, as the goal of a session that ends."""
    if state.phase is Phase.LEAVING:
        return state.goal
    if state.is_removed:
        return Goal.WAIT
    return Goal.STAY_OUT if state.phase is Phase.LEFT else Goal.REJOIN


def _put_out(state: State, before: State, now_s: float) -> Step:
    """Return to the wait of a box that somebody had put out of the room."""
    state = replace(
        state,
        preset=before.preset,
        room=before.room,
        cause=before.cause,
        reason=before.reason,
        failures=before.failures,
        evictions=before.evictions,
        retry_at_s=before.retry_at_s,
        change=before.change,
        failed_change=before.failed_change,
    )
    return session.end(state, Goal.WAIT, now_s)


def with_series(state: State, button: Button, series: PressSeries | None) -> State:
    """Return the state with this series of presses of a button; None: without any."""
    others = (one for one in state.press_series if one.button is not button)
    now = () if series is None else (series,)
    return replace(state, press_series=(*others, *now))


def forgotten(state: State, now_s: float) -> State:
    """Return the state without the series that are over."""
    found = (series_of(state, x.button, now_s) for x in state.press_series)
    kept = tuple(x for x in found if x)
    is_same = len(kept) == len(state.press_series)
    return state if is_same else replace(state, press_series=kept)


def due_s(state: State) -> float:
    """Return when a bad contact has been quiet; infinity: none is bad."""
    held = [button for button, _ in state.held]
    bad = (x for x in state.press_series if x.is_bad and x.button not in held)
    return min((x.last_s + QUIET_S for x in bad), default=inf)
