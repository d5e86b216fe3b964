"""Effects of the buttons, and volume and gain; `talk` has the talk button."""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import agent_return, session, talk
from appliance.core.commands import Command, SetGain, SetVolume, StoreVolumeAndGain
from appliance.core.events import Button, ButtonEvent, ButtonPressed, ButtonReleased
from appliance.core.state import (
    Goal,
    Phase,
    PressSeries,
    ScreenPage,
    State,
    Step,
)

VOLUME_STEP_PERCENT: Final = 5
"""Our choice: twenty presses over the whole range."""
LOST_S: Final = 5.0
"""A floating wire is detected after up to 3.6 s; until then its edges count as presses.

After this time without a press the wire is no longer suspected.
"""
MOST_PRESSES: Final = 50
"""Presses in quick succession after which a button asks for no session any more: a
contact that chatters too rarely to float would have one token fetched after the other,
all day. Our choice: more than anybody presses."""
HELD_S: Final = 600.0
"""After this time a button that is down counts as jammed; our choice, longer than a
person holds one. A talk that is on is no jam."""
ROOM_BUTTONS: Final = frozenset({Button.LEAVE, Button.NEXT_ROOM})
SAME_EFFECT: Final = (
    ROOM_BUTTONS,
    frozenset({Button.VOLUME_UP, Button.VOLUME_DOWN}),
)
"""Buttons that change the same. What both have changed is restored, because their wires
float together when their common ground breaks."""


def pressed(state: State, event: ButtonPressed, now_s: float) -> Step:
    """Handle a press."""
    state = replace(
        state, held=(*_not_held(state, event.button), (event.button, now_s))
    )
    if event.is_resumed:
        return _resumed(state, event, now_s), ()
    state = replace(state, wakes=state.wakes + 1)
    if not event.is_at_boot:
        state = _with_series(state, event.button, now_s)
    if event.button is Button.TALK:
        at_s = _at_s(event, now_s)
        step = talk.press(state, at_s, is_at_boot=event.is_at_boot)
        return step if event.is_at_boot else _rejoined(*step, now_s)
    if event.is_at_boot:
        return replace(state, stuck=(*_others(state, event.button), event.button)), ()
    return _pressed(state, event.button, now_s)


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
    series = _series(state, event.button, now_s) if event.is_lost else None
    if series is None:
        return state, ending
    state, restoring = _restored(state, event.button, series.before, now_s)
    # A wire that is repaired works at once.
    others = (one for one in state.press_series if one is not series)
    return replace(state, press_series=tuple(others)), (*ending, *restoring)


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


def _pressed(state: State, button: Button, now_s: float) -> Step:
    match button:
        case Button.LEAVE | Button.NEXT_ROOM if chatter := _chatter(state, button):
            # At once, because this button cannot do so any more.
            is_first = chatter.presses == MOST_PRESSES + 1
            undone = _back(state, button, chatter.before, now_s) if is_first else None
            return undone or (state, ())
        case Button.LEAVE:
            return _leave(state, now_s)
        case Button.NEXT_ROOM:
            return session.next_room(state, now_s)
        case Button.NEXT_PAGE:
            return _next_page(state), ()
        case _:
            return _turn_volume(state, is_up=button is Button.VOLUME_UP)


def requested(old: State, step: Step) -> Step:
    """Return the step of a request on the page, which no loss of a button undoes.

    `old` is the state before it.
    """
    state, commands = step
    before = replace(state, press_series=())
    if state.preset != old.preset:
        # The lines that waited are given up for good.
        before = replace(before, chat=state.chat.given_up(old.chat.queued))
    # What the other buttons have changed is still undone, but not this request.
    series = (
        replace(
            one,
            before=before
            if one.button in ROOM_BUTTONS
            else replace(one.before, phase=state.phase, cause=state.cause),
        )
        for one in state.press_series
    )
    return replace(state, press_series=tuple(series)), commands


def _rejoined(state: State, commands: tuple[Command, ...], now_s: float) -> Step:
    """Rejoin on a talk press if the box was removed; only a new press talks."""
    if not state.is_removed or _chatter(state, Button.TALK) is not None:
        return state, commands
    state, joining = session.join(state, state.preset, None, now_s)
    return state, (*commands, *joining)


