"""Everything that can happen to the box, in the past tense.

Adapters post these from any thread; `step` takes them one at a time. An event that
answers a command of a visit carries that visit's ticket.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Button(StrEnum):
    """The buttons a box may have; `config.yaml` says which pins."""

    TALK = "talk"
    LEAVE = "leave"
    VOLUME_UP = "volume_up"
    VOLUME_DOWN = "volume_down"
    NEXT_ROOM = "next_room"
    NEXT_PAGE = "next_page"


class Cause(StrEnum):
    """Why there is no room, in the words of R8.2; also a metrics label."""

    NO_LINK = "no_link"
    """No network interface has an address."""
    NO_INTERNET = "no_internet"
    """The name cannot be resolved or the host cannot be reached."""
    TOKEN_SOURCE = "token_source"
    """The token source answers, but not with a token."""
    REFUSED = "refused"
    """Token source or server said no."""
    SERVER_LOST = "server_lost"
    """The server is away, or went away."""
    ROOM_CLOSED = "room_closed"
    """Somebody ended the room or removed this box from it."""
    REPLACED = "replaced"
    """Another client joined with this box's identity."""
    MISCONFIGURED = "misconfigured"
    """The answer names a server that the configuration does not allow."""


class Part(StrEnum):
    """A piece of hardware or a service that may be missing."""

    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    SCREEN = "screen"
    BUTTON = "button"
    LAMP = "lamp"
    PAGE = "page"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody else in the room."""

    id: str
    """Identity: unique in the room."""
    name: str
    """What to show; never empty."""
    is_speaking: bool = False
    is_muted: bool = False
    sound_fault: str = ""
    """Why their sound is not played, or not encrypted as the room's, in words."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the room allows this box, by its token or by a moderator's decision."""

    may_publish: bool = True
    """Publish the microphone's track; False until the track is really published."""
    may_subscribe: bool = True
    """Hear the others."""
    may_send_data: bool = True
    """Send chat."""
    is_muted: bool = False
    """A moderator muted the microphone's track at the server."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One chat line as it came from the room; already checked for size and type."""

    id: str
    """Unique together with `sender_id`."""
    sender_id: str
    sender_name: str
    text: str = field(repr=False)
    ts_ms: int
    """Sender's clock, ms since the epoch."""
    is_edit: bool = False
    """Replaces an earlier text, but never adds a line of its own."""


# the process


@dataclass(frozen=True, slots=True)
class Started:
    """Every adapter is open; the box may join."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """About a second went by; waits are compared with the clock."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """SIGTERM, Ctrl-C or the end of the demo."""


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The network came, went or changed its address."""

    address: str | None
    """This machine's address on the LAN, None without a network."""


@dataclass(frozen=True, slots=True)
class PartLost:
    """A part is missing, busy or broken; the rest goes on."""

    part: Part
    name: str
    """Which one: a pin, a device, an address."""
    reason: str


@dataclass(frozen=True, slots=True)
class PartFound:
    """A part works, again or for the first time."""

    part: Part
    name: str
    notice: str = ""
    """That another device was wanted, in words; empty: it is the wanted one."""


@dataclass(frozen=True, slots=True)
class PageServed:
    """The page can be opened."""

    url: str
    """Without secrets, as a person types it."""
    pin: str = field(repr=False)
    """What pairs a phone; shown on the OLED."""


@dataclass(frozen=True, slots=True)
class PairingAsked:
    """Somebody has opened the pairing form and needs to see the PIN."""


@dataclass(frozen=True, slots=True)
class PhonePaired:
    """A phone has told the right PIN."""


# buttons and page


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """First edge of a press, or a press that was there at boot."""

    button: Button
    is_at_boot: bool = False
    at_s: float | None = field(default=None, compare=False)
    """When the contact closed, by the monotonic clock; None: now."""
    is_resumed: bool = False
    """The release before it was bounce: the press before that one goes on."""


@dataclass(frozen=True, slots=True)
class ButtonReleased:
    """The button's level is at rest again."""

    button: Button
    at_s: float | None = field(default=None, compare=False)
    """When the contact opened, by the monotonic clock; None: now."""


