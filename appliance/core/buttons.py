"""What a press on the box means; the talk button has a module of its own."""

from dataclasses import replace

from appliance.core import session, talk
from appliance.core.commands import Command, KeepLevels, SetGain, SetVolume
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    GainAsked,
    VolumeAsked,
)
from appliance.core.session import Step
from appliance.core.state import Goal, ScreenPage, State

VOLUME_STEP_PERCENT = 5
"""Our choice: twenty presses from silent to loudest."""


def pressed(state: State, event: ButtonPressed, now_s: float) -> Step:
    """Take the first edge of a press."""
    if event.is_resumed:
        return _resumed(state, event, now_s), ()
    if event.button is Button.TALK:
        at_s = _at_s(event, now_s)
        return talk.press(state, at_s, is_at_boot=event.is_at_boot)
    if event.is_at_boot:
        return replace(state, stuck=(*_others(state, event.button), event.button)), ()
    return _pressed(state, event.button, now_s)


def released(state: State, event: ButtonReleased, now_s: float) -> Step:
    """Take the end of a press."""
    state = replace(state, stuck=_others(state, event.button))
    if event.button is Button.TALK:
        return talk.release(state, _at_s(event, now_s))
    if event.button is Button.LEAVE:
        return replace(state, leave_down_s=None), ()
    return state, ()


def tick(state: State, now_s: float) -> Step:
    """Leave when the button was held for long enough."""
    if now_s < leave_due_s(state):
        return state, ()
    return session.leave(replace(state, leave_down_s=None), Goal.STAY_OUT, now_s)


def leave_due_s(state: State) -> float:
    """Return when the held leave button takes effect; infinity when it is not held."""
    if state.leave_down_s is None:
        return float("inf")
    return state.leave_down_s + state.config.talk.leave_hold_ms / 1000


def levels_asked(state: State, event: VolumeAsked | GainAsked) -> Step:
    """Set volume or gain, and keep both."""
    command: Command
    if isinstance(event, VolumeAsked):
        state = replace(state, volume_percent=event.percent)
        command = SetVolume(event.percent)
    else:
        state = replace(state, microphone_gain_db=event.db)
        command = SetGain(event.db)
    return state, (command, KeepLevels(state.volume_percent, state.microphone_gain_db))


def _pressed(state: State, button: Button, now_s: float) -> Step:
    match button:
        case Button.LEAVE:
            return _leave(state, now_s)
        case Button.NEXT_ROOM:
            return session.next_room(state, now_s)
        case Button.NEXT_PAGE:
            return _next_page(state), ()
        case _:
            return _volume(state, button)


def _resumed(state: State, event: ButtonPressed, now_s: float) -> State:
    """Go on with a press that has had its effect: only holding counts."""
    if event.button is Button.TALK:
        return talk.resume(state)
    is_held = state.config.talk.leave_hold_ms > 0 and not session.is_out(state)
    if event.button is Button.LEAVE and is_held:
        return replace(state, leave_down_s=_at_s(event, now_s))
    return state


def _at_s(event: ButtonPressed | ButtonReleased, now_s: float) -> float:
    """Return when the contact moved: an event may be handled long after that."""
    return now_s if event.at_s is None else min(event.at_s, now_s)


def _leave(state: State, now_s: float) -> Step:
    """Leave at once or after the hold time; coming back never needs a hold."""
    if session.is_out(state) or state.config.talk.leave_hold_ms == 0:
        return session.press_leave(state, now_s)
    return replace(state, leave_down_s=now_s), ()


def _volume(state: State, button: Button) -> Step:
    is_up = button is Button.VOLUME_UP
    step = VOLUME_STEP_PERCENT if is_up else -VOLUME_STEP_PERCENT
    percent = max(0, min(100, state.volume_percent + step))
    return levels_asked(state, VolumeAsked(percent))


def _next_page(state: State) -> State:
    """Turn the page; a PIN that came by itself gives way to the hand at the box."""
    pages = tuple(ScreenPage)
    following = pages[(pages.index(state.screen_page) + 1) % len(pages)]
    return replace(state, screen_page=following, pairing_until_s=None)


def _others(state: State, button: Button) -> tuple[Button, ...]:
    """Return the stuck buttons but this one."""
    return tuple(other for other in state.stuck if other is not button)
