"""Effects of the buttons, and volume and gain; `talk` has the talk button."""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core import agent_return, bad_contacts, session, talk
from appliance.core.bad_contacts import series_of, with_series, without_series
from appliance.core.commands import Command, SetGain, SetVolume, StoreVolumeAndGain
from appliance.core.events import Button, ButtonEvent, ButtonPressed, ButtonReleased
from appliance.core.state import Goal, PressSeries, ScreenPage, State, Step

VOLUME_STEP_PERCENT: Final = 5
"""Our choice: twenty presses over the whole range."""
HELD_S: Final = 600.0
"""After this time a button that is down counts as jammed; our choice, longer than a
person holds one. A talk that is on is no jam."""


def pressed(state: State, event: ButtonPressed, now_s: float) -> Step:
    """Handle a press."""
    button, at_s = event.button, _at_s(event, now_s)
    last = series_of(state, button, at_s)
    state = replace(state, held=(*_not_held(state, button), (button, now_s)))
    if event.is_resumed:
        return _resumed(state, event, now_s), ()
    state = replace(state, wakes=state.wakes + 1)
    if event.is_at_boot:
        # Its release may bounce.
        series = bad_contacts.begun(state, button, at_s, presses=0)
        state = with_series(state, series)
        return _held_at_boot(state, button, at_s)
    state, series = bad_contacts.continued(state, last, button, at_s)
    before = state
    commands: tuple[Command, ...] = ()
    if last and series.presses == last.presses:
        # It is the bounce of that press.
        state = _resumed(state, event, now_s)
    elif button is Button.TALK:
        state, commands = _talk_pressed(state, at_s, now_s)
    elif not series.is_bad:
        state, commands = _pressed(state, button, now_s)
    state = bad_contacts.changed(before, state, button)
    if series.is_bad and not (last and last.is_bad):
        state, undoing = bad_contacts.undone(state, series, now_s)
        commands = (*commands, *undoing)
    return bad_contacts.unlatched(state), commands


def released(state: State, event: ButtonReleased, now_s: float) -> Step:
    """Handle a release."""
    button, at_s = event.button, _at_s(event, now_s)
    series = series_of(state, button, now_s)
    was_stuck = button in state.stuck
    state = replace(
        state,
        held=_not_held(state, button),
        stuck=_others(state, button),
        bounced=button if was_stuck else None,
    )
    ending: tuple[Command, ...] = ()
    if button is Button.TALK:
        if _is_spared(state):
            state = replace(state, talk=replace(state.talk, is_button_down=False))
        end = talk.button_lost if event.is_lost else talk.release
        state, ending = end(state, at_s)
    if button is Button.LEAVE:
        was_held = state.leave_down_s is not None
        state = replace(state, leave_down_s=None, is_hold_bounced=was_held)
    if event.is_lost:
        state, undoing = _lost(state, series, button, now_s)
        return state, (*ending, *undoing)
    if series:
        state = with_series(state, bad_contacts.released(series, at_s))
    return bad_contacts.unlatched(state), ending


def _lost(
    state: State, series: PressSeries | None, button: Button, now_s: float
) -> Step:
    """Handle the loss of a button, whose wire may have made its newest presses."""
    undoing: tuple[Command, ...] = ()
    if series and button is Button.TALK:
        state = agent_return.unused(state, series)
    if series and series.presses and not series.is_bad:
        state, undoing = bad_contacts.undone(state, series, now_s)
    # A wire that is repaired works at once.
    return without_series(state, {button}), undoing


def tick(state: State, now_s: float) -> Step:
    """Name jammed buttons, forget bad contacts, and leave after a hold."""
    state = bad_contacts.forgotten(state, now_s)
    jammed = [button for button, due_s in _jams(state) if now_s >= due_s]
    state = replace(state, stuck=(*state.stuck, *jammed)) if jammed else state
    if now_s < leave_due_s(state):
        return state, ()
    left = replace(state, leave_down_s=None)
    state, commands = session.end(left, Goal.STAY_OUT, now_s)
    return bad_contacts.changed(left, state, Button.LEAVE), commands


def due_s(state: State) -> float:
    """Return when `tick` has something to do; infinity: never."""
    jams = (due_s for _, due_s in _jams(state))
    return min(leave_due_s(state), bad_contacts.due_s(state), *jams)


def leave_due_s(state: State) -> float:
    """Return when the held leave button takes effect; infinity while it is up."""
    if state.leave_down_s is None:
        return inf
    return state.leave_down_s + state.config.talk.leave_hold_ms / 1000


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


def _is_hold(state: State, button: Button) -> bool:
    """Return whether the press has no effect before it was held for its time."""
    has_hold = state.config.talk.leave_hold_ms > 0
    return button is Button.LEAVE and has_hold and not state.is_out


def _pressed(state: State, button: Button, now_s: float) -> Step:
    """Handle a press of another button than talk."""
    match button:
        case Button.LEAVE if _is_hold(state, button):
            return replace(state, leave_down_s=now_s), ()
        case Button.LEAVE if state.is_out:
            return session.join(state, state.preset, None, now_s)
        case Button.LEAVE:
            return session.end(state, Goal.STAY_OUT, now_s)
        case Button.NEXT_ROOM:
            return session.next_room(state, now_s)
        case Button.NEXT_PAGE:
            return _next_page(state), ()
        case _:
            return _turn_volume(state, is_up=button is Button.VOLUME_UP)


def _talk_pressed(state: State, at_s: float, now_s: float) -> Step:
    """Handle a press of the talk button, which also rejoins a room.

    A bad contact still talks while it is closed, because a word is worth more than a
    hum, and mutes; but it neither undoes a mute, nor rejoins, nor latches a talk.
    """
    if not bad_contacts.is_bad(state, Button.TALK):
        return _rejoined(*talk.press(state, at_s, is_at_boot=False), now_s)
    if state.is_open_mode:
        return talk.muted_on_page(state, is_on=True), ()
    if state.talk.is_muted or _is_spared(state):
        return state, ()
    return talk.press(state, at_s, is_at_boot=False)


def _is_spared(state: State) -> bool:
    """Return whether the page talks while the talk button has a bad contact.

    The page is perhaps the only good way to talk that is left.
    """
    return state.talk.is_page_down and bad_contacts.is_bad(state, Button.TALK)


def _rejoined(state: State, commands: tuple[Command, ...], now_s: float) -> Step:
    """Rejoin on a talk press if the box was removed; only a new press talks."""
    if not state.is_removed:
        return state, commands
    state, joining = session.join(state, state.preset, None, now_s)
    return state, (*commands, *joining)


def _resumed(state: State, event: ButtonPressed, now_s: float) -> State:
    """Continue a press that has had its effect; only holding it still counts."""
    if event.button is Button.TALK:
        return state if _is_spared(state) else talk.resume(state)
    if event.button is state.bounced:
        return replace(state, stuck=(*state.stuck, event.button), bounced=None)
    is_bad = bad_contacts.is_bad(state, event.button)
    if event.button is Button.LEAVE and state.is_hold_bounced and not is_bad:
        return replace(state, leave_down_s=_at_s(event, now_s))
    return state


def _at_s(event: ButtonEvent, now_s: float) -> float:
    """Return when the contact moved; the event may be handled much later."""
    return now_s if event.at_s is None else min(event.at_s, now_s)


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
