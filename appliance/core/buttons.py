"""Effects of the buttons, and volume and gain; `talk` has the talk button."""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import agent_return, session, talk
from appliance.core.commands import Command, SetGain, SetVolume, StoreVolumeAndGain
from appliance.core.events import Button, ButtonEvent, ButtonPressed, ButtonReleased
from appliance.core.state import (
    MOST_HASTY,
    Goal,
    Phase,
    PressSeries,
    ScreenPage,
    State,
    Step,
)

VOLUME_STEP_PERCENT: Final = 5
"""Our choice: twenty presses over the whole range."""
HASTE_S: Final = 0.07
"""A press this soon after the button's last one is its bounce, because nobody presses
so quickly.

`MOST_HASTY` of them in a row are the work of a bad contact or of a floating wire, which
makes one press in each period of the mains hum. Then what the first press changed is
undone, and the button is ignored until it has been quiet."""
QUIET_S: Final = 5.0
"""After this time without a press a button counts again. It is longer than a floating
wire takes to be found (3.6 s), which may have made a single press of all that time."""
MOST_PRESSES: Final = 50
"""Presses without such a pause after which a button asks for no session any more: a
contact that chatters slowly would have one token fetched after the other, all day. Our
choice: more than anybody presses."""
FEW_PRESSES: Final = 10
"""Presses without such a pause after which a choice of the room in another way has the
button ignored, because its contact may chatter slowly; our choice."""
ROOM_BUTTONS: Final = frozenset({Button.LEAVE, Button.NEXT_ROOM})
HELD_S: Final = 600.0
"""After this time a button that is down counts as jammed; our choice, longer than a
person holds one. A talk that is on is no jam."""
SAME_EFFECT: Final = (
    ROOM_BUTTONS | {Button.TALK},
    frozenset({Button.VOLUME_UP, Button.VOLUME_DOWN}),
)
"""Buttons that change the same: the room, or the volume. What all of them have changed
is undone, because their wires float together when their common ground breaks."""


def pressed(state: State, event: ButtonPressed, now_s: float) -> Step:
    """Handle a press."""
    button, at_s = event.button, _at_s(event, now_s)
    state = replace(state, held=(*_not_held(state, button), (button, now_s)))
    if event.is_resumed:
        return _resumed(state, event, now_s), ()
    state = replace(state, wakes=state.wakes + 1)
    if event.is_at_boot:
        return _held_at_boot(state, button, at_s)
    last = _series(state, button, at_s)
    series = _continued(state, last, button, at_s)
    state = replace(state, press_series=(*_other_series(state, button), series))
    if last and at_s - last.last_s < HASTE_S:
        state = _resumed(state, event, now_s)
        is_found = series.hasty == MOST_HASTY
        return _undone(state, series, now_s) if is_found else (state, ())
    before = state
    if button is Button.TALK:
        state, commands = _talk_pressed(state, series, at_s, now_s)
    else:
        state, commands = _pressed(state, series, now_s)
    if (state.preset, _place(state)) != (before.preset, _place(before)):
        state = _chosen(state, button, at_s)
    return state, commands


def requested(step: Step, now_s: float) -> Step:
    """Return the step of a request on the page for a room, which no button undoes."""
    state, commands = step
    return _chosen(state, None, now_s), commands


def volume_requested(state: State, percent: int) -> Step:
    """Set the volume that was chosen on the page, which no button undoes."""
    series = (
        replace(one, before=replace(one.before, volume_percent=percent))
        for one in state.press_series
    )
    return set_volume(replace(state, press_series=tuple(series)), percent)


def released(state: State, event: ButtonReleased, now_s: float) -> Step:
    """Handle a release."""
    was_stuck = event.button in state.stuck
    state = replace(
        state,
        held=_not_held(state, event.button),
        stuck=_others(state, event.button),
        bounced=event.button if was_stuck else None,
    )
    ending: tuple[Command, ...] = ()
    if event.button is Button.TALK:
        end = talk.button_lost if event.is_lost else talk.release
        state, ending = end(state, _at_s(event, now_s))
    if event.button is Button.LEAVE:
        was_held = state.leave_down_s is not None
        state = replace(state, leave_down_s=None, is_hold_bounced=was_held)
    if not event.is_lost:
        return state, ending
    # A wire that is repaired works at once.
    series = _series(state, event.button, now_s)
    state = replace(state, press_series=_other_series(state, event.button))
    if series is None or series.is_bad:
        return state, ending
    state, undoing = _undone(state, series, now_s)
    return state, (*ending, *undoing)


