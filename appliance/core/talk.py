"""Who may talk and for how long; the gate follows from it."""

from dataclasses import replace
from typing import assert_never

from appliance.config import TalkMode
from appliance.core.commands import CloseGate, Command, Earcon, OpenGate, PlayEarcon
from appliance.core.events import MuteAsked, Part, TalkAsked
from appliance.core.state import Lock, Phase, State, Talk

Step = tuple[State, tuple[Command, ...]]

TAP_S = 0.3
"""Shorter is a tap, longer a hold; our choice, between a click and a short word."""
GLITCH_S = 0.02
"""No finger is so short; a contact closed for less latches nothing. Our choice."""
REFUSED = (PlayEarcon(Earcon.REFUSED),)


def press(state: State, at_s: float, *, is_at_boot: bool) -> Step:
    """The talk button went down.

    A refused press is over at once: it must not go live by itself minutes later.

    Args:
        state: before the press.
        at_s: when the contact closed, by the monotonic clock.
        is_at_boot: whether it was down when its pin was opened.
    """
    mode = state.config.talk.mode
    if state.talk.is_button_down and not is_at_boot:
        return state, ()
    down = replace(state.talk, is_button_down=True, button_down_s=at_s)
    if is_at_boot:
        return replace(state, talk=replace(rested(down, mode), lock=Lock.BOOT)), ()
    is_refused = mode is not TalkMode.OPEN and not may_talk(state)
    talk = _pressed(down, mode, is_refused=is_refused)
    return replace(state, talk=talk), REFUSED if is_refused else ()


def release(state: State, at_s: float) -> Step:
    """The talk button came up; who stands at the box ends the page's talk as well.

    Args:
        state: before the release.
        at_s: when the contact opened, by the monotonic clock.
    """
    talk = state.talk
    if not talk.is_button_down:
        return state, ()
    is_tap = GLITCH_S <= at_s - talk.button_down_s < TAP_S and not talk.is_spent
    is_hybrid = state.config.talk.mode is TalkMode.HYBRID
    is_latched = is_hybrid and is_tap and may_talk(state)
    talk = replace(
        page_ended(talk),
        is_button_down=False,
        is_latched=talk.is_latched or is_latched,
        # If the contact only bounced, the press goes on without its lock.
        is_spent=talk.is_spent or talk.lock is not Lock.NONE,
        lock=Lock.NONE,
    )
    return replace(state, talk=talk), ()


def resume(state: State) -> State:
    """The contact of the talk button had only bounced: take its release back."""
    is_hybrid = state.config.talk.mode is TalkMode.HYBRID
    # What a release latches, it latches in `hybrid` mode only.
    is_latched = state.talk.is_latched and not is_hybrid
    talk = replace(state.talk, is_button_down=True, is_latched=is_latched)
    return replace(state, talk=talk)


def page_talk(state: State, event: TalkAsked) -> Step:
    """The page's talk button; it undoes no mute, and no end of its own talk."""
    talk = state.talk
    if not event.is_on:
        is_latched = state.config.talk.mode is TalkMode.OPEN
        talk = replace(
            talk, is_page_down=False, is_page_spent=False, is_latched=is_latched
        )
        return replace(state, talk=talk), ()
    if talk.is_muted_at_box:
        return state, ()
    if talk.is_muted_on_page or talk.is_page_spent or not may_talk(state):
        return state, REFUSED
    return replace(state, talk=replace(talk, is_page_down=True)), ()


def page_mute(state: State, event: MuteAsked) -> State:
    """The page's mute switch; unmuting talks in `open` mode only."""
    talk = replace(state.talk, is_muted_on_page=event.is_on)
    if event.is_on and state.config.talk.mode is not TalkMode.OPEN:
        talk = replace(page_ended(talk), is_latched=False, is_spent=True)
    return replace(state, talk=talk)


def flow(state: State, *, is_flowing: bool) -> State:
    """Note whether sound passes the gate; late word of an older talk is dropped."""
    is_flowing = is_flowing and state.talk.is_open
    return replace(state, talk=replace(state.talk, is_flowing=is_flowing))


def at_rest(mode: TalkMode) -> Talk:
    """Return the talk state that a box starts with (R3.1)."""
    return Talk(is_latched=mode is TalkMode.OPEN)


def rested(talk: Talk, mode: TalkMode) -> Talk:
    """Return the talk state after a room was left on purpose, or a button found stuck.

    Muted as at boot, and a button that is still down has to be pressed anew. What
    somebody has muted stays muted: leaving must not be a way round the mute button.
    """
    is_latched = mode is TalkMode.OPEN
    return replace(page_ended(talk), is_latched=is_latched, is_spent=True)


