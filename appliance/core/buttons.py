"""Effects of the buttons, and volume and gain; `talk` has the talk button."""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import session, talk
from appliance.core.commands import Command, SetGain, SetVolume, StoreVolumeAndGain
from appliance.core.events import Button, ButtonEvent, ButtonPressed, ButtonReleased
from appliance.core.state import Goal, Phase, ScreenPage, State, Step

VOLUME_STEP_PERCENT: Final = 5
"""Our choice: twenty presses over the whole range."""
LOST_S: Final = 5.0
"""A wire is found to float after up to 3.6 s, in which it seems to be pressed."""


def pressed(state: State, event: ButtonPressed, now_s: float) -> Step:
    """Handle a press."""
    if event.is_resumed:
        return _resumed(state, event, now_s), ()
    state = replace(state, wakes=state.wakes + 1)
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
        stuck=_others(state, event.button),
        bounced=event.button if was_stuck else None,
    )
    if event.button is Button.TALK:
        end = talk.button_lost if event.is_lost else talk.release
        return end(state, _at_s(event, now_s))
    if event.button is Button.LEAVE:
        was_held = state.leave_down_s is not None
        state = replace(state, leave_down_s=None, is_hold_bounced=was_held)
    return _back(state, event.button, now_s) if event.is_lost else (state, ())


def tick(state: State, now_s: float) -> Step:
    """Leave when the leave button has been held for its hold time."""
    if now_s < leave_due_s(state):
        return state, ()
    return session.end(replace(state, leave_down_s=None), Goal.STAY_OUT, now_s)


def leave_due_s(state: State) -> float:
    """Return when the held leave button takes effect; infinity while it is up."""
    if state.leave_down_s is None:
        return inf
    return state.leave_down_s + state.config.talk.leave_hold_ms / 1000


def _pressed(state: State, button: Button, now_s: float) -> Step:
    match button:
        case Button.LEAVE:
            return _leave(state, now_s)
        case Button.NEXT_ROOM:
            return session.next_room(state, now_s)
        case Button.NEXT_PAGE:
            return _next_page(state), ()
        case _:
            return _turn_volume(state, is_up=button is Button.VOLUME_UP)


def _rejoined(state: State, commands: tuple[Command, ...], now_s: float) -> Step:
    """Rejoin after a talk press, if the box was put out; a new press talks."""
    if not state.is_removed:
        return state, commands
    state, joining = session.join(state, state.preset, None, now_s)
    return state, (*commands, *joining)


def _back(state: State, lost: Button, now_s: float) -> Step:
    """Go back to the room if the presses of a floating wire have just left it.

    Without its button, and perhaps without the page, nobody else may bring it back.
    """
    if now_s - state.since_s > LOST_S:
        return state, ()
    is_left = state.is_out and state.phase in {Phase.LEAVING, Phase.LEFT}
    if lost is Button.LEAVE and is_left:
        return session.join(state, state.preset, None, now_s)
    if lost is Button.NEXT_ROOM and state.change is not None:
        return session.join(state, state.change.back_to, None, now_s)
    return state, ()


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


def _others(state: State, button: Button) -> tuple[Button, ...]:
    """Return the stuck buttons except this one."""
    return tuple(other for other in state.stuck if other is not button)


def set_volume(state: State, percent: int) -> Step:
    """Set the volume of the speaker and store it."""
    state = replace(state, volume_percent=percent)
    return state, (
        SetVolume(percent),
        StoreVolumeAndGain(percent, state.microphone_gain_db),
    )


def set_gain(state: State, db: float) -> Step:
    """Set the gain of the microphone and store it."""
    state = replace(state, microphone_gain_db=db)
    return state, (SetGain(db), StoreVolumeAndGain(state.volume_percent, db))


def _turn_volume(state: State, *, is_up: bool) -> Step:
    """Raise or lower the volume by one step of its button."""
    step = VOLUME_STEP_PERCENT if is_up else -VOLUME_STEP_PERCENT
    return set_volume(state, max(0, min(100, state.volume_percent + step)))
