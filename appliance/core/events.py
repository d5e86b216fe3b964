"""Events: everything that can happen to the appliance, named in the past tense."""

from dataclasses import dataclass, field
from enum import StrEnum


class Button(StrEnum):
    """Buttons of the panel; `config.yaml` assigns the pins."""

    TALK = "talk"
    LEAVE = "leave"
    VOLUME_UP = "volume_up"
    VOLUME_DOWN = "volume_down"
    NEXT_ROOM = "next_room"
    NEXT_PAGE = "next_page"


class Cause(StrEnum):
    """Reason why the appliance is not in the room; also a metrics label."""

    NO_LINK = "no_link"
    """No interface has an address; used by the view only."""
    NO_INTERNET = "no_internet"
    """The name cannot be resolved or the host cannot be reached."""
    TOKEN_SOURCE = "token_source"
    """The token source answered without a token."""
    REFUSED = "refused"
    """The token source or the server refused the request."""
    SERVER_LOST = "server_lost"
    """The server does not answer, or the connection to it broke."""
    ROOM_CLOSED = "room_closed"
    """The room was closed, or this participant was removed from it."""
    REPLACED = "replaced"
    """Another client joined with this box's identity."""
    MISCONFIGURED = "misconfigured"
    """Something in the configuration cannot be used, for example a key file."""


class Part(StrEnum):
    """Hardware or service that can fail without ending the process."""

    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    SCREEN = "screen"
    BUTTON = "button"
    LAMP = "lamp"
    PAGE = "page"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class ConnectionDetails:
    """Token, servers that accept it, and what the token says about the room."""

    url: str
    token: str = field(repr=False)
    identity: str
    """Of this box."""
    expects_agent: bool = False
    """A voice agent comes into the room."""
    is_dtelecom: bool = False
    fallback_urls: tuple[str, ...] = ()
    """Other servers that accept the token, the first choice first."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Reason why there is no token or no room, and what to do about it."""

    cause: Cause
    reason: str
    """One sentence for people; contains no secrets."""
    is_final: bool = False
    """Retrying soon will not help."""
    retry_after_s: float = 0.0
    """Shortest wait that the token source asked for."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Another participant in the room."""

    id: str
    """LiveKit identity, unique in the room."""
    name: str
    """Name to display; never empty."""
    is_speaking: bool = False
    is_muted: bool = False
    is_agent: bool = False
    """A voice agent, or the avatar of one."""
    sound_fault: str = ""
    """Why their audio is not played or not encrypted as expected, in words."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Permissions of this participant, from its token or from a moderator."""

    may_publish: bool = True
    """Publish the microphone track; False until the track is published."""
    may_subscribe: bool = True
    may_send_data: bool = True
    is_server_muted: bool = False
    """A moderator muted the microphone track."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """Chat message from the room; size and types are checked."""

    id: str
    """Unique together with `sender_id`."""
    sender_id: str
    """LiveKit identity; empty: unknown."""
    sender_name: str
    text: str = field(repr=False)
    ts_ms: int
    """Sender's clock, ms since the epoch."""
    is_edit: bool = False
    """Replaces the text of an earlier message; never adds a line."""


class AgentState(StrEnum):
    """State that a voice agent publishes; LiveKit's names."""

    INITIALIZING = "initializing"
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


@dataclass(frozen=True, slots=True)
class VoiceAgent:
    """Voice agent in the room: a participant that answers what is said."""

    id: str
    name: str
    state: AgentState
    takes_turns: bool = False
    """It is told who talks and when, and then hears that participant only."""


@dataclass(frozen=True, slots=True)
class Caption:
    """Words as somebody speaks them; size and types are checked."""

    segment: str
    """Unique together with `talker_id`; a later caption replaces an earlier one."""
    talker_id: str
    """LiveKit identity; that of this box for what was said here."""
    talker: str
    text: str = field(repr=False)
    is_final: bool
    """Nothing will be added."""
    ts_ms: int
    """Begin of the segment, ms since the epoch."""
    is_own: bool = False
    """Spoken here; set by `voice_agent`."""