def tick(state: State, now_s: float) -> Step:
    """Name jammed buttons, and leave when the leave button was held for its time."""
    jammed = [button for button, due_s in _jams(state) if now_s >= due_s]
    state = replace(state, stuck=(*state.stuck, *jammed)) if jammed else state
    if now_s < leave_due_s(state):
        return state, ()
    return session.end(replace(state, leave_down_s=None), Goal.STAY_OUT, now_s)


def leave_due_s(state: State) -> float:
    """Return when the held leave button takes effect; infinity while it is up."""
    if state.leave_down_s is None:
        return inf
    return state.leave_down_s + state.config.talk.leave_hold_ms / 1000


def jam_due_s(state: State) -> float:
    """Return when a button that is down counts as jammed; infinity: none does."""
    return min((due_s for _, due_s in _jams(state)), default=inf)


def _jams(state: State) -> list[tuple[Button, float]]:
    """Return the buttons that are down, and when each counts as jammed."""
    talk_at_s = state.talk.closed_at_s
    if state.talk.is_open and state.talk.is_momentary(state.config.talk.mode):
        talk_at_s = inf
    return [
        (button, HELD_S + max(down_s, talk_at_s if button is Button.TALK else 0.0))
        for button, down_s in state.held
        if button not in state.stuck
    ]


def _held_at_boot(state: State, button: Button, at_s: float) -> Step:
    """Handle a button that was down when its pin was opened."""
    if button is Button.TALK:
        return talk.press(state, at_s, is_at_boot=True)
    return replace(state, stuck=(*_others(state, button), button)), ()


def _series(state: State, button: Button, at_s: float) -> PressSeries | None:
    """Return the button's series of presses; None: the next press begins one."""
    found = (one for one in state.press_series if one.button is button)
    series = next(found, None)
    return series if series and at_s - series.last_s < QUIET_S else None


def _continued(
    state: State, last: PressSeries | None, button: Button, at_s: float
) -> PressSeries:
    """Return the series after a press."""
    is_hasty = last is not None and at_s - last.last_s < HASTE_S
    if last and (is_hasty or last.is_bad):
        return replace(last, last_s=at_s, hasty=last.hasty + is_hasty)
    alike = next((same for same in SAME_EFFECT if button in same), frozenset())
    found = (_series(state, other, at_s) for other in alike - {button})
    together = (x for x in found if x and at_s - x.last_s < HASTE_S and not x.is_bad)
    other = next(together, None)
    before = other.before if other else replace(state, press_series=())
    return PressSeries(button, at_s, before, (last.presses if last else 0) + 1)


def _chosen(state: State, chooser: Button | None, at_s: float) -> State:
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
        is_often = one.presses > FEW_PRESSES
        presses = MOST_PRESSES if is_often else one.presses
        return replace(one, before=before, presses=presses)

    return replace(state, press_series=tuple(map(after, state.press_series)))


def _pressed(state: State, series: PressSeries, now_s: float) -> Step:
    """Handle a press of another button than talk."""
    match series.button:
        case Button.LEAVE if state.config.talk.leave_hold_ms and not state.is_out:
            return replace(state, leave_down_s=now_s), ()
        case _ if series.is_bad or series.presses > _most_presses(state, series.button):
            return state, ()
        case Button.LEAVE:
            return _leave(state, now_s)
        case Button.NEXT_ROOM:
            return session.next_room(state, now_s)
        case Button.NEXT_PAGE:
            return _next_page(state), ()
        case _:
            return _turn_volume(state, is_up=series.button is Button.VOLUME_UP)


def _most_presses(state: State, button: Button) -> float:
    """Return after how many presses without a pause a button is ignored.

    After as many the box is where it was before.
    """
    if button not in ROOM_BUTTONS:
        return inf
    places = 2 if button is Button.LEAVE else 1 + len(state.config.room.presets)
    return MOST_PRESSES - MOST_PRESSES % places


def _talk_pressed(state: State, series: PressSeries, at_s: float, now_s: float) -> Step:
    """Handle a press of the talk button, which also rejoins a room.

    A bad contact still talks and mutes, but does neither undo a mute nor rejoin.
    """
    is_ignored = series.is_bad or series.presses > MOST_PRESSES
    if is_ignored and state.talk.is_muted:
        return state, ()
    step = talk.press(state, at_s, is_at_boot=False)
    return step if is_ignored else _rejoined(*step, now_s)


