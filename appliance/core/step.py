"""Decisions of the appliance: `step(state, event, now_s) -> (state, commands)`.

`_handle` dispatches the event; then `_with_effects` compares the state before with the
state after and adds what follows from every change, whatever its event: gate, sound
card, mute of the track, agent, queued chat lines and earcons.
"""

from dataclasses import replace
from math import inf
from typing import Final, assert_never

from appliance.core import (
    buttons,
    events,
    faults,
    reconnect,
    session,
    talk,
    voice_agent,
)
from appliance.core.commands import (
    CloseSound,
    Command,
    Earcon,
    Exit,
    OpenSound,
    PlayEarcon,
    SendChat,
    SetGain,
    SetVolume,
)
from appliance.core.state import PIN_SHOWN_S, Goal, Phase, State, Step

SOUND_CLOSED: Final = frozenset(
    {Phase.STARTING, Phase.LEFT, Phase.REFUSED, Phase.STOPPED}
)
"""Phases without a session or an attempt at one: the sound card is closed."""

QUIET_S: Final = 600.0
"""Time after a loss of the room in which another one is quiet; our choice: a Wi-Fi that
comes and goes must not beep day and night."""


def step(state: State, event: events.Event, now_s: float) -> Step:
    """Return the state after the event, and the commands to carry out.

    Args:
        state: result of the previous step.
        event: the event to handle.
        now_s: monotonic clock; never less than in the previous step.
    """
    if state.phase is Phase.STOPPED:
        return state, ()
    after, commands = _handle(state, event, now_s)
    after, first = _with_effects(state, after, now_s)
    # Close the gate before leaving the room, which may take LiveKit seconds.
    return after, (*first, *commands, *_closing(state, after))


def wake_at_s(state: State) -> float:
    """Return when the next `Ticked` is needed; infinity when none is."""
    if state.phase is Phase.STOPPED:
        return inf
    return min(
        reconnect.due_s(state),
        talk.due_s(state),
        buttons.leave_due_s(state),
        voice_agent.due_s(state),
    )


def _handle(state: State, event: events.Event, now_s: float) -> Step:
    match event:
        case events.Started():
            return _started(state, now_s)
        case events.Ticked():
            return _tick(state, now_s)
        case events.StopAsked():
            return session.end(state, Goal.STOP, now_s)
        case events.LinkChanged():
            return reconnect.link_changed(state, event, now_s)
        case events.ButtonPressed():
            return buttons.pressed(state, event, now_s)
        case events.ButtonReleased():
            return buttons.released(state, event, now_s)
        case events.TalkAsked():
            return talk.page_talk(state, now_s, is_on=event.is_on)
        case events.MuteAsked():
            return talk.page_mute(state, is_on=event.is_on), ()
        case events.LeaveAsked():
            return session.end(state, Goal.STAY_OUT, now_s)
        case events.JoinAsked(preset, display_name):
            return session.join(state, preset, display_name, now_s)
        case events.VolumeAsked():
            return buttons.set_volume(state, event.percent)
        case events.GainAsked():
            return buttons.set_gain(state, event.db)
        case events.ChatTyped():
            return replace(state, chat=state.chat.typed(event)), ()
        case events.PartLost() | events.PartFound():
            return faults.recorded(state, event), ()
        case events.PageServed() | events.PairingAsked() | events.PhonePaired():
            return _with_pin(state, event, now_s), ()
        case events.FirstBlockSent() | events.TailEnded():
            return talk.gate_reported(state, event), ()
        case events.LevelsMeasured():
            return replace(state, levels=event), ()
        case _:
            is_old = event.ticket != state.ticket
            return (state, ()) if is_old else _handle_session(state, event, now_s)


def _with_pin(state: State, event: events.PairingEvent, now_s: float) -> State:
    """Store the PIN, or show it on the OLED while somebody pairs a phone."""
    match event:
        case events.PageServed(url, pin):
            return replace(state, page_url=url, pin=pin)
        case events.PairingAsked():
            until_s = now_s + PIN_SHOWN_S
            return replace(state, wakes=state.wakes + 1, pairing_until_s=until_s)
        case events.PhonePaired():
            return replace(state, pairing_until_s=0.0)
        case _:
            assert_never(event)


def _handle_session(state: State, event: events.SessionEvent, now_s: float) -> Step:
    """Handle an event of the current session."""
    is_leaving = state.phase is Phase.LEAVING
    match event:
        case events.RoomFailed() | events.RoomLost() | events.RoomLeft() if is_leaving:
            # It does not matter which side ended the session.
            return session.after_end(state, now_s)
        case events.TokenReady():
            return session.token_ready(state, event, now_s)
        case events.RoomJoined():
            return session.joined(state, event, now_s), ()
        case events.TokenFailed() | events.RoomFailed() | events.RoomLost():
            return reconnect.failed(state, event, now_s)
        case events.RoomPaused():
            return session.paused(state, now_s), ()
        case events.RoomResumed():
            return session.resumed(state, event, now_s), ()
        case events.ChatReceived(message=message):
            return replace(state, chat=state.chat.received(message)), ()
        case events.ChatFailed() if not state.is_connected:
            # The line stays queued until the outage is over.
            return state, ()
        case events.ChatSent() | events.ChatFailed():
            return replace(state, chat=state.chat.answered(event, now_s)), ()
        case events.RoomLeft():
            return state, ()
        case _:
            is_in_room = state.is_in_room
            return _handle_in_room(state, event, now_s) if is_in_room else state, ()


