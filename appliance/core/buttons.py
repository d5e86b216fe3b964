"""Effects of the buttons, and volume and gain; `talk` has the talk button.

Presses of a wire that floats are undone when its pin fails: a talk ends, an open box is
muted, and the box goes back into the room, or stays out of it, as before the presses.
"""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import session, talk
from appliance.core.commands import Command, SetGain, SetVolume, StoreVolumeAndGain
from appliance.core.events import Button, ButtonEvent, ButtonPressed, ButtonReleased
from appliance.core.state import ButtonState, Goal, Phase, ScreenPage, State, Step

VOLUME_STEP_PERCENT: Final = 5
"""Our choice: twenty presses over the whole range."""
BOUNCE_S: Final = 0.04
"""A press this soon after the button's release is bounce of a worn contact, because
nobody presses again so quickly: the press before it goes on."""
CHOOSING: Final = frozenset({Button.LEAVE, Button.NEXT_ROOM})
"""Buttons that choose a room, or none."""
REST_S: Final = 5.0
"""Rest, up or down, that ends a series of presses. It is longer than a floating wire
takes to be found (3.6 s), which may have made a single press of all that time."""
MOST_PRESSES: Final = 50
"""Presses of a series that may each choose a room; our choice: more than anybody makes.
A contact that chatters slowly would have one token fetched after the other. The number
is even, so that a leave button leaves the box as it was."""


def pressed(state: State, event: ButtonPressed, now_s: float) -> Step:
    """Handle a press."""
    button, at_s = event.button, _at_s(event, now_s)
    if event.is_at_boot:
        stuck = ButtonState(button, is_down=True, is_at_boot=True, moved_at_s=at_s)
        state = _with(state, stuck)
        return talk.held_at_boot(state) if button is Button.TALK else state, ()
    last = _of(state, button)
    if at_s >= last.moved_at_s + REST_S:
        last = ButtonState(button, preset=state.preset, had_left=_has_left(state))
    is_bounce = event.is_resumed or at_s < last.moved_at_s + BOUNCE_S
    # A bounce has no effect of its own; only holding it still counts.
    is_hold = last.hold_began_at_s is not None if is_bounce else _is_hold(state, button)
    new = replace(
        last,
        is_down=True,
        is_at_boot=is_bounce and last.is_at_boot,
        moved_at_s=at_s,
        hold_began_at_s=at_s if is_hold else None,
        presses=last.presses + (not is_bounce),
    )
    state = _with(state, new)
    if is_bounce:
        return talk.resume(state) if button is Button.TALK else state, ()
    if button in CHOOSING and new.presses > MOST_PRESSES:
        return state, ()
    state = replace(state, wakes=state.wakes + 1)
    if button is Button.TALK:
        state, commands = talk.press(state, at_s, at_s - last.moved_at_s)
        return _rejoined(state, commands, now_s)
    return (state, ()) if is_hold else _pressed(state, button, now_s)


def released(state: State, event: ButtonReleased, now_s: float) -> Step:
    """Handle a release, or the failure of the pin."""
    button, at_s = event.button, _at_s(event, now_s)
    last = _of(state, button)
    if event.is_lost:
        # A wire that is repaired works at once.
        return _failed(_with(state, ButtonState(button)), last, now_s)
    if not last.is_down:
        return state, ()
    state = _with(state, replace(last, is_down=False, moved_at_s=at_s))
    return talk.release(state, at_s) if button is Button.TALK else state, ()


def tick(state: State, now_s: float) -> Step:
    """Leave the room if the leave button was held for its time."""
    if now_s < leave_due_s(state):
        return state, ()
    leave = replace(_of(state, Button.LEAVE), hold_began_at_s=None)
    return session.end(_with(state, leave), Goal.STAY_OUT, now_s)


def leave_due_s(state: State) -> float:
    """Return when the held leave button takes effect; infinity while it is up."""
    leave = _of(state, Button.LEAVE)
    if leave.hold_began_at_s is None or not leave.is_down:
        return inf
    return leave.hold_began_at_s + state.config.talk.leave_hold_ms / 1000


def set_volume(state: State, percent: int) -> Step:
    """Set the volume of the speaker and store it."""
    state = replace(state, volume_percent=percent)
    return state, (SetVolume(percent), StoreVolumeAndGain(percent=percent))


def set_gain(state: State, db: float) -> Step:
    """Set the gain of the microphone and store it."""
    state = replace(state, microphone_gain_db=db)
    return state, (SetGain(db), StoreVolumeAndGain(db=db))


def _of(state: State, button: Button) -> ButtonState:
    """Return the state of this button."""
    return next(one for one in state.buttons if one.button is button)


def _with(state: State, new: ButtonState) -> State:
    """Return the state with the new state of one button."""
    buttons = (new if one.button is new.button else one for one in state.buttons)
    return replace(state, buttons=tuple(buttons))


def _at_s(event: ButtonEvent, now_s: float) -> float:
    """Return when the contact moved; the event may be handled much later."""
    return now_s if event.at_s is None else min(event.at_s, now_s)


def _failed(state: State, failed: ButtonState, now_s: float) -> Step:
    """Undo what the newest presses of a lost button did to talk and room."""
    is_recent = not failed.is_at_boot and now_s < failed.moved_at_s + REST_S
    if failed.button is Button.TALK:
        return talk.button_failed(state, is_pressed=is_recent), ()
    preset, has_left = state.preset, _has_left(state)
    if failed.button is Button.LEAVE and is_recent:
        has_left = failed.had_left
    if failed.button is Button.NEXT_ROOM and is_recent:
        # It leaves no room: that was somebody's wish.
        preset, has_left = failed.preset, failed.had_left or has_left
    if (preset, has_left) == (state.preset, _has_left(state)):
        return state, ()
    if has_left:
        return session.end(replace(state, preset=preset), Goal.STAY_OUT, now_s)
    return session.join(state, preset, None, now_s)


def _has_left(state: State) -> bool:
    """Return whether somebody has left the room, and nobody has asked to rejoin."""
    is_leaving = state.phase is Phase.LEAVING and state.goal is Goal.STAY_OUT
    return is_leaving or state.phase is Phase.LEFT


def _is_hold(state: State, button: Button) -> bool:
    """Return whether the press has no effect before it was held for its time."""
    has_hold = state.config.talk.leave_hold_ms > 0
    return button is Button.LEAVE and has_hold and not state.is_out


def _rejoined(state: State, commands: tuple[Command, ...], now_s: float) -> Step:
    """Rejoin on a talk press if the box was removed; only a new press talks."""
    if not state.is_removed:
        return state, commands
    state, joining = session.join(state, state.preset, None, now_s)
    return state, (*commands, *joining)


def _pressed(state: State, button: Button, now_s: float) -> Step:
    """Handle a press of another button than talk."""
    match button:
        case Button.LEAVE if state.is_out:
            return session.join(state, state.preset, None, now_s)
        case Button.LEAVE:
            return session.end(state, Goal.STAY_OUT, now_s)
        case Button.NEXT_ROOM:
            return session.next_room(state, now_s)
        case Button.NEXT_PAGE:
            return _next_page(state), ()
        case _:
            is_up = button is Button.VOLUME_UP
            step = VOLUME_STEP_PERCENT if is_up else -VOLUME_STEP_PERCENT
            return set_volume(state, max(0, min(100, state.volume_percent + step)))


def _next_page(state: State) -> State:
    """Show the next screen page, also instead of an automatically shown PIN."""
    pages = tuple(ScreenPage)
    following = pages[(pages.index(state.screen_page) + 1) % len(pages)]
    return replace(state, screen_page=following, pairing_until_s=0.0)