def may_talk(state: State) -> bool:
    """Whether the gate may be open at all now."""
    return not refusal(state)


def refusal(state: State) -> str:
    """Return why a press would be refused, in words; empty: it would not."""
    if state.phase is not Phase.IN_ROOM:
        return "not connected"
    if state.is_link_down:
        return "no network"
    if state.talk.lock is not Lock.NONE:
        return "release the talk button"
    if any(lost.part is Part.MICROPHONE for lost in state.lost):
        return "no microphone"
    if not state.permissions.may_publish:
        return "not allowed"
    return "nobody here" if is_alone(state) else ""


def settled(state: State, now_s: float) -> Step:
    """Open or close the gate so that it agrees with everything else."""
    is_allowed = may_talk(state)
    if state.talk.is_flowing and not is_allowed:
        # The gate shuts at once, whether or not anybody is left to say that it did.
        state = flow(state, is_flowing=False)
    if _is_muted(state) and state.talk.is_flowing and not state.talk.is_open:
        # Muted in the middle of a tail: not one more sample.
        return flow(state, is_flowing=False), (CloseGate(0),)
    is_wanted = state.talk.is_wanted(state.config.talk.mode)
    if not is_wanted and state.talk.began_at_s is not None:
        state = replace(state, talk=replace(state.talk, began_at_s=None))
    should_be_open = is_allowed and is_wanted
    if should_be_open == state.talk.is_open:
        return state, ()
    if not should_be_open:
        return _closed(state)
    # The time limit counts from the start of a talk, whatever interrupts it.
    began_at_s = now_s if state.talk.began_at_s is None else state.talk.began_at_s
    talk = replace(state.talk, opened_at_s=now_s, began_at_s=began_at_s)
    commands = (OpenGate(now_s), PlayEarcon(Earcon.PERMIT))
    return replace(state, talk=talk), commands


def _pressed(talk: Talk, mode: TalkMode, *, is_refused: bool) -> Talk:
    """Return what a press means in this mode.

    Somebody stands at the box: that outranks a mute and a talk from the page.
    """
    was_muted = talk.is_muted_at_box or talk.is_muted_on_page
    was_on = talk.is_latched or talk.is_page_down
    talk = replace(talk, is_muted_on_page=False)
    match mode:
        case TalkMode.HOLD:
            return replace(talk, is_spent=is_refused)
        case TalkMode.TOGGLE:
            is_latched = not (was_on or is_refused)
            return replace(page_ended(talk), is_latched=is_latched)
        case TalkMode.HYBRID:
            is_spent = was_on or is_refused
            return replace(page_ended(talk), is_spent=is_spent, is_latched=False)
        case TalkMode.OPEN:
            return replace(talk, is_muted_at_box=not was_muted)
        case _:
            assert_never(mode)


def page_ended(talk: Talk) -> Talk:
    """Return the state after something else ended the page's talk.

    Its button may still be held: it has to come up before it talks again.
    """
    is_spent = talk.is_page_spent or talk.is_page_down
    return replace(talk, is_page_down=False, is_page_spent=is_spent)


def _closed(state: State) -> Step:
    """Close the gate.

    A latched talk is over when everybody has gone: whoever comes next shall not hear a
    room that believes itself alone. Through an outage it stays (R8.3).
    """
    is_in_room = state.phase is Phase.IN_ROOM
    is_over = is_in_room and is_alone(state)
    tail_ms = _tail_ms(state)
    talk = replace(
        state.talk,
        opened_at_s=None,
        has_warned=False,
        is_flowing=state.talk.is_flowing and tail_ms > 0,
        is_latched=state.talk.is_latched and not is_over,
    )
    # A lost room has a sound of its own.
    farewell = (PlayEarcon(Earcon.END),) if state.is_connected else ()
    return replace(state, talk=talk), (CloseGate(tail_ms), *farewell)


def _tail_ms(state: State) -> int:
    """Return how long the gate may stay open: only a released talk has a tail."""
    is_cut = _is_muted(state) or not may_talk(state)
    return 0 if is_cut else state.config.talk.tail_ms


def _is_muted(state: State) -> bool:
    return state.talk.is_muted_on_page or state.talk.is_muted_at_box


def is_alone(state: State) -> bool:
    """Whether nobody would hear a talk; an open microphone does not ask."""
    return not state.people and state.config.talk.mode is not TalkMode.OPEN