def _handle_in_room(state: State, event: events.InRoomEvent, now_s: float) -> State:
    """Handle an event that has no effect outside of the room."""
    if isinstance(event, events.AgentEvent):
        return voice_agent.handle(state, event, now_s)
    match event:
        case events.ConnectionMeasured(rtt_s=rtt_s):
            return replace(state, rtt_s=rtt_s)
        case events.PeopleChanged(people=people):
            return replace(state, people=people, chat=state.chat.named(people))
        case events.PermissionsChanged():
            return talk.permissions_changed(state, event)
        case _:
            assert_never(event)


def _started(state: State, now_s: float) -> Step:
    """Set volume and gain; begin the first session unless the room was left already."""
    first = SetVolume(state.volume_percent), SetGain(state.microphone_gain_db)
    if state.phase is not Phase.STARTING:
        return state, first
    state = replace(state, talk=replace(state.talk, is_latched=state.is_open_mode))
    state, commands = session.start(state, now_s)
    return state, (*first, *commands)


def _tick(state: State, now_s: float) -> Step:
    state, warning = talk.tick(state, now_s)
    state, leaving = buttons.tick(state, now_s)
    state, thinking = voice_agent.tick(state, now_s)
    state, joining = reconnect.tick(state, now_s)
    return state, (*warning, *leaving, *thinking, *joining)


def _with_effects(before: State, after: State, now_s: float) -> Step:
    """Return the adjusted state and the commands that go first."""
    after = _room_left(before, after)
    if after.phase in {Phase.LEFT, Phase.REFUSED}:
        after = faults.without_sound(after)
    after, gate = talk.update_gate(after, now_s)
    after, unmuting = talk.unmute_track(after)
    after, conversation = voice_agent.follow(before, after, now_s)
    after = reconnect.update_return(before, after, now_s)
    after, gate = _announced(before, after, gate, now_s)
    return after, (
        *_opening(before, after),
        *unmuting,
        *conversation,
        *talk.clear_pre_roll(before, after),
        *gate,
        *_chat_lines(before, after),
    )


def _closing(before: State, after: State) -> tuple[Command, ...]:
    """Return the commands that go last."""
    if after.phase is Phase.STOPPED:
        return CloseSound(), Exit()
    is_over = after.phase in SOUND_CLOSED and before.phase not in SOUND_CLOSED
    return (CloseSound(),) if is_over else ()


def _room_left(before: State, after: State) -> State:
    """Return the state without the talk, if the room was left.

    Going to another room also gives up the queued lines. An outage keeps both.
    """
    if after.preset != before.preset:
        after = replace(after, chat=after.chat.given_up(before.chat.queued))
    elif not after.is_left:
        return after
    # Somebody who asks for a room hears when it is joined.
    return replace(talk.ended(after), is_outage_quiet=False)


def _opening(before: State, after: State) -> tuple[Command, ...]:
    is_new = before.phase in SOUND_CLOSED and after.phase not in SOUND_CLOSED
    return (OpenSound(),) if is_new else ()


def _announced(
    before: State, after: State, gate: tuple[Command, ...], now_s: float
) -> Step:
    """Wake the screen for a joined or lost room, and return its sound before `gate`.

    Leaving on request has none, nor has an outage soon after another one, nor leaving
    and joining because an agent is missing.
    """
    was_in, is_in = _is_heard(before), _is_heard(after)
    if was_in == is_in:
        return after, gate
    # In `open` mode the gate opens by itself.
    is_audible = not after.is_open_mode
    quiet = tuple(x for x in gate if is_audible or not isinstance(x, PlayEarcon))
    # The session also ends when LiveKit does not resume it, which is an outage.
    is_on_request = after.phase is Phase.LEAVING and after.cause is None
    if is_on_request if was_in else reconnect.is_returning(before):
        return after, quiet
    if was_in:
        # Somebody who holds the button has to hear that the talk is over.
        is_cut = before.talk.is_open and not before.is_open_mode
        is_quiet = now_s < after.quiet_until_s and not is_cut
        quiet_until_s = now_s + QUIET_S
        after = replace(after, quiet_until_s=quiet_until_s, is_outage_quiet=is_quiet)
    if after.is_outage_quiet and now_s < after.quiet_until_s:
        return replace(after, is_outage_quiet=was_in), quiet
    # While the gate is open, it would be sent.
    is_silent = is_in and after.talk.is_open
    earcon = PlayEarcon(Earcon.JOINED if is_in else Earcon.LOST)
    commands = gate if is_silent else (earcon, *gate)
    return replace(after, wakes=after.wakes + 1), commands


def _is_heard(state: State) -> bool:
    """Return whether the room counts as joined; a talk outlasts a resume."""
    return state.is_connected or (state.phase is Phase.PAUSED and state.talk.is_open)


def _chat_lines(before: State, after: State) -> tuple[Command, ...]:
    """Return the chat lines to send: a new one, or after a wait all queued ones."""
    were_sent = voice_agent.takes_lines(before)
    is_same = were_sent and after.chat is before.chat
    if is_same or not voice_agent.takes_lines(after):
        return ()
    sent = before.chat.queued if were_sent else ()
    return tuple(
        SendChat(after.ticket, line.id, line.text, line.ts_ms)
        for line in after.chat.queued
        if line not in sent
    )