def _rejoined(state: State, commands: tuple[Command, ...], now_s: float) -> Step:
    """Rejoin on a talk press if the box was removed; only a new press talks."""
    if not state.is_removed:
        return state, commands
    state, joining = session.join(state, state.preset, None, now_s)
    return state, (*commands, *joining)


def _undone(state: State, series: PressSeries, now_s: float) -> Step:
    """Undo what the first press of a bad contact or of a floating wire has changed.

    Without its button, and perhaps without the page, nobody else may do so.
    """
    before = series.before
    match series.button:
        case Button.TALK:
            # In `open` mode the first press may have been a person's mute.
            is_muted = before.talk.is_muted or state.is_open_mode
            state = talk.muted_on_page(state, is_on=is_muted)
            return _back(agent_return.unused(state, before), before, now_s)
        case Button.NEXT_PAGE:
            return replace(state, screen_page=before.screen_page), ()
        case Button.VOLUME_UP | Button.VOLUME_DOWN:
            return set_volume(state, before.volume_percent)
        case _:
            return _back(state, before, now_s)


def _back(state: State, before: State, now_s: float) -> Step:
    """Return to the previous room, or out of it."""
    is_there = state.is_removed or _place(state) is _place(before)
    if state.preset == before.preset and is_there:
        return state, ()
    state = replace(state, chat=state.chat.queued_again(before.chat.queued))
    match _place(before):
        case Goal.WAIT:
            return _put_out(state, before, now_s)
        case Goal.STAY_OUT:
            state = replace(state, preset=before.preset)
            return session.end(state, Goal.STAY_OUT, now_s)
        case _:
            state, joining = session.join(state, before.preset, None, now_s)
            change, failed_change = before.change, before.failed_change
            return replace(state, change=change, failed_change=failed_change), joining


def _place(state: State) -> Goal:
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


def _resumed(state: State, event: ButtonPressed, now_s: float) -> State:
    """Continue a press that has had its effect; only holding it still counts."""
    if event.button is Button.TALK:
        return talk.resume(state)
    if event.button is state.bounced:
        return replace(state, stuck=(*state.stuck, event.button), bounced=None)
    if event.button is Button.LEAVE and state.is_hold_bounced:
        return replace(state, leave_down_s=_at_s(event, now_s))
    return state


def _at_s(event: ButtonEvent, now_s: float) -> float:
    """Return when the contact moved; the event may be handled much later."""
    return now_s if event.at_s is None else min(event.at_s, now_s)


def _leave(state: State, now_s: float) -> Step:
    """Leave the room, or join it again; joining needs no hold."""
    if state.is_out:
        return session.join(state, state.preset, None, now_s)
    return session.end(state, Goal.STAY_OUT, now_s)


def _next_page(state: State) -> State:
    """Show the next screen page, also instead of an automatically shown PIN."""
    pages = tuple(ScreenPage)
    following = pages[(pages.index(state.screen_page) + 1) % len(pages)]
    return replace(state, screen_page=following, pairing_until_s=None)


def _not_held(state: State, button: Button) -> tuple[tuple[Button, float], ...]:
    """Return the buttons that are down, except this one, and since when."""
    return tuple(other for other in state.held if other[0] is not button)


def _other_series(state: State, button: Button) -> tuple[PressSeries, ...]:
    return tuple(one for one in state.press_series if one.button is not button)


def _others(state: State, button: Button) -> tuple[Button, ...]:
    """Return the stuck buttons except this one."""
    return tuple(other for other in state.stuck if other is not button)


def set_volume(state: State, percent: int) -> Step:
    """Set the volume of the speaker and store it."""
    state = replace(state, volume_percent=percent)
    return state, (SetVolume(percent), StoreVolumeAndGain(percent=percent))


def set_gain(state: State, db: float) -> Step:
    """Set the gain of the microphone and store it."""
    state = replace(state, microphone_gain_db=db)
    return state, (SetGain(db), StoreVolumeAndGain(db=db))


def _turn_volume(state: State, *, is_up: bool) -> Step:
    """Raise or lower the volume by one step of its button."""
    step = VOLUME_STEP_PERCENT if is_up else -VOLUME_STEP_PERCENT
    return set_volume(state, max(0, min(100, state.volume_percent + step)))
