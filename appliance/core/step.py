"""Decisions of the appliance: `step(state, event, now_s) -> (state, commands)`.

Pure functions: no clock, thread, task, file or device. `_handle` dispatches the event;
then `_with_effects` compares the state before with the state after and adds what
follows from every change, whatever its event: gate, sound card, mute of the track,
agent, queued chat lines and earcons. `_closing` adds the end of the sound.
"""

from dataclasses import replace
from typing import Final, assert_never

from appliance.config import TalkMode
from appliance.core import (
    agent,
    buttons,
    pairing,
    reconnect,
    session,
    talk,
    time_limit,
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
from appliance.core.events import (
    AgentEvent,
    ButtonPressed,
    ButtonReleased,
    ChatFailed,
    ChatReceived,
    ChatSent,
    ChatTyped,
    Event,
    FirstBlockSent,
    GainAsked,
    JoinAsked,
    LeaveAsked,
    LevelsMeasured,
    LinkChanged,
    MuteAsked,
    PageServed,
    PairingAsked,
    Part,
    PartFound,
    PartLost,
    PeopleChanged,
    PermissionsChanged,
    PhonePaired,
    ReceptionMeasured,
    RoomFailed,
    RoomJoined,
    RoomLeft,
    RoomLost,
    RoomPaused,
    RoomResumed,
    RttMeasured,
    SendingMeasured,
    SessionEvent,
    Started,
    StopAsked,
    TailEnded,
    TalkAsked,
    Ticked,
    TokenFailed,
    TokenReady,
    VolumeAsked,
)
from appliance.core.state import Goal, Phase, State, Step

SINGLE_PARTS: Final = frozenset({Part.MICROPHONE, Part.SPEAKER, Part.SCREEN})
"""Parts of which there is one: any device that is found replaces the missing one."""
SOUND_CLOSED: Final = frozenset(
    {Phase.STARTING, Phase.LEFT, Phase.REFUSED, Phase.STOPPED}
)
"""Phases without a session or an attempt at one: the sound card is closed."""


def step(state: State, event: Event, now_s: float) -> Step:
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
        return float("inf")
    return min(
        reconnect.deadline_s(state),
        time_limit.due_s(state),
        buttons.leave_due_s(state),
        pairing.until_s(state),
        agent.due_s(state),
    )


def _handle(state: State, event: Event, now_s: float) -> Step:
    match event:
        case Started():
            return _started(state, now_s)
        case Ticked():
            return _tick(state, now_s)
        case StopAsked():
            return session.end(state, Goal.STOP, now_s)
        case LinkChanged():
            return reconnect.link_changed(state, event, now_s)
        case ButtonPressed():
            return buttons.pressed(state, event, now_s)
        case ButtonReleased():
            return buttons.released(state, event, now_s)
        case TalkAsked():
            return talk.page_talk(state, is_on=event.is_on)
        case MuteAsked():
            return talk.page_mute(state, is_on=event.is_on), ()
        case LeaveAsked():
            return session.end(state, Goal.STAY_OUT, now_s)
        case JoinAsked():
            return session.join(state, event.preset, event.display_name, now_s)
        case VolumeAsked() | GainAsked():
            return _set_volume_or_gain(state, event)
        case ChatTyped():
            return replace(state, chat=state.chat.typed(event)), ()
        case PartLost():
            return _part_lost(state, event), ()
        case PartFound():
            return _part_found(state, event), ()
        case PageServed() | PairingAsked() | PhonePaired():
            return pairing.handle(state, event, now_s), ()
        case FirstBlockSent() | TailEnded():
            return talk.gate_reported(state, event), ()
        case LevelsMeasured():
            return replace(state, levels=event), ()
        case _:
            is_old = event.ticket != state.ticket
            return (state, ()) if is_old else _handle_session(state, event, now_s)


def _handle_session(state: State, event: SessionEvent, now_s: float) -> Step:
    """Handle an event of the current session."""
    if isinstance(event, AgentEvent):
        return agent.handle(state, event, now_s), ()
    match event:
        case TokenReady():
            return session.token_ready(state, event, now_s)
        case TokenFailed():
            is_due = state.phase is Phase.FETCHING
            return reconnect.failed(state, event, now_s) if is_due else (state, ())
        case RoomJoined():
            return session.joined(state, event, now_s), ()
        case RoomFailed() | RoomLost() | RoomLeft():
            return _ended(state, event, now_s)
        case RoomPaused():
            return session.paused(state, now_s), ()
        case RoomResumed():
            return session.resumed(state, now_s), ()
        case PeopleChanged() | RttMeasured():
            return _with_room_data(state, event), ()
        case ReceptionMeasured() | SendingMeasured():
            # For the metrics only.
            return state, ()
        case PermissionsChanged():
            return talk.permissions_changed(state, event), ()
        case ChatReceived(message=message):
            return replace(state, chat=state.chat.received(message)), ()
        case ChatFailed() if not state.is_connected:
            # The line stays queued until the outage is over.
            return state, ()
        case ChatSent() | ChatFailed():
            return replace(state, chat=state.chat.answered(event)), ()
        case _:
            assert_never(event)


def _ended(state: State, event: RoomFailed | RoomLost | RoomLeft, now_s: float) -> Step:
    """End the session; while leaving, it does not matter which side ended it."""
    if state.phase is Phase.LEAVING:
        return session.after_end(state, now_s)
    if isinstance(event, RoomLeft) or state.phase not in session.AT_SERVER:
        return state, ()
    return reconnect.failed(state, event, now_s)


def _with_room_data(state: State, event: SessionEvent) -> State:
    """Store participants or round-trip time, while in the room."""
    if not state.is_in_room:
        return state
    match event:
        case RttMeasured(rtt_s=rtt_s):
            return replace(state, rtt_s=rtt_s)
        case PeopleChanged(people=people):
            return replace(state, people=people, chat=state.chat.named(people))
        case _:
            return state


def _started(state: State, now_s: float) -> Step:
    """Set volume and gain; begin the first session unless the room was left already."""
    first = SetVolume(state.volume_percent), SetGain(state.microphone_gain_db)
    if state.phase is not Phase.STARTING:
        return state, first
    is_latched = state.config.talk.mode is TalkMode.OPEN
    state = replace(state, talk=replace(state.talk, is_latched=is_latched))
    state, commands = session.start(state, now_s)
    return state, (*first, *commands)


def _set_volume_or_gain(state: State, event: VolumeAsked | GainAsked) -> Step:
    if isinstance(event, VolumeAsked):
        return buttons.set_volume(state, event.percent)
    return buttons.set_gain(state, event.db)


def _tick(state: State, now_s: float) -> Step:
    state, warning = time_limit.tick(pairing.tick(state, now_s), now_s)
    state, leaving = buttons.tick(state, now_s)
    state, thinking = agent.tick(state, now_s)
    state, waiting = reconnect.tick(state, now_s)
    return state, (*warning, *leaving, *thinking, *waiting)


def _part_lost(state: State, event: PartLost) -> State:
    """Record the loss; a repeated report keeps its place in the list."""
    state = replace(state, noticed=_noticed_but(state, event))
    if not any(_is_same_part(lost, event) for lost in state.lost):
        return replace(state, lost=(*state.lost, event))
    lost = tuple(event if _is_same_part(lost, event) else lost for lost in state.lost)
    return replace(state, lost=lost)


def _part_found(state: State, event: PartFound) -> State:
    lost = tuple(lost for lost in state.lost if not _is_same_part(lost, event))
    noticed = (
        *_noticed_but(state, event),
        *((event,) if event.notice else ()),
    )
    return replace(state, lost=lost, noticed=noticed)


def _noticed_but(state: State, event: PartLost | PartFound) -> tuple[PartFound, ...]:
    """Return the parts with a notice that this event is not about."""
    return tuple(x for x in state.noticed if not _is_same_part(x, event))


def _is_same_part(lost: PartLost | PartFound, event: PartLost | PartFound) -> bool:
    is_named = event.part in SINGLE_PARTS or lost.name == event.name
    return lost.part is event.part and is_named


def _with_effects(before: State, after: State, now_s: float) -> Step:
    """Return the adjusted state and the commands that go first."""
    after = _room_left(before, after)
    after, gate = talk.update_gate(after, now_s)
    after, unmuting = talk.unmute_track(after)
    after, conversation = agent.follow(before, after, now_s)
    return after, (
        *_opening(before, after),
        *_earcon(before, after),
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
    is_other_room = after.preset != before.preset
    if is_other_room:
        chat = after.chat.given_up("the box went to another room")
        after = replace(after, chat=chat)
    if not (is_other_room or _is_left(after)):
        return after
    return replace(after, talk=talk.ended(after.talk, after.config.talk.mode))


def _is_left(state: State) -> bool:
    """Return whether the room was left, or is being left, on request."""
    return state.is_out and state.phase is not Phase.REFUSED


def _opening(before: State, after: State) -> tuple[Command, ...]:
    is_new = before.phase in SOUND_CLOSED and after.phase not in SOUND_CLOSED
    return (OpenSound(),) if is_new else ()


def _earcon(before: State, after: State) -> tuple[Command, ...]:
    """Return the sound for a joined or lost room; leaving on request has none.

    Neither sounds while the gate is open, which would send it.
    """
    was_in = _is_heard(before)
    if _is_heard(after):
        is_silent = was_in or after.talk.is_open
        return () if is_silent else (PlayEarcon(Earcon.JOINED),)
    # The session also ends when LiveKit does not resume it, which is an outage.
    is_on_request = after.phase is Phase.LEAVING and after.cause is None
    is_lost = was_in and not is_on_request
    return (PlayEarcon(Earcon.LOST),) if is_lost else ()


def _is_heard(state: State) -> bool:
    """Return whether the room counts as joined; a talk outlasts a resume."""
    return state.is_connected or (state.phase is Phase.PAUSED and state.talk.is_open)


def _chat_lines(before: State, after: State) -> tuple[Command, ...]:
    """Return the chat lines to send: a new one, or after an outage all queued ones."""
    if not after.is_connected:
        return ()
    sent = before.chat.queued if before.is_connected else ()
    return tuple(
        SendChat(after.ticket, line.id, line.text, line.ts_ms)
        for line in after.chat.queued
        if line not in sent
    )
