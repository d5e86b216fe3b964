"""Decisions of the appliance: `step(state, event, now_s) -> (state, commands)`.

Pure functions: no clock, thread, task, file or device. `_handle` dispatches the event;
then `effects` adds what follows for gate, sound card, outbox and earcons.
"""

from dataclasses import replace
from typing import Final, assert_never

from appliance.config import TalkMode
from appliance.core import (
    agent,
    buttons,
    effects,
    levels,
    outbox,
    pairing,
    permissions,
    reconnect,
    session,
    talk,
    talk_limit,
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
    SessionEvent,
    Started,
    StopAsked,
    TailEnded,
    TalkAsked,
    TalkFlowed,
    Ticked,
    TokenFailed,
    TokenReady,
    VolumeAsked,
)
from appliance.core.state import Goal, Phase, State, Step

SINGLE_PARTS: Final = frozenset({Part.MICROPHONE, Part.SPEAKER, Part.SCREEN})
"""Parts of which there is one: any device that is found replaces the missing one."""


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
    after, first = effects.apply(state, after, now_s)
    # Close the gate before leaving the room, which may take LiveKit seconds.
    return after, (*first, *commands, *effects.closing(state, after))


def wake_at_s(state: State) -> float:
    """Return when the next `Ticked` is needed; infinity when none is."""
    if state.phase is Phase.STOPPED:
        return float("inf")
    return min(
        reconnect.deadline_s(state),
        talk_limit.warning_at_s(state),
        talk_limit.limit_at_s(state),
        talk_limit.alone_at_s(state),
        talk_limit.kept_until_s(state),
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
            return session.leave(state, Goal.STOP, now_s)
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
            return session.leave(state, Goal.STAY_OUT, now_s)
        case JoinAsked():
            return session.join(state, event.preset, event.display_name, now_s)
        case VolumeAsked() | GainAsked():
            return _set_level(state, event)
        case ChatTyped():
            return outbox.typed(state, event)
        case PartLost():
            return _lost(state, event), ()
        case PartFound():
            return _found(state, event), ()
        case PageServed() | PairingAsked() | PhonePaired():
            return pairing.handle(state, event, now_s), ()
        case TailEnded() | TalkFlowed():
            return talk.flow(state, is_flowing=isinstance(event, TalkFlowed)), ()
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
        case PeopleChanged() | RttMeasured() | ReceptionMeasured():
            return _with_room_data(state, event), ()
        case PermissionsChanged():
            return permissions.changed(state, event), ()
        case ChatReceived(message=message):
            return replace(state, chat=state.chat.received(message)), ()
        case ChatSent() | ChatFailed():
            return outbox.answered(state, event), ()
        case _:
            assert_never(event)


def _ended(state: State, event: RoomFailed | RoomLost | RoomLeft, now_s: float) -> Step:
    """End the session; while leaving, it does not matter which side ended it."""
    if state.phase is Phase.LEAVING:
        return session.after_leaving(state, now_s)
    if isinstance(event, RoomLeft) or state.phase not in session.AT_SERVER:
        return state, ()
    return reconnect.failed(state, event, now_s)


def _with_room_data(state: State, event: SessionEvent) -> State:
    """Store participants or round-trip time, while in the room."""
    if state.phase not in {Phase.IN_ROOM, Phase.PAUSED}:
        return state
    match event:
        case RttMeasured(rtt_s=rtt_s):
            return replace(state, rtt_s=rtt_s)
        case PeopleChanged(people=people):
            return replace(state, people=people, chat=state.chat.named(people))
        case _:
            return state


def _started(state: State, now_s: float) -> Step:
    """Set the levels and begin the first session, unless the room was left already."""
    first = levels.stored(state)
    if state.phase is not Phase.STARTING:
        return state, first
    is_latched = state.config.talk.mode is TalkMode.OPEN
    state = replace(state, talk=replace(state.talk, is_latched=is_latched))
    state, commands = session.start(state, now_s)
    return state, (*first, *commands)


def _set_level(state: State, event: VolumeAsked | GainAsked) -> Step:
    if isinstance(event, VolumeAsked):
        return levels.set_volume(state, event.percent)
    return levels.set_gain(state, event.db)


def _tick(state: State, now_s: float) -> Step:
    state, warning = talk_limit.tick(pairing.tick(state, now_s), now_s)
    state, leaving = buttons.tick(state, now_s)
    state, thinking = agent.tick(state, now_s)
    state, waiting = reconnect.tick(state, now_s)
    return state, (*warning, *leaving, *thinking, *waiting)


def _lost(state: State, event: PartLost) -> State:
    """Record the loss; a repeated report keeps its place in the list."""
    state = replace(state, second_choices=_others(state, event))
    if not any(_is_same(lost, event) for lost in state.lost):
        return replace(state, lost=(*state.lost, event))
    lost = tuple(event if _is_same(lost, event) else lost for lost in state.lost)
    return replace(state, lost=lost)


def _found(state: State, event: PartFound) -> State:
    lost = tuple(lost for lost in state.lost if not _is_same(lost, event))
    second_choices = (*_others(state, event), *((event,) if event.notice else ()))
    return replace(state, lost=lost, second_choices=second_choices)


def _others(state: State, event: PartLost | PartFound) -> tuple[PartFound, ...]:
    """Return the second choices that this event is not about."""
    return tuple(x for x in state.second_choices if not _is_same(x, event))


def _is_same(lost: PartLost | PartFound, event: PartLost | PartFound) -> bool:
    is_named = event.part in SINGLE_PARTS or lost.name == event.name
    return lost.part is event.part and is_named