@dataclass(frozen=True, slots=True)
class TalkAsked:
    """The page's talk button went down or up."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class MuteAsked:
    """The page's mute switch."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class LeaveAsked:
    """The page's leave button."""


@dataclass(frozen=True, slots=True)
class JoinAsked:
    """The page's join button."""

    preset: str | None = None
    """Name of a preset that exists; None: the room as it is."""
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class VolumeAsked:
    """The page's volume control."""

    percent: int
    """0-100."""


@dataclass(frozen=True, slots=True)
class GainAsked:
    """The page's microphone gain."""

    db: float
    """-30 to 30."""


@dataclass(frozen=True, slots=True)
class ChatTyped:
    """Somebody typed a line for the room."""

    id: str
    """Made by the page, so that its answer can name it."""
    text: str = field(repr=False)
    ts_ms: int


# sound


@dataclass(frozen=True, slots=True)
class TailEnded:
    """The gate has really closed: the release tail is over or was cut by silence."""


@dataclass(frozen=True, slots=True)
class TalkFlowed:
    """The first block of a talk was handed to the encoder."""

    access_s: float
    """Seconds since the gate was told to open."""


@dataclass(frozen=True, slots=True)
class LevelsMeasured:
    """How loud it is; posted a few times a second and only when it changed."""

    microphone_dbfs: int
    speaker_dbfs: int
    is_voice: bool
    """Whether somebody seems to be speaking into the microphone."""


# token and room


@dataclass(frozen=True, slots=True)
class TokenReady:
    """The token source answered."""

    ticket: int
    url: str
    token: str = field(repr=False)
    identity: str
    room: str


@dataclass(frozen=True, slots=True)
class TokenFailed:
    """There is no token."""

    ticket: int
    cause: Cause
    reason: str
    """One sentence for people: what was found and what to do. No secrets."""
    is_final: bool = False
    """Asking again will not help."""


@dataclass(frozen=True, slots=True)
class RoomJoined:
    """Connected, and the microphone's track is published if the room allows it."""

    ticket: int
    room: str
    people: tuple[Participant, ...] = ()
    permissions: Permissions = Permissions()


@dataclass(frozen=True, slots=True)
class RoomFailed:
    """The room could not be joined; the visit is over."""

    ticket: int
    cause: Cause
    reason: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class RoomPaused:
    """The connection broke and LiveKit is resuming it."""

    ticket: int


@dataclass(frozen=True, slots=True)
class RoomResumed:
    """LiveKit has resumed the connection."""

    ticket: int


@dataclass(frozen=True, slots=True)
class RoomLost:
    """The visit ended without our wish."""

    ticket: int
    cause: Cause
    reason: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class RoomLeft:
    """The visit ended as we wished; everything of it is closed."""

    ticket: int


@dataclass(frozen=True, slots=True)
class PeopleChanged:
    """Who is there, whole."""

    ticket: int
    people: tuple[Participant, ...]


@dataclass(frozen=True, slots=True)
class PermissionsChanged:
    """What the room allows this box, whole."""

    ticket: int
    permissions: Permissions


@dataclass(frozen=True, slots=True)
class RttMeasured:
    """Round trip to the server."""

    ticket: int
    rtt_s: float


@dataclass(frozen=True, slots=True)
class ChatReceived:
    """A chat line came, by whichever path."""

    ticket: int
    message: ChatMessage


@dataclass(frozen=True, slots=True)
class ChatSent:
    """The room has taken our line."""

    ticket: int
    id: str


@dataclass(frozen=True, slots=True)
class ChatFailed:
    """Our line could not be sent."""

    ticket: int
    id: str
    reason: str


Event = (
    Started
    | Ticked
    | StopAsked
    | LinkChanged
    | PartLost
    | PartFound
    | PageServed
    | PairingAsked
    | PhonePaired
    | ButtonPressed
    | ButtonReleased
    | TalkAsked
    | MuteAsked
    | LeaveAsked
    | JoinAsked
    | VolumeAsked
    | GainAsked
    | ChatTyped
    | TailEnded
    | TalkFlowed
    | LevelsMeasured
    | TokenReady
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
