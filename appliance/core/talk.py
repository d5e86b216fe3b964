"""Push-to-talk: talk button, talk and mute on the page, gate and time limit."""

from dataclasses import replace
from math import ceil, inf
from typing import Final, assert_never

from appliance.config import TalkMode
from appliance.core.commands import (
    ClearPreRoll,
    CloseGate,
    Command,
    Earcon,
    OpenGate,
    PlayEarcon,
    UnmuteTrack,
)
from appliance.core.events import FirstBlockSent, GateEvent, Part, PermissionsChanged
from appliance.core.state import Lock, Phase, State, Step, Talk

TAP_S: Final = 0.3
"""Shorter is a tap, longer a hold; our choice, between a click and a short word."""
GLITCH_S: Final = 0.02
"""Our choice: no finger is faster, so a shorter contact does not latch a talk."""
REST_S: Final = 0.25
"""A press sooner after the release has no time limit of its own: a contact that opens
again and again would evade it."""
KEPT_S: Final = 10.0
"""Longest talk that is kept until the expected voice agent comes."""
ALONE_S: Final = 10.0
"""Time that the other participants have to rejoin after an outage; our choice."""
INTERRUPTED_S: Final = 120.0
"""Longest interruption after which a latched talk goes on by itself; our choice: after
a longer one nobody counts on being heard."""
REFUSED_COMMANDS: Final = (PlayEarcon(Earcon.REFUSED),)


def press(state: State, at_s: float, rested_s: float) -> Step:
    """Handle a press of the talk button, whose contact closed at `at_s`.

    It had been open for `rested_s`. `update_gate` opens the gate afterwards. A refused
    press has no later effect.
    """
    if state.talk.is_button_down:
        return state, ()
    if rested_s >= REST_S or state.talk.last_lock is Lock.BOOT:
        state = _begun(state, at_s)
    talk = replace(
        state.talk, is_button_down=True, button_down_s=at_s, last_lock=Lock.NONE
    )
    state = replace(state, talk=talk)
    is_refused = not (state.is_open_mode or may_talk(state))
    talk = _pressed(talk, state.config.talk.mode, is_refused=is_refused)
    return replace(state, talk=talk), REFUSED_COMMANDS if is_refused else ()


def held_at_boot(state: State) -> State:
    """Return the state with a talk button that was down when its pin was opened."""
    talk = ended(state).talk
    return replace(state, talk=replace(talk, is_button_down=True, last_lock=Lock.BOOT))


def release(state: State, at_s: float) -> State:
    """Handle a release of the talk button, whose contact opened at `at_s`.

    Where the talk lasts as long as the press, it also ends a talk of the page.
    """
    talk = state.talk
    if not talk.is_button_down:
        return state
    is_tap = GLITCH_S <= at_s - talk.button_down_s < TAP_S and not talk.is_press_ignored
    mode = state.config.talk.mode
    is_latched = mode is TalkMode.HYBRID and is_tap and may_talk(state)
    talk = replace(
        page_talk_ended(talk) if talk.is_momentary(mode) else talk,
        is_button_down=False,
        is_latched=talk.is_latched or is_latched,
    )
    return replace(state, talk=talk)


def button_failed(state: State, *, is_pressed: bool) -> State:
    """End the talk of a button that has failed, and let the page undo its mute.

    `is_pressed`: the fault may have pressed it, and so have unmuted an open box.
    """
    state = release(state, inf)
    is_muted = state.talk.is_muted or (state.is_open_mode and is_pressed)
    talk = replace(
        state.talk,
        is_latched=state.is_open_mode,
        is_muted_at_box=False,
        is_muted_on_page=is_muted,
    )
    return replace(state, talk=talk)


def resume(state: State) -> State:
    """Undo a release of the talk button that was contact bounce."""
    # A release latches a talk in `hybrid` mode only.
    is_hybrid = state.config.talk.mode is TalkMode.HYBRID
    is_latched = state.talk.is_latched and not is_hybrid
    talk = replace(state.talk, is_button_down=True, is_latched=is_latched)
    return replace(state, talk=talk)


def page_talk(state: State, now_s: float, *, is_on: bool) -> Step:
    """Handle the talk button of the page.

    It undoes no mute, and does not resume a talk that was ended while it is held. The
    release of such a press leaves a talk alone that was latched later.
    """
    talk = state.talk
    if not is_on:
        is_latched = state.is_open_mode or (talk.is_latched and not talk.is_page_down)
        talk = replace(
            talk, is_page_down=False, is_page_press_ignored=False, is_latched=is_latched
        )
        return replace(state, talk=talk), ()
    if talk.is_muted_at_box:
        return state, ()
    if talk.is_muted_on_page or talk.is_page_press_ignored or not may_talk(state):
        return state, REFUSED_COMMANDS
    state = _begun(state, now_s)
    return replace(state, talk=replace(state.talk, is_page_down=True)), ()


