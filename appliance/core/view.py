"""View: what screen, lamps, page and systemd show, derived from the state."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import ceil
from typing import Final

from appliance.config import TalkMode
from appliance.core import faults, reconnect, talk, voice_agent
from appliance.core.chat import ChatLine
from appliance.core.events import Caption, Cause, Part, Participant, VoiceAgent
from appliance.core.state import Goal, Lock, Phase, ScreenPage, State

CAUSE_TEXT: Final = {
    Cause.NO_LINK: "no network",
    Cause.NO_INTERNET: "no internet",
    Cause.TOKEN_SOURCE: "no token",
    Cause.REFUSED: "refused",
    Cause.SERVER_LOST: "server lost",
    Cause.ROOM_CLOSED: "room closed",
    Cause.REPLACED: "replaced by another box",
    Cause.MISCONFIGURED: "wrong configuration",
}
NEED_LINK: Final = frozenset({Cause.NO_INTERNET, Cause.SERVER_LOST, Cause.TOKEN_SOURCE})
"""Causes that a missing network explains."""
LOCK_TEXT: Final = {
    Lock.BOOT: "talk button stuck: release it",
    Lock.LIMIT: "time is up: release the button",
}
FIXED_TEXT: Final = {
    Phase.STARTING: "starting",
    Phase.LEAVING: "leaving",
    Phase.LEFT: "left, press leave to rejoin",
    Phase.STOPPED: "stopped",
}
NO_BUTTON_TEXT: Final = "left, join on the page"
AGENT_WAIT_TEXT: Final = "waiting for the agent"
AGENT_AWAITED: Final = (
    "Waiting for the voice agent. The last 10 s of what is said before it comes are "
    "kept for it."
)
AGENT_LEFT: Final = (
    "The voice agent has left. A typed line calls one, and so does the talk button of "
    "a box that has one."
)


class ConnectionState(StrEnum):
    """Connection of the appliance to its room; the banner has the cause."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DISCONNECTED = "disconnected"
    """Not in the room; the next attempt is scheduled."""
    LEFT = "left"
    """Left on request."""
    REFUSED = "refused"


CONNECTIONS: Final = {
    Phase.STARTING: ConnectionState.CONNECTING,
    Phase.FETCHING: ConnectionState.CONNECTING,
    Phase.JOINING: ConnectionState.CONNECTING,
    Phase.IN_ROOM: ConnectionState.CONNECTED,
    Phase.LEFT: ConnectionState.LEFT,
    Phase.REFUSED: ConnectionState.REFUSED,
}


class TalkState(StrEnum):
    """State of push-to-talk."""

    MUTED = "muted"
    TALKING = "talking"
    WARNING = "warning"
    """Talking, with the time limit near."""
    LOCKED = "locked"
    """The button has to be released first."""
    UNAVAILABLE = "unavailable"
    """A press would be refused: no room, no other participant or no microphone."""


@dataclass(frozen=True, slots=True)
class LampStates:
    """Which lamps are lit."""

    online: bool = False
    talking: bool = False
    receiving: bool = False
    fault: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """Immutable snapshot of everything that is shown; equal views look equal."""

    name: str
    connection: ConnectionState
    banner: str
    """Connection status in one short line: state, cause and next attempt."""
    room: str
    preset: str | None
    presets: tuple[str, ...]
    people: tuple[Participant, ...]
    talkers: tuple[str, ...]
    """Names of the other participants who are speaking."""
    talk: TalkState
    talk_text: str
    """Talk state in words, with its reason."""
    talk_left_s: int | None
    """Seconds until the time limit, after the warning; else None."""
    is_muted: bool
    """No audio is sent."""
    is_muted_at_box: bool
    """Muted by the button; the page cannot undo it."""
    microphone_dbfs: int
    speaker_dbfs: int
    is_voice: bool
    volume_percent: int
    microphone_gain_db: float
    chat: tuple[ChatLine, ...]
    chat_refusal: str
    """Reason why the outbox accepts no line; empty: it does."""
    lamps: LampStates
    faults: tuple[str, ...]
    """One sentence for each fault."""
    has_microphone: bool
    has_speaker: bool
    rtt_ms: int | None
    screen_page: ScreenPage
    address: str
    page_url: str
    pin: str = field(repr=False)
    wakes: int = field(default=0, repr=False)
    """So far; each wakes the screen, even a press without effect."""
    is_muted_on_page: bool = False
    """Muted by the switch of the page, which can undo it."""
    is_page_press_ignored: bool = False
    """A talk button on the page is still held, but its talk was ended."""
    mode: TalkMode = TalkMode.HYBRID
    is_muted_by_room: bool = False
    """Muted by a moderator; the next press undoes it."""
    is_silent: bool = False
    """The microphone delivers only zeros while somebody talks."""
    is_listener: bool = False
    is_announcer: bool = False
    """Configured without a microphone, without a speaker: neither is a fault."""
    agent: VoiceAgent | None = None
    agent_note: str = ""
    """That the agent is awaited, or whom it listens to among several participants."""
    fault_ids: tuple[str, ...] = ()
    """Ids of the hardware faults in `fault_table`."""
    captions: tuple[Caption, ...] = ()
    """Words as they are spoken, the newest last."""