# the process


@dataclass(frozen=True, slots=True)
class Started:
    """The token source is open: the first session may begin."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """A deadline or a second passed; `step` compares its deadlines with `now_s`."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """SIGTERM, Ctrl-C or the end of the demo."""


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The network went up or down, or its address or default route changed."""

    address: str | None
    """LAN address of this machine; None without a network."""
    sources: tuple[str, ...] = ()
    """Source addresses of the default routes, which may be those of a VPN."""


@dataclass(frozen=True, slots=True)
class PartLost:
    """A part is missing, busy or broken; the others continue to work."""

    part: Part
    name: str
    """The pin, device or address concerned."""
    reason: str


@dataclass(frozen=True, slots=True)
class PartFound:
    """A part works, for the first time or again."""

    part: Part
    name: str
    notice: str = ""
    """Says what is not as it should be; empty: nothing."""
    is_silent: bool = False
    """A microphone that delivers only zeros while somebody talks."""


@dataclass(frozen=True, slots=True)
class PageServed:
    """The page is being served."""

    url: str
    """Without secrets, as a person types it into a browser."""
    pin: str = field(repr=False)
    """PIN that pairs a phone."""


@dataclass(frozen=True, slots=True)
class PairingAsked:
    """The pairing form was opened, so the PIN has to be visible."""


@dataclass(frozen=True, slots=True)
class PhonePaired:
    """A phone sent the correct PIN."""


# buttons and page


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """A button went down, or was already down when its pin was opened."""

    button: Button
    is_at_boot: bool = False
    at_s: float | None = field(default=None, compare=False)
    """When the contact closed, by the monotonic clock; None: now."""
    is_resumed: bool = False
    """The preceding release was contact bounce: the earlier press continues."""


@dataclass(frozen=True, slots=True)
class ButtonReleased:
    """A button went up, or its pin has failed."""

    button: Button
    at_s: float | None = field(default=None, compare=False)
    """When the contact opened, by the monotonic clock; None: now."""
    is_lost: bool = False
    """The pin has failed: the button was up or down, and cannot be pressed."""


@dataclass(frozen=True, slots=True)
class TalkAsked:
    """The talk button of the page went down or up."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class MuteAsked:
    """The mute switch of the page was changed."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class LeaveAsked:
    """The leave button of the page was pressed."""


@dataclass(frozen=True, slots=True)
class JoinAsked:
    """The join button of the page was pressed."""

    preset: str | None = None
    """Name of a preset; None: the room of the section `room`."""
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class VolumeAsked:
    """The volume was changed on the page."""

    percent: int
    """0-100."""


@dataclass(frozen=True, slots=True)
class GainAsked:
    """The microphone gain was changed on the page."""

    db: float
    """-30 to 30."""


@dataclass(frozen=True, slots=True)
class ChatTyped:
    """A chat line was typed on the page."""

    id: str
    """Chosen by the page."""
    text: str = field(repr=False)
    ts_ms: int


# sound


@dataclass(frozen=True, slots=True)
class TailEnded:
    """The gate closed: the release tail ended or was cut short."""


@dataclass(frozen=True, slots=True)
class FirstBlockSent:
    """The first block of a talk was handed to the encoder."""

    access_s: float
    """Seconds since `OpenGate` was requested."""


@dataclass(frozen=True, slots=True)
class LevelsMeasured:
    """Audio levels; posted a few times a second and only when they changed."""

    microphone_dbfs: int
    speaker_dbfs: int
    is_voice: bool
    """Whether voice is detected in the microphone signal."""


# token and room


@dataclass(frozen=True, slots=True)
class TokenReady:
    """The token source issued a token."""

    ticket: int
    details: ConnectionDetails


