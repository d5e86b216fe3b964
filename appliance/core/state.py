"""What the box knows: one immutable value, changed only by `step`."""

from dataclasses import dataclass, field
from enum import StrEnum

from appliance.config import Config, TalkMode
from appliance.core.chat import ChatLog
from appliance.core.events import (
    Button,
    Cause,
    LevelsMeasured,
    PartFound,
    Participant,
    PartLost,
    Permissions,
)


class Phase(StrEnum):
    """Where a visit to the room stands."""

    STARTING = "starting"
    """The process runs, its adapters are opening."""
    WAITING = "waiting"
    """No visit; `retry_at_s` says when the next one starts."""
    FETCHING = "fetching"
    """Asking for a token."""
    JOINING = "joining"
    """Connecting to the server."""
    IN_ROOM = "in_room"
    PAUSED = "paused"
    """The connection broke and LiveKit is resuming it."""
    LEAVING = "leaving"
    """Saying goodbye; `Goal` says what comes after."""
    LEFT = "left"
    """Out by our user's wish, until the next press."""
    REFUSED = "refused"
    """Out because asking again will not help, until something changes."""
    STOPPED = "stopped"
    """The process is ending."""


class Goal(StrEnum):
    """What a goodbye is for."""

    REJOIN = "rejoin"
    STAY_OUT = "stay_out"
    STOP = "stop"


class Lock(StrEnum):
    """Why the talk button does nothing until it is released."""

    NONE = "none"
    BOOT = "boot"
    """It was down when the box started: stuck, or leaned upon."""
    LIMIT = "limit"
    """The time limit is over."""


class ScreenPage(StrEnum):
    """What the OLED shows."""

    TALK = "talk"
    CHAT = "chat"
    PAIRING = "pairing"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Talk:
    """Who wants to talk, and what the gate does."""

    is_button_down: bool = False
    button_down_s: float = 0.0
    is_spent: bool = False
    """This press has already done its work: it ended a latched talk."""
    is_page_down: bool = False
    """A page's talk button is held, and talks."""
    is_page_spent: bool = False
    """A page's talk button is held, but its talk was ended: it has to come up first."""
    is_latched: bool = False
    """A tap or toggle keeps the gate open; in `open` mode: not muted."""
    is_muted_at_box: bool = False
    """Muted by the button: the page may not undo it."""
    is_muted_on_page: bool = False
    lock: Lock = Lock.NONE
    opened_at_s: float | None = None
    """When the gate was told to open; None: it was told to close."""
    began_at_s: float | None = None
    """When the talk began that goes on, or waits for the end of an outage."""
    is_flowing: bool = False
    """Whether sound passes the gate: from `TalkFlowed` to `TailEnded`."""
    has_warned: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the gate was last told to open."""
        return self.opened_at_s is not None

    def is_wanted(self, mode: TalkMode) -> bool:
        """Whether somebody wants to talk, whatever the room says."""
        if self.is_muted_on_page or self.is_muted_at_box:
            return False
        holds = mode in {TalkMode.HOLD, TalkMode.HYBRID} and not self.is_spent
        pressed = holds and self.is_button_down and self.lock is Lock.NONE
        return pressed or self.is_page_down or self.is_latched


@dataclass(frozen=True, slots=True)
class State:
    """Everything that decisions are made from."""

    config: Config
    phase: Phase = Phase.STARTING
    since_s: float = 0.0
    """When this phase began."""
    goal: Goal = Goal.REJOIN
    ticket: int = 0
    """Number of the newest visit; answers to older ones are dropped."""
    failures: int = 0
    """Visits in a row that came to nothing: sets the next wait."""
    replacements: int = 0
    """Times in a row that another client took our identity."""
    retry_at_s: float = 0.0
    cause: Cause | None = None
    reason: str = ""
    jitter: float = 0.5
    """0-1, drawn once per process, so that fifty boxes do not come back at once."""
    preset: str | None = None
    display_name: str | None = None
    address: str | None = ""
    """LAN address; None: no link; empty: not known yet."""
    is_server_local: bool = False
    """The server is on this machine: the room needs no network."""
    page_url: str = ""
    pin: str = field(default="", repr=False)
    room: str = ""
    identity: str = ""
    people: tuple[Participant, ...] = ()
    permissions: Permissions = field(default_factory=Permissions)
    rtt_s: float | None = None
    talk: Talk = field(default_factory=Talk)
    levels: LevelsMeasured = field(
        default_factory=lambda: LevelsMeasured(-96, -96, is_voice=False)
    )
    volume_percent: int = 80
    microphone_gain_db: float = 0.0
    lost: tuple[PartLost, ...] = ()
    """Parts that are missing now."""
    second_choices: tuple[PartFound, ...] = ()
    """Parts that work on another device than the wanted one."""
    chat: ChatLog = field(default_factory=ChatLog)
    screen_page: ScreenPage = ScreenPage.TALK
    """The one that was chosen at the box."""
    pairing_until_s: float | None = None
    """The OLED shows the PIN until then; None: nobody wants to pair a phone."""
    stuck: tuple[Button, ...] = ()
    """Buttons but the talk button that were down at boot and still are."""
    leave_down_s: float | None = None
    """When the leave button went down; None: it is up or has done its work."""

    @property
    def is_link_down(self) -> bool:
        """Whether the network is known to be away and the room needs it."""
        return self.address is None and not self.is_server_local

    @property
    def is_connected(self) -> bool:
        """Whether sound and chat can reach the room.

        The kernel tells at once that an interface is down, LiveKit after 10 to 15 s.
        """
        return self.phase is Phase.IN_ROOM and not self.is_link_down

    @property
    def is_stopping(self) -> bool:
        """Whether the process is on its way out."""
        if self.phase is Phase.LEAVING:
            return self.goal is Goal.STOP
        return self.phase is Phase.STOPPED
