"""Every decision of the box: `step(state, event, now_s) -> (state, commands)`.

Pure: no clock, thread, task, file or device. `_react` says what an event means; then
`consequence` draws what always follows (gate, sound card, outbox, earcons).
"""

from dataclasses import replace
from typing import assert_never

from appliance.config import TalkMode
from appliance.core import (
    buttons,
    effects,
    outbox,
    pairing,
    permissions,
    reconnect,
    session,
    talk,
    talk_limit,
)
from appliance.core.commands import SetGain, SetVolume
from appliance.core.events import (
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
    RoomFailed,
    RoomJoined,
    RoomLeft,
    RoomLost,
    RoomPaused,
    RoomResumed,
    RttMeasured,
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
from appliance.core.session import Step
from appliance.core.state import Goal, Phase, State

OfVisit = (
    TokenReady
    | TokenFailed
    | RoomJoined
    | RoomFailed
    | RoomPaused
    | RoomResumed
    | RoomLost
    | RoomLeft
    | PeopleChanged
    | PermissionsChanged
    | RttMeasured
    | ChatReceived
    | ChatSent
    | ChatFailed
)
ONLY_ONE = frozenset({Part.MICROPHONE, Part.SPEAKER, Part.SCREEN})
"""Whichever of these is found replaces whichever was missed."""


def step(state: State, event: Event, now_s: float) -> Step:
    """Return the state after the event, and what is to be done.

    Args:
        state: as the last step left it.
        event: what happened.
        now_s: monotonic clock; never less than at the last step.
    """
    if state.phase is Phase.STOPPED:
        return state, ()
    after, commands = _react(state, event, now_s)
    after, settling = effects.settled(state, after, now_s)
    # The gate closes before the goodbye is said: LiveKit may take seconds over it.
    return after, (*settling, *commands, *effects.closing(state, after))


def wake_at_s(state: State) -> float:
    """Return when the next `Ticked` is needed; infinity when none is."""
    if state.phase is Phase.STOPPED:
        return float("inf")
    return min(
        reconnect.deadline_s(state),
        talk_limit.warning_at_s(state),
        talk_limit.limit_at_s(state),
        talk_limit.alone_at_s(state),
        buttons.leave_due_s(state),
        pairing.until_s(state),
    )


def _react(state: State, event: Event, now_s: float) -> Step:
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
            return talk.page_talk(state, event)
        case MuteAsked():
            return talk.page_mute(state, event), ()
        case LeaveAsked():
            return session.leave(state, Goal.STAY_OUT, now_s)
        case JoinAsked():
            return session.join(state, event, now_s)
        case VolumeAsked() | GainAsked():
            return buttons.levels_asked(state, event)
        case ChatTyped():
            return outbox.typed(state, event)
        case PartLost():
            return _lost(state, event), ()
        case PartFound():
            return _found(state, event), ()
        case PageServed() | PairingAsked() | PhonePaired():
            return pairing.happened(state, event, now_s), ()
        case TailEnded() | TalkFlowed():
            is_flowing = isinstance(event, TalkFlowed)
            return talk.flow(state, is_flowing=is_flowing), ()
        case LevelsMeasured():
            return replace(state, levels=event), ()
        case _:
            is_old = event.ticket != state.ticket
            return (state, ()) if is_old else _of_visit(state, event, now_s)


def _of_visit(state: State, event: OfVisit, now_s: float) -> Step:
    """Take an answer of the running visit."""
    match event:
        case TokenReady():
            return session.token_ready(state, event, now_s)
        case TokenFailed():
            is_due = state.phase is Phase.FETCHING
            return reconnect.failed(state, event, now_s) if is_due else state, ()
        case RoomJoined():
            return session.joined(state, event, now_s), ()
        case RoomFailed() | RoomLost() | RoomLeft():
            return _ended(state, event, now_s)
        case RoomPaused():
            return session.paused(state, now_s), ()
        case RoomResumed():
            return session.resumed(state, now_s), ()
        case PeopleChanged() | RttMeasured():
            return _measured(state, event), ()
        case PermissionsChanged():
            return permissions.changed(state, event), ()
        case ChatReceived(message=message):
            return replace(state, chat=state.chat.received(message)), ()
        case ChatSent() | ChatFailed():
            return outbox.answered(state, event), ()
        case _:
            assert_never(event)


def _ended(state: State, event: RoomFailed | RoomLost | RoomLeft, now_s: float) -> Step:
    """End the visit; while we say goodbye it does not matter who hung up first."""
    if state.phase is Phase.LEAVING:
        return session.after_goodbye(state, now_s)
    if isinstance(event, RoomLeft) or state.phase not in session.AT_SERVER:
        return state, ()
    return reconnect.failed(state, event, now_s), ()


def _measured(state: State, event: PeopleChanged | RttMeasured) -> State:
    """Take what the room tells of itself, while we are in it."""
    if state.phase not in {Phase.IN_ROOM, Phase.PAUSED}:
        return state
    if isinstance(event, PeopleChanged):
        return replace(state, people=event.people)
    return replace(state, rtt_s=event.rtt_s)


def _started(state: State, now_s: float) -> Step:
    """Set the levels and begin the first visit, unless somebody has left already."""
    levels = (SetVolume(state.volume_percent), SetGain(state.microphone_gain_db))
    if state.phase is not Phase.STARTING:
        return state, levels
    is_latched = state.config.talk.mode is TalkMode.OPEN
    state = replace(state, talk=replace(state.talk, is_latched=is_latched))
    state, commands = session.start(state, now_s)
    return state, (*levels, *commands)


def _tick(state: State, now_s: float) -> Step:
    state, warning = talk_limit.tick(pairing.tick(state, now_s), now_s)
    state, leaving = buttons.tick(state, now_s)
    state, waiting = reconnect.tick(state, now_s)
    return state, (*warning, *leaving, *waiting)


def _lost(state: State, event: PartLost) -> State:
    """Note the loss; one that is told again keeps its place."""
    state = replace(state, second_choices=_others(state, event))
    if not any(_is_same(lost, event) for lost in state.lost):
        return replace(state, lost=(*state.lost, event))
    lost = tuple(event if _is_same(lost, event) else lost for lost in state.lost)
    return replace(state, lost=lost)


def _found(state: State, event: PartFound) -> State:
    lost = tuple(lost for lost in state.lost if not _is_same(lost, event))
    others = _others(state, event)
    second_choices = (*others, event) if event.notice else others
    return replace(state, lost=lost, second_choices=second_choices)


def _others(state: State, event: PartLost | PartFound) -> tuple[PartFound, ...]:
    """Return the second choices that this event says nothing of."""
    return tuple(x for x in state.second_choices if not _is_same(x, event))


def _is_same(lost: PartLost | PartFound, event: PartLost | PartFound) -> bool:
    is_named = event.part in ONLY_ONE or lost.name == event.name
    return lost.part is event.part and is_named
