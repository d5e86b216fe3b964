"""Everything the core may ask of an adapter, as imperatives.

Each command belongs to exactly one adapter. Nothing is returned: an answer is an event.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Earcon(StrEnum):
    """The short sounds that the box makes for its user, never for the room."""

    PERMIT = "permit"
    """Talk now."""
    END = "end"
    """Your talk is over."""
    REFUSED = "refused"
    """You cannot talk now."""
    WARNING = "warning"
    """Your time is nearly up."""
    JOINED = "joined"
    LOST = "lost"


# tokens


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Answered by `TokenReady` or `TokenFailed`, always."""

    ticket: int
    preset: str | None
    display_name: str | None


@dataclass(frozen=True, slots=True)
class DropToken:
    """Stop fetching: the answer is not wanted any more."""

    ticket: int


# room


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """Answered by `RoomJoined` or `RoomFailed`, unless `LeaveRoom` comes first."""

    ticket: int
    url: str
    token: str = field(repr=False)
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Answered by `RoomLeft` within `LEAVE_S`, whatever the visit is doing."""

    ticket: int


@dataclass(frozen=True, slots=True)
class UnmuteTrack:
    """Unmute the microphone's track, which a moderator has muted at the server."""

    ticket: int


@dataclass(frozen=True, slots=True)
class SendChat:
    """Answered by `ChatSent` or `ChatFailed`."""

    ticket: int
    id: str
    text: str = field(repr=False)
    ts_ms: int


# sound


@dataclass(frozen=True, slots=True)
class OpenSound:
    """Open microphone and speaker, and keep them open through loss and return."""


@dataclass(frozen=True, slots=True)
class CloseSound:
    """Close both; no sample is taken from the microphone any more."""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Let the microphone into the room; answered by `TalkFlowed`."""

    asked_at_s: float = field(default=0.0, compare=False)
    """When the press came, monotonic: access time is measured from here."""


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Shut the microphone out; answered by `TailEnded`."""

    tail_ms: int
    """How long the end of a word may still pass; 0: at once."""


@dataclass(frozen=True, slots=True)
class SetVolume:
    """Set the speaker's volume."""

    percent: int


@dataclass(frozen=True, slots=True)
class SetGain:
    """Set the microphone's gain."""

    db: float


@dataclass(frozen=True, slots=True)
class PlayEarcon:
    """Play a short sound on the speaker, if earcons are on."""

    earcon: Earcon


# store


@dataclass(frozen=True, slots=True)
class KeepLevels:
    """Remember volume and gain over a restart."""

    percent: int
    db: float


# the process


@dataclass(frozen=True, slots=True)
class Exit:
    """Close every adapter and end the process."""


TokenCommand = FetchToken | DropToken
RoomCommand = JoinRoom | LeaveRoom | UnmuteTrack | SendChat
SoundCommand = (
    OpenSound | CloseSound | OpenGate | CloseGate | SetVolume | SetGain | PlayEarcon
)
StoreCommand = KeepLevels
Command = TokenCommand | RoomCommand | SoundCommand | StoreCommand | Exit