def page_mute(state: State, *, is_on: bool) -> State:
    """Handle the mute switch of the page; only in `open` mode does unmuting talk."""
    talk = replace(state.talk, is_muted_on_page=is_on)
    if is_on and not state.is_open_mode:
        talk = replace(page_talk_ended(talk), is_latched=False, is_press_ignored=True)
    return replace(state, talk=talk)


def gate_reported(state: State, event: GateEvent) -> State:
    """Record whether audio passes the gate; ignore late reports of an ended talk."""
    is_on = isinstance(event, FirstBlockSent)
    talk = replace(
        state.talk,
        is_transmitting=is_on and state.talk.is_open,
        has_tail=is_on and state.talk.has_tail,
    )
    return replace(state, talk=talk)


def ended(state: State) -> State:
    """Return the state without any talk, as after leaving a room on request.

    A button that is still down has to be pressed again. A mute stays.
    """
    talk = replace(
        page_talk_ended(state.talk),
        is_latched=state.is_open_mode,
        is_press_ignored=True,
    )
    return replace(state, talk=talk)


def may_talk(state: State) -> bool:
    """Return whether the gate is allowed to open now."""
    return not refusal(state)


def refusal(state: State) -> str:
    """Return the first reason why a press would be refused; empty: it would not."""
    # While LiveKit resumes, the audio may still get through: a talk is not cut.
    is_going_on = state.phase is Phase.PAUSED and state.talk.is_open
    reasons = {
        "configured without a microphone": state.config.sound.microphone == "none",
        "not connected": not (state.phase is Phase.IN_ROOM or is_going_on),
        "no network": state.is_link_down,
        "release the talk button": state.talk.lock is not Lock.NONE,
        "no microphone": any(lost.part is Part.MICROPHONE for lost in state.lost),
        "not allowed": not state.permissions.may_publish,
        "nobody here": is_alone(state) and not state.conversation.is_awaited,
    }
    return next((reason for reason, is_so in reasons.items() if is_so), "")


def update_gate(state: State, now_s: float) -> Step:
    """Open or close the gate according to the rest of the state."""
    is_allowed = may_talk(state)
    if state.talk.is_transmitting and not is_allowed:
        # The gate closes at once, even if no adapter is left to report it.
        state = replace(state, talk=replace(state.talk, is_transmitting=False))
    if state.talk.has_tail and (state.talk.is_muted or not state.is_in_room):
        # A mute cuts the tail, and the next room must not hear it.
        talk = replace(state.talk, is_transmitting=False, has_tail=False)
        return replace(state, talk=talk), (CloseGate(0),)
    should_be_open = is_allowed and state.talk.is_wanted(state.config.talk.mode)
    if should_be_open == state.talk.is_open:
        return state, ()
    if not should_be_open:
        return _closed(state, now_s)
    if now_s >= limit_at_s(state):
        # `tick` ends it at once.
        return state, REFUSED_COMMANDS
    talk = replace(state.talk, opened_at_s=now_s, has_tail=False)
    return replace(state, talk=talk), (OpenGate(now_s), PlayEarcon(Earcon.PERMIT))


def due_s(state: State) -> float:
    """Return when `tick` has something to do; infinity: never."""
    return min(_warning_at_s(state), limit_at_s(state), _interrupted_until_s(state))


def tick(state: State, now_s: float) -> Step:
    """Warn before the time limit, and end a talk that lasts or is interrupted long."""
    if now_s >= _interrupted_until_s(state):
        return replace(state, talk=replace(state.talk, is_latched=False)), ()
    if now_s >= limit_at_s(state):
        talk = page_talk_ended(state.talk)
        talk = replace(talk, is_latched=False, last_lock=Lock.LIMIT)
        return replace(state, talk=talk), ()
    if now_s >= _warning_at_s(state):
        state = replace(state, talk=replace(state.talk, has_warned=True))
        return state, (PlayEarcon(Earcon.WARNING),)
    return state, ()


def limit_at_s(state: State) -> float:
    """Return when the talk has to end; infinity when nothing ends it.

    The time also runs during an outage.
    """
    talk, config = state.talk, state.config.talk
    if not talk.is_wanted(config.mode) or talk.lock is not Lock.NONE:
        return inf
    is_unlimited = config.limit_s == 0 or state.is_open_mode
    at_s = inf if is_unlimited else talk.began_at_s + config.limit_s
    if _is_kept(state) and talk.opened_at_s is not None:
        at_s = min(at_s, talk.opened_at_s + KEPT_S)
    return at_s


def left_s(state: State, now_s: float) -> int | None:
    """Return the seconds until the limit, rounded up; None before the warning."""
    if not (state.talk.has_warned and state.talk.is_open):
        return None
    return max(0, ceil(limit_at_s(state) - now_s))


def _warning_at_s(state: State) -> float:
    """Return when the warning is due; infinity when there is none or it was given."""
    config = state.config.talk
    if state.talk.has_warned or not state.talk.is_open or _is_kept(state):
        return inf
    # With a limit as short as the warning time, it would sound during the first word.
    return limit_at_s(state) - min(config.warning_s, config.limit_s / 2)