def _series(state: State, button: Button, now_s: float) -> PressSeries | None:
    """Return the series of presses that goes on; None: the next press begins one."""
    series = _newest_series(state, button)
    return series if series and now_s - series.last_s < LOST_S else None


def _newest_series(state: State, button: Button) -> PressSeries | None:
    return next((one for one in state.press_series if one.button is button), None)


def _with_series(state: State, button: Button, now_s: float) -> State:
    """Return the state before a press, which begins or continues a series."""
    series = _series(state, button, now_s)
    if series is None:
        alike = next((same for same in SAME_EFFECT if button in same), frozenset())
        found = (_series(state, other, now_s) for other in alike - {button})
        other = next(found, None)
        before = other.before if other else replace(state, press_series=())
        series = PressSeries(button, now_s, before)
    series = replace(series, last_s=now_s, presses=series.presses + 1)
    others = (one for one in state.press_series if one.button is not button)
    return replace(state, press_series=(*others, series))


def _chatter(state: State, button: Button) -> PressSeries | None:
    """Return the newest series, if it has more presses than anybody presses."""
    series = _newest_series(state, button)
    return series if series is not None and series.presses > MOST_PRESSES else None


def _restored(state: State, lost: Button, before: State, now_s: float) -> Step:
    """Restore what the presses of a floating wire have changed.

    Without its button, and perhaps without the page, nobody else may do so.
    """
    match lost:
        case Button.TALK:
            # In `open` mode one of the presses may have been a person's mute.
            is_muted = before.talk.is_muted or state.is_open_mode
            state = talk.page_mute(state, is_on=True) if is_muted else state
            state = agent_return.unused(state, before)
            has_leave = _series(state, Button.LEAVE, now_s) is not None
            is_left = _stays_out(state) and not has_leave
            is_undone = _would_wait(before, now_s) and not is_left
            return _put_out(state, before, now_s) if is_undone else (state, ())
        case Button.NEXT_PAGE:
            return replace(state, screen_page=before.screen_page), ()
        case Button.VOLUME_UP | Button.VOLUME_DOWN:
            return set_volume(state, before.volume_percent)
        case _ if _chatter(state, lost) and not _would_wait(before, now_s):
            # All was undone when this button began to be ignored.
            return state, ()
        case _:
            return _back(state, lost, before, now_s)


def _back(state: State, lost: Button, before: State, now_s: float) -> Step:
    """Return to the previous room, or stay out if the room had been left.

    With the leave button somebody may have left it while the room button chattered.
    """
    state = replace(state, chat=state.chat.queued_again(before.chat.queued))
    if lost is Button.NEXT_ROOM and _stays_out(state):
        return replace(state, preset=before.preset), ()
    if _would_wait(before, now_s):
        return _put_out(state, before, now_s)
    was_left = _stays_out(before)
    if (state.preset, _stays_out(state)) == (before.preset, was_left):
        return state, ()
    if was_left:
        state = replace(state, preset=before.preset)
        return session.end(state, Goal.STAY_OUT, now_s)
    return session.join(state, before.preset, None, now_s)


def _would_wait(before: State, now_s: float) -> bool:
    """Return whether a box that was put out would still wait by itself."""
    return before.is_removed and now_s < before.retry_at_s


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


def _stays_out(state: State) -> bool:
    """Return whether the room was left, or is being left, until somebody joins it."""
    is_leaving = state.phase is Phase.LEAVING and state.goal is Goal.STAY_OUT
    return is_leaving or state.phase is Phase.LEFT


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
    """Leave at once or after the hold time; joining again needs no hold."""
    if state.is_out:
        return session.join(state, state.preset, None, now_s)
    if state.config.talk.leave_hold_ms == 0:
        return session.end(state, Goal.STAY_OUT, now_s)
    return replace(state, leave_down_s=now_s), ()


def _next_page(state: State) -> State:
    """Show the next screen page, also instead of an automatically shown PIN."""
    pages = tuple(ScreenPage)
    following = pages[(pages.index(state.screen_page) + 1) % len(pages)]
    return replace(state, screen_page=following, pairing_until_s=None)


def _not_held(state: State, button: Button) -> tuple[tuple[Button, float], ...]:
    """Return the buttons that are down, except this one, and since when."""
    return tuple(other for other in state.held if other[0] is not button)


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