@dataclass(frozen=True, slots=True)
class TokenFailed:
    """No token could be obtained."""

    ticket: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class RoomJoined:
    """Connected; the microphone track is published if the room allows it."""

    ticket: int
    room: str
    people: tuple[Participant, ...] = ()
    permissions: Permissions = Permissions()


@dataclass(frozen=True, slots=True)
class RoomFailed:
    """The room could not be joined; the session is over."""

    ticket: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class RoomPaused:
    """The connection broke and LiveKit is resuming it."""

    ticket: int


@dataclass(frozen=True, slots=True)
class RoomResumed:
    """LiveKit resumed the connection."""

    ticket: int
    is_new: bool = False
    """By a new connection: what was not yet delivered is lost."""


@dataclass(frozen=True, slots=True)
class RoomLost:
    """The session ended without having been asked to."""

    ticket: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class RoomLeft:
    """The session ended as commanded; all its resources are closed."""

    ticket: int


@dataclass(frozen=True, slots=True)
class PeopleChanged:
    """The list of participants changed; carries the complete list."""

    ticket: int
    people: tuple[Participant, ...]


@dataclass(frozen=True, slots=True)
class PermissionsChanged:
    """The permissions changed; carries all of them."""

    ticket: int
    permissions: Permissions


@dataclass(frozen=True, slots=True)
class Reception:
    """How the others' audio arrived in the last seconds; None: there was none."""

    delay_s: float | None = None
    """Mean delay of LiveKit's jitter buffers."""
    concealed_ratio: float | None = None
    """Share of the audio that was lost or late and was synthesised."""
    lost_packets: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionMeasured:
    """Statistics of the connection, every few seconds."""

    ticket: int
    rtt_s: float | None
    """Round-trip time to the server; None: not known yet."""
    reception: Reception = Reception()
    lost_packets: int = 0
    """Packets of ours whose loss the server reported in the last seconds."""


@dataclass(frozen=True, slots=True)
class ChatReceived:
    """A chat message arrived."""

    ticket: int
    message: ChatMessage


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """The voice agent came, left or changed."""

    ticket: int
    agent: VoiceAgent | None


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """The voice agent is in the room, but answered that it cannot take part."""

    ticket: int
    id: str
    """Identity of the agent."""


@dataclass(frozen=True, slots=True)
class CaptionReceived:
    """A caption began, grew or is complete."""

    ticket: int
    caption: Caption


@dataclass(frozen=True, slots=True)
class ChatSent:
    """The SDK took a line of ours to send it; the server confirms nothing."""

    ticket: int
    id: str


@dataclass(frozen=True, slots=True)
class ChatFailed:
    """A line of ours could not be sent."""

    ticket: int
    id: str
    reason: str


PartEvent = PartLost | PartFound
PairingEvent = PageServed | PairingAsked | PhonePaired
ButtonEvent = ButtonPressed | ButtonReleased
GateEvent = FirstBlockSent | TailEnded
AgentEvent = AgentChanged | AgentFailed | CaptionReceived
InRoomEvent = PeopleChanged | PermissionsChanged | ConnectionMeasured | AgentEvent
"""Events that have no effect outside of the room."""
SessionEvent = (
    TokenReady
    | TokenFailed
    | RoomJoined
    | RoomFailed
    | RoomPaused
    | RoomResumed
    | RoomLost
    | RoomLeft
    | InRoomEvent
    | ChatReceived
    | ChatSent
    | ChatFailed
)
"""Events that carry the ticket of a session."""
Event = (
    Started
    | Ticked
    | StopAsked
    | LinkChanged
    | PartEvent
    | PairingEvent
    | ButtonEvent
    | TalkAsked
    | MuteAsked
    | LeaveAsked
    | JoinAsked
    | VolumeAsked
    | GainAsked
    | ChatTyped
    | GateEvent
    | LevelsMeasured
    | SessionEvent
)