def view(state: State, now_s: float) -> View:
    """Return the view of this state at this time.

    Time appears in whole seconds: an idle appliance has an equal view almost always.
    """
    heard = state.people if state.is_connected else ()
    talkers = tuple(person.name for person in heard if person.is_speaking)
    sentences = faults.sentences(state)
    talk_state = _talk_state(state)
    shown = View(
        name=state.config.name or "",
        connection=_connection(state),
        banner=banner(state, now_s),
        room=state.room,
        preset=state.preset,
        presets=tuple(preset.name for preset in state.config.room.presets),
        people=state.people,
        talkers=talkers,
        talk=talk_state,
        talk_text=_talk_text(state, talk_state),
        talk_left_s=talk.left_s(state, now_s),
        is_muted=not (state.talk.is_open or _is_talking(state)),
        is_muted_at_box=state.talk.is_muted_at_box,
        microphone_dbfs=state.levels.microphone_dbfs,
        speaker_dbfs=state.levels.speaker_dbfs,
        is_voice=state.levels.is_voice,
        volume_percent=state.volume_percent,
        microphone_gain_db=state.microphone_gain_db,
        chat=state.chat.lines,
        chat_refusal=state.chat.refusal,
        lamps=_lamps(state, talkers, sentences),
        faults=sentences,
        has_microphone=faults.is_working(state, Part.MICROPHONE),
        has_speaker=faults.is_working(state, Part.SPEAKER),
        rtt_ms=None if state.rtt_s is None else round(state.rtt_s * 1000),
        screen_page=_screen_page(state, now_s),
        address=state.address or "",
        page_url=state.page_url,
        pin=state.pin,
        is_muted_on_page=state.talk.is_muted_on_page,
        is_page_press_ignored=state.talk.is_page_press_ignored,
        is_muted_by_room=state.permissions.is_server_muted,
    )
    return _with_settings_and_agent(shown, state)


def _with_settings_and_agent(shown: View, state: State) -> View:
    conversation = state.conversation
    return replace(
        shown,
        wakes=state.wakes,
        mode=state.config.talk.mode,
        is_silent=_is_silent(state),
        is_listener=state.config.sound.microphone == "none",
        is_announcer=state.config.sound.speaker == "none",
        agent=conversation.agent,
        agent_note=_agent_note(state),
        fault_ids=faults.ids(state),
        captions=conversation.captions,
    )


def _agent_note(state: State) -> str:
    """Return what to know of the agent: that it is awaited, or whom it listens to."""
    agent = state.conversation.agent
    if state.conversation.is_awaited:
        return AGENT_AWAITED if talk.may_talk(state) else ""
    if reconnect.is_agent_missing(state):
        return AGENT_LEFT
    if agent is None or state.has_only_programs:
        return ""
    if agent.takes_turns:
        return (
            f"{agent.name} listens to whoever talks; a talk that begins elsewhere "
            "takes its attention away from this box."
        )
    return (
        f"{agent.name} listens to one participant only, usually the first who joined; "
        "everybody hears its answers."
    )


def _agent_status(state: State) -> str:
    """Return what the banner says about the agent; empty: nothing."""
    conversation = state.conversation
    if conversation.agent is None:
        return AGENT_WAIT_TEXT if conversation.is_awaited else ""
    is_deaf = conversation.is_unresponsive
    return f"{conversation.agent.name} does not react" if is_deaf else ""


def _lamps(state: State, talkers: tuple[str, ...], said: tuple[str, ...]) -> LampStates:
    has_fault = faults.is_lamp_lit(state, said)
    is_receiving = bool(talkers) or voice_agent.is_lamp_lit(state)
    is_talking = _is_talking(state) and not _is_silent(state)
    return LampStates(state.is_connected, is_talking, is_receiving, has_fault)


