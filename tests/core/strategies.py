"""Hypothesis strategies: adapters that answer late, twice, wrongly or never."""

from dataclasses import dataclass

from hypothesis import strategies as st

from appliance.config import Config, Preset, RoomConfig, TalkConfig, TalkMode
from appliance.core.commands import FetchToken, JoinRoom, LeaveRoom, SendChat
from appliance.core.events import (
    AgentChanged,
    AgentState,
    Button,
    ButtonPressed,
    ButtonReleased,
    Caption,
    CaptionReceived,
    Cause,
    ChatFailed,
    ChatReceived,
    ChatSent,
    ChatTyped,
    ConnectionDetails,
    ConnectionMeasured,
    Event,
    Failure,
    FirstBlockSent,
    GainAsked,
    JoinAsked,
    LeaveAsked,
    LevelsMeasured,
    LinkChanged,
    MuteAsked,
    PairingAsked,
    Part,
    PartFound,
    PartLost,
    PeopleChanged,
    Permissions,
    PermissionsChanged,
    RoomFailed,
    RoomJoined,
    RoomLeft,
    RoomLost,
    RoomPaused,
    RoomResumed,
    Started,
    StopAsked,
    TailEnded,
    TalkAsked,
    Ticked,
    TokenFailed,
    TokenReady,
    VoiceAgent,
    VolumeAsked,
)
from tests.core.story import ALICE, BOB, PRESS, RELEASE, URL, message


@dataclass(frozen=True)
class Answer:
    """Post an answer that a command asked for; age 0 is the newest one."""

    age: int


@dataclass(frozen=True)
class Claim:
    """Post an answer of any session, asked for or not."""

    kind: int
    age: int


Move = Event | Answer | Claim | float

NOTICES = ("", "not a USB card")

_flags = st.booleans()
_requests = st.one_of(
    st.builds(ButtonPressed, st.sampled_from(Button), st.just(value=False)),
    st.builds(ButtonPressed, st.sampled_from(Button), _flags),
    st.builds(ButtonReleased, st.sampled_from(Button), is_lost=_flags),
    st.sampled_from([ButtonPressed(Button.TALK), ButtonReleased(Button.TALK)]),
    st.builds(TalkAsked, _flags),
    st.builds(MuteAsked, _flags),
    st.builds(JoinAsked, st.sampled_from([None, "garage", "cellar"])),
    st.builds(JoinAsked, st.none(), st.sampled_from(["Hall", None])),
    st.builds(ChatTyped, st.uuids().map(str), st.just("hi"), st.just(1)),
    st.sampled_from([LeaveAsked(), Started(), VolumeAsked(0), GainAsked(3.0)]),
)
_world = st.one_of(
    st.builds(
        LinkChanged,
        st.sampled_from([None, "10.0.0.7", "10.0.0.8"]),
        st.sampled_from([(), ("10.8.0.2",)]),
    ),
    st.builds(PartLost, st.sampled_from(Part), st.just("x"), st.just("gone")),
    st.builds(PartFound, st.sampled_from(Part), st.just("y"), st.sampled_from(NOTICES)),
    st.sampled_from([TailEnded(), FirstBlockSent(0.01), Ticked(), PairingAsked()]),
    st.just(LevelsMeasured(-20, -90, is_voice=True)),
)
_waits = st.sampled_from([0.0, 0.1, 0.25, 0.4, 1.0, 2.5, 6.0, 11.0, 31.0, 3700.0])
_stop = st.just(StopAsked())
moves: st.SearchStrategy[Move] = st.one_of(
    st.just(Answer(0)),
    st.just(Answer(0)),
    st.builds(Answer, st.integers(0, 12)),
    st.builds(Claim, st.integers(0, 20), st.integers(0, 2)),
    st.builds(
        Claim,
        st.sampled_from([0, 2, 3, 4, 6, 7, 9, 12, 13, 14, 17, 18, 20]),
        st.just(0),
    ),
    _requests,
    _requests,
    _world,
    _waits,
)
_talk: list[Move] = [PRESS, 1.0, RELEASE]
_beginnings: st.SearchStrategy[list[Move]] = st.sampled_from(
    [
        [],
        [Started()],
        [Started(), Answer(0)],
        [Started(), Answer(0), Answer(0)],
        [Started(), Answer(0), Answer(0), *_talk],
    ]
)
"""Phases that random events seldom reach: fetching, joining, in the room, a tail."""
stories = st.tuples(
    _beginnings,
    st.lists(moves, min_size=20, max_size=50),
    st.lists(st.one_of(moves, _stop), max_size=20),
).map(lambda parts: [*parts[0], *parts[1], *parts[2]])

configs = st.builds(
    lambda mode, limit_s, hold_ms, names: Config(
        talk=TalkConfig(mode=mode, limit_s=limit_s, warning_s=4, leave_hold_ms=hold_ms),
        room=RoomConfig(presets=tuple(Preset(name=name) for name in names)),
    ),
    st.sampled_from(TalkMode),
    st.sampled_from([0, 5, 30]),
    st.sampled_from([0, 800]),
    st.sampled_from([(), ("garage",)]),
)


def answers(command: object) -> list[Event]:
    """Return the possible answers to a command, the usual one last."""
    match command:
        case FetchToken(ticket=ticket):
            return [_claims(ticket)[1], _claims(ticket)[0]]
        case JoinRoom(ticket=ticket):
            joined, paused, resumed, *others = _claims(ticket)[2:]
            return [*others, paused, resumed, joined]
        case LeaveRoom(ticket=ticket):
            return [
                RoomLost(ticket, Failure(Cause.SERVER_LOST, "gone")),
                RoomLeft(ticket),
            ]
        case SendChat(ticket=ticket, id=line_id):
            return [ChatFailed(ticket, line_id, "no"), ChatSent(ticket, line_id)]
        case _:
            return []


def claimed(claim: Claim, ticket: int) -> Event:
    """Return an answer of the current session or of a recent one."""
    return _claims(max(0, ticket - claim.age))[claim.kind]


def _claims(ticket: int) -> list[Event]:
    details = ConnectionDetails(URL, "secret", "box", expects_agent=ticket % 3 == 0)
    return [
        TokenReady(ticket, details),
        TokenFailed(ticket, Failure(Cause.NO_INTERNET, "why")),
        RoomJoined(ticket, "kitchen", (ALICE,)),
        RoomPaused(ticket),
        RoomResumed(ticket),
        RoomFailed(ticket, Failure(Cause.REFUSED, "no", is_final=True)),
        RoomLost(ticket, Failure(Cause.REPLACED, "twin")),
        RoomLeft(ticket),
        PeopleChanged(ticket, ()),
        PeopleChanged(ticket, (ALICE, BOB)),
        ConnectionMeasured(ticket, 0.05),
        ChatReceived(ticket, message("hi", key=str(ticket % 7))),
        PermissionsChanged(ticket, Permissions()),
        PermissionsChanged(ticket, Permissions(is_server_muted=True)),
        PermissionsChanged(ticket, Permissions(may_publish=False)),
        PermissionsChanged(
            ticket, Permissions(may_send_data=False, is_server_muted=True)
        ),
        RoomJoined(ticket, "kitchen", (ALICE,), Permissions(may_publish=False)),
        AgentChanged(ticket, VoiceAgent("agent", "Agent", AgentState.LISTENING)),
        AgentChanged(ticket, VoiceAgent("agent", "Agent", AgentState.THINKING)),
        AgentChanged(ticket, None),
        CaptionReceived(ticket, Caption("s", "agent", "Agent", "hi", False, 1)),
    ]
