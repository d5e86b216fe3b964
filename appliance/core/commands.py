"""Commands: requests of the core to the adapters, which answer with events."""

from dataclasses import dataclass, field
from enum import StrEnum

from appliance.core.events import ConnectionDetails


class Earcon(StrEnum):
    """Short sound played on the local speaker, never sent to the room."""

    PERMIT = "permit"
    """The gate is open."""
    END = "end"
    """The talk is over."""
    REFUSED = "refused"
    """The press has no effect."""
    WARNING = "warning"
    """The time limit is near."""
    JOINED = "joined"
    LOST = "lost"
    THINKING = "thinking"


class Turn(StrEnum):
    """Request to a voice agent about the turn of this box."""

    START = "start"
    """Stop speaking and listen to this box."""
    END = "end"
    """Everything was said: answer."""
    CANCEL = "cancel"
    """Forget what was said."""


# tokens


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Fetch a token, and give up the request before this one."""

    ticket: int
    preset: str | None
    display_name: str | None


# room


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """Start a session; answered by `RoomJoined` or `RoomFailed` unless left before."""

    ticket: int
    details: ConnectionDetails
    """If they expect an agent, what is said until it comes is kept for it."""
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """End the session; answered by `RoomLeft` within `LEAVE_S` in any state."""

    ticket: int


@dataclass(frozen=True, slots=True)
class UnmuteTrack:
    """Unmute the microphone track, which a moderator muted on the server."""

    ticket: int


@dataclass(frozen=True, slots=True)
class SendChat:
    """Send a chat line; answered by `ChatSent` or `ChatFailed`."""

    ticket: int
    id: str
    text: str = field(repr=False)
    ts_ms: int


@dataclass(frozen=True, slots=True)
class MuteAgent:
    """Play the voice agent's audio or not; the others are always played."""

    ticket: int
    is_on: bool


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """Tell the voice agent about our turn; `AgentFailed` if it cannot take part."""

    ticket: int
    turn: Turn


# sound


@dataclass(frozen=True, slots=True)
class OpenSound:
    """Open microphone and speaker; reopen them whenever they are lost."""


@dataclass(frozen=True, slots=True)
class CloseSound:
    """Close microphone and speaker; nothing is captured from now on."""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Send the microphone signal to the room; answered by `FirstBlockSent`."""

    asked_at_s: float = field(default=0.0, compare=False)
    """On the monotonic clock; the access time counts from it."""


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Send silence to the room; answered by `TailEnded`."""

    tail_ms: int
    """How long the signal still passes, so that no word is cut; 0: not at all."""


@dataclass(frozen=True, slots=True)
class ClearPreRoll:
    """Do not send as pre-roll what was captured until now."""


@dataclass(frozen=True, slots=True)
class SetVolume:
    """Set the speaker volume."""

    percent: int


@dataclass(frozen=True, slots=True)
class SetGain:
    """Set the microphone gain."""

    db: float


@dataclass(frozen=True, slots=True)
class PlayEarcon:
    """Play an earcon on the speaker, if earcons are enabled."""

    earcon: Earcon


# store


@dataclass(frozen=True, slots=True)
class StoreVolumeAndGain:
    """Store what somebody has changed, so that it survives a restart; None: nothing."""

    percent: int | None = None
    db: float | None = None


# the process


@dataclass(frozen=True, slots=True)
class Exit:
    """Close every adapter and end the process."""


RoomCommand = JoinRoom | LeaveRoom | UnmuteTrack | SendChat | MuteAgent | TakeTurn
SoundCommand = (
    OpenSound
    | CloseSound
    | OpenGate
    | CloseGate
    | ClearPreRoll
    | SetVolume
    | SetGain
    | PlayEarcon
)
Command = FetchToken | RoomCommand | SoundCommand | StoreVolumeAndGain | Exit