def _interrupted_until_s(state: State) -> float:
    """Return when an interrupted latched talk ends; infinity: never.

    It must not go on by itself hours later, and who joins an empty room must not
    listen in on people who believe themselves alone.
    """
    is_interrupted = state.talk.is_latched and not state.talk.is_open
    if state.is_open_mode or not is_interrupted:
        return inf
    if state.phase is Phase.IN_ROOM and is_alone(state):
        return state.since_s + ALONE_S
    return state.talk.closed_at_s + INTERRUPTED_S


def _is_kept(state: State) -> bool:
    """Return whether what is said now is kept for the expected voice agent."""
    return is_alone(state) and state.conversation.is_awaited


def _begun(state: State, at_s: float) -> State:
    """Return the state with the begin of a talk, unless one goes on."""
    if state.talk.is_wanted(state.config.talk.mode):
        return state
    return replace(state, talk=replace(state.talk, began_at_s=at_s, has_warned=False))


def clear_pre_roll(before: State, after: State) -> tuple[Command, ...]:
    """Return the command after which a talk may send sound from before its press.

    What was captured while muted, before this session or in another room must not be
    part of a talk.
    """
    was_usable = before.is_in_room and not before.talk.is_muted
    is_usable = after.is_in_room and not after.talk.is_muted
    is_new = is_usable and not was_usable
    is_due = is_new and after.config.talk.used_pre_roll_ms > 0
    return (ClearPreRoll(),) if is_due else ()


def _pressed(talk: Talk, mode: TalkMode, *, is_refused: bool) -> Talk:
    """Return the talk state after a press in this mode.

    The button has priority over a mute and a talk of the page.
    """
    was_muted = talk.is_muted
    was_on = talk.is_latched or talk.is_page_down
    talk = replace(talk, is_muted_on_page=False)
    match mode:
        case TalkMode.HOLD:
            return replace(talk, is_press_ignored=is_refused)
        case TalkMode.TOGGLE:
            is_latched = not (was_on or is_refused)
            return replace(page_talk_ended(talk), is_latched=is_latched)
        case TalkMode.HYBRID:
            is_press_ignored = was_on or is_refused
            return replace(
                page_talk_ended(talk),
                is_press_ignored=is_press_ignored,
                is_latched=False,
            )
        case TalkMode.OPEN:
            return replace(talk, is_muted_at_box=not was_muted)
        case _:
            assert_never(mode)


def page_talk_ended(talk: Talk) -> Talk:
    """Return the state after something else ended the talk of the page.

    If its button is still held, it has to be released before it can talk again.
    """
    is_press_ignored = talk.is_page_press_ignored or talk.is_page_down
    return replace(talk, is_page_down=False, is_page_press_ignored=is_press_ignored)


def _closed(state: State, now_s: float) -> Step:
    """Close the gate.

    A latched talk ends when the last other participant leaves, so that the next one to
    join does not listen in on people who believe themselves alone. An outage keeps it.
    """
    is_over = state.phase is Phase.IN_ROOM and is_alone(state)
    tail_ms = _tail_ms(state)
    talk = replace(
        state.talk,
        opened_at_s=None,
        closed_at_s=now_s,
        is_transmitting=state.talk.is_transmitting and tail_ms > 0,
        has_tail=tail_ms > 0,
        is_latched=state.talk.is_latched and not is_over,
    )
    # A lost room has an earcon of its own.
    earcon = (PlayEarcon(Earcon.END),) if state.is_connected else ()
    return replace(state, talk=talk), (CloseGate(tail_ms), *earcon)


def _tail_ms(state: State) -> int:
    """Return the length of the release tail: 0 if the talk was not just released."""
    is_cut = state.talk.is_muted or not may_talk(state)
    # The pre-roll delays the whole talk: its last words are still on their way.
    talk = state.config.talk
    return 0 if is_cut else talk.tail_ms + talk.used_pre_roll_ms


def is_alone(state: State) -> bool:
    """Return whether a talk would have no listener; never in `open` mode."""
    has_listener = state.people or state.conversation.agent is not None
    return not (has_listener or state.is_open_mode)


def permissions_changed(state: State, event: PermissionsChanged) -> State:
    """Apply new permissions.

    A mute by a moderator acts like the mute switch of the page. A talk that loses its
    permission ends and does not resume by itself, except in `open` mode.
    """
    before, after = state.permissions, event.permissions
    state = replace(state, permissions=after)
    if after.is_server_muted and not before.is_server_muted:
        state = page_mute(state, is_on=True)
    if before.may_publish and not after.may_publish:
        state = ended(state)
    return state


def unmute_track(state: State) -> Step:
    """Unmute the track if a talk has begun since a moderator muted it."""
    if not (state.talk.is_open and state.permissions.is_server_muted):
        return state, ()
    unmuted = replace(state.permissions, is_server_muted=False)
    return replace(state, permissions=unmuted), (UnmuteTrack(state.ticket),)