def _is_talking(state: State) -> bool:
    """Return whether audio passes the gate and reaches the room."""
    return state.is_connected and state.talk.is_transmitting


def _is_silent(state: State) -> bool:
    return any(found.is_silent for found in state.noticed)


def _connection(state: State) -> ConnectionState:
    connection = CONNECTIONS.get(state.phase, ConnectionState.DISCONNECTED)
    is_retry = connection is ConnectionState.CONNECTING and state.cause is not None
    is_reconnecting = is_retry or _is_interrupted(state)
    return ConnectionState.RECONNECTING if is_reconnecting else connection


def _is_interrupted(state: State) -> bool:
    """Return whether a session has a pause, or ends so that another can begin."""
    is_rejoining = state.phase is Phase.LEAVING and state.goal is Goal.REJOIN
    is_offline = state.phase is Phase.IN_ROOM and state.is_link_down
    return is_rejoining or is_offline or state.phase is Phase.PAUSED


def _screen_page(state: State, now_s: float) -> ScreenPage:
    """Return the screen page: the PIN has priority over the chosen one, a talk too."""
    if now_s >= state.pairing_until_s:
        return state.screen_page
    is_covered = state.talk.is_on and not state.is_open_mode
    return ScreenPage.TALK if is_covered else ScreenPage.PAIRING


def _talk_state(state: State) -> TalkState:
    if state.talk.lock is not Lock.NONE:
        return TalkState.LOCKED
    if state.talk.is_open:
        return TalkState.WARNING if state.talk.has_warned else TalkState.TALKING
    return TalkState.UNAVAILABLE if talk.refusal(state) else TalkState.MUTED


def _talk_text(state: State, talk_state: TalkState) -> str:
    match talk_state:
        case TalkState.LOCKED:
            return LOCK_TEXT[state.talk.lock]
        case TalkState.UNAVAILABLE:
            return f"cannot talk: {talk.refusal(state)}"
        case TalkState.WARNING:
            return "talking, time is nearly up"
        case TalkState.TALKING:
            return "talking" if not _is_silent(state) else "talking, but without sound"
        case _:
            return _muted_text(state)


def _muted_text(state: State) -> str:
    """Return why nothing is sent, while a press would be allowed."""
    if state.permissions.is_server_muted:
        return "muted by the room"
    if state.talk.is_muted_at_box:
        return "muted by the button"
    return "muted on the page" if state.talk.is_muted_on_page else "muted"


def banner(state: State, now_s: float) -> str:
    """Return state, cause and next attempt, and which room could not be joined."""
    failed = state.failed_room
    note = "" if failed is None else f" ({_with_cause(failed.name, failed.cause)})"
    return _status(state, now_s) + note


def _status(state: State, now_s: float) -> str:
    """Return state, cause and next attempt in words; two lines of the OLED at most."""
    if _is_interrupted(state):
        return _with_cause("reconnecting", _cause(state))
    match state.phase:
        case Phase.FETCHING | Phase.JOINING:
            return _with_cause("connecting", _cause(state))
        case Phase.IN_ROOM:
            place = f"in {state.room}" if state.room else "connected"
            return ", ".join(filter(None, (place, _agent_status(state))))
        case Phase.WAITING:
            cause = _cause(state)
            # Without a cause it waits until the agent's room has ended.
            status = _with_cause("disconnected", cause) if cause else AGENT_WAIT_TEXT
            return f"{status}, retry in {retry_s(state, now_s)} s"
        case Phase.REFUSED:
            minutes = ceil(retry_s(state, now_s) / 60)
            return f"{_with_cause('refused', state.cause)}, asks again in {minutes} min"
        case _:
            has_button = state.config.buttons.leave is not None
            is_left = state.phase is Phase.LEFT and not has_button
            return NO_BUTTON_TEXT if is_left else FIXED_TEXT[state.phase]


def retry_s(state: State, now_s: float) -> int:
    """Return the seconds until the next attempt, rounded up; 0 when it is due."""
    return max(0, ceil(state.retry_at_s - now_s))


def _cause(state: State) -> Cause | None:
    """Return the cause of the outage; a missing network explains most others."""
    is_explained = state.cause in {None, *NEED_LINK} and state.is_link_down
    # A token source may be elsewhere although the server is on this machine.
    is_offline = state.cause is Cause.NO_INTERNET and state.address is None
    return Cause.NO_LINK if is_explained or is_offline else state.cause


def _with_cause(status: str, cause: Cause | None) -> str:
    text = CAUSE_TEXT[cause] if cause is not None else ""
    return status if text in {"", status} else f"{status}: {text}"
