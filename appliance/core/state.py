"""State of the appliance: one immutable value, replaced only by `step`."""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final

from appliance.config import Config, TalkMode
from appliance.core.chat import ChatLog
from appliance.core.commands import Command
from appliance.core.events import (
    Button,
    Caption,
    Cause,
    LevelsMeasured,
    PartFound,
    Participant,
    PartLost,
    Permissions,
    VoiceAgent,
)

EVICTIONS: Final = frozenset({Cause.REPLACED, Cause.ROOM_CLOSED})
"""Causes for which another client or a moderator ended the session."""
PIN_SHOWN_S: Final = 60.0
"""Our choice: time to walk to the appliance and type six digits."""


class Phase(StrEnum):
    """Phase of the connection to the room."""

    STARTING = "starting"
    """`Started` has not been handled yet; no session may begin."""
    WAITING = "waiting"
    """No session; the next one begins at `retry_at_s`."""
    FETCHING = "fetching"
    JOINING = "joining"
    IN_ROOM = "in_room"
    PAUSED = "paused"
    """The connection broke and LiveKit is resuming it."""
    LEAVING = "leaving"
    """Disconnecting; `Goal` says what comes next."""
    LEFT = "left"
    """Disconnected on request, until somebody asks to join."""
    REFUSED = "refused"
    """Disconnected because retrying soon will not help."""
    STOPPED = "stopped"


class Goal(StrEnum):
    """What follows when the session has ended."""

    REJOIN = "rejoin"
    STAY_OUT = "stay_out"
    STOP = "stop"


class Lock(StrEnum):
    """Reason why the talk button is ignored until it is released."""

    NONE = "none"
    BOOT = "boot"
    """It was down when its pin was opened."""
    LIMIT = "limit"
    """The talk has reached its time limit."""


class ScreenPage(StrEnum):
    """Contents that the OLED can show."""

    TALK = "talk"
    CHAT = "chat"
    PAIRING = "pairing"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class FailedRoom:
    """Chosen room that could not be joined, so that the box went back."""

    name: str
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Talk:
    """Talk requests of button and page, mutes, and the state of the gate."""

    is_button_down: bool = False
    button_down_s: float = 0.0
    is_press_ignored: bool = False
    """This press of the button ended a talk or was refused, and has no other effect."""
    is_page_down: bool = False
    """A talk button on the page is held and requests to talk."""
    is_page_press_ignored: bool = False
    """A talk button on the page is held, but ignored until it is released."""
    is_latched: bool = False
    """A tap or toggle keeps the gate open; in `open` mode: not muted."""
    is_muted_at_box: bool = False
    """Muted by the button; the page cannot undo it."""
    is_muted_on_page: bool = False
    last_lock: Lock = Lock.NONE
    """`lock` of the newest press, also after its release, which may be a bounce."""
    opened_at_s: float | None = None
    """Time of the last `OpenGate`; None: closed since."""
    closed_at_s: float = 0.0
    """Time of the last `CloseGate` that ended or interrupted a talk."""
    began_at_s: float = 0.0
    """Begin of the newest request to talk, for its time limit; a bounce, a short pause
    or an outage does not end it."""
    is_transmitting: bool = False
    """Whether audio passes the gate: from `FirstBlockSent` to `TailEnded`."""
    has_tail: bool = False
    """The gate was closed with a release tail, whose end is not reported yet."""
    has_warned: bool = False
    """The end of the time limit was announced in this talk."""

    @property
    def lock(self) -> Lock:
        """Why the button is ignored until it is released."""
        return self.last_lock if self.is_button_down else Lock.NONE

    @property
    def is_open(self) -> bool:
        """Whether the last command to the gate was `OpenGate`."""
        return self.opened_at_s is not None

    @property
    def is_on(self) -> bool:
        """Whether somebody talks: from the press to the end of the release tail."""
        return self.is_open or self.is_transmitting

    @property
    def is_muted(self) -> bool:
        """Whether a person muted the box, on the page or with its button."""
        return self.is_muted_on_page or self.is_muted_at_box

    def is_wanted(self, mode: TalkMode) -> bool:
        """Return whether a talk is requested, regardless of the room and of a lock."""
        if self.is_muted:
            return False
        is_held = self.is_button_down and self.is_momentary(mode)
        return is_held or self.is_page_down or self.is_latched

    def is_momentary(self, mode: TalkMode) -> bool:
        """Return whether the button talks for as long as it is held in this press."""
        return mode in {TalkMode.HOLD, TalkMode.HYBRID} and not self.is_press_ignored


@dataclass(frozen=True, slots=True)
class Conversation:
    """Conversation with the voice agent in the room."""

    is_expected: bool = False
    """The token or the configuration says that an agent comes into this room."""
    is_awaited: bool = False
    """It has still to come: what is said before is kept for it."""
    return_at_s: float = inf
    """When the box leaves to fetch the missing agent."""
    is_used: bool = False
    """In this session somebody here has talked, pressed the talk button or typed."""
    agent: VoiceAgent | None = None
    since_s: float = 0.0
    """Begin of the agent's state."""
    is_ready: bool = False
    """The agent has finished starting, or takes so long that it may not say so."""
    captions: tuple[Caption, ...] = ()
    """The newest ones, in order of their beginning."""
    captions_until_s: float = inf
    voice_at_s: float | None = None
    """First voice of this talk to which the agent has not reacted; None: none."""
    utterance_until_s: float | None = None
    """End of the utterance in a latched talk, infinity while voice is detected; None:
    nobody speaks here."""
    has_turn: bool = False
    """The agent was told that our turn has begun."""
    is_answering: bool = False
    """The agent answers during a latched talk, so it is played."""
    reaction_due_s: float = inf
    """When the agent has to have reacted to what was said."""
    is_unresponsive: bool = False
    beats: int = 0
    """Half seconds since the agent has been thinking."""


@dataclass(frozen=True, slots=True)
class ButtonState:
    """State of one button."""

    button: Button
    is_down: bool = False
    is_at_boot: bool = False
    """Its newest press was there when its pin was opened."""
    moved_at_s: float = -inf
    """Time of the newest press or release."""
    hold_began_at_s: float | None = None
    """Begin of the newest press, if it has to be held and has had no effect yet."""
    presses: int = 0
    """Presses that have followed each other without a rest."""
    preset: str | None = None
    """Chosen room before these presses."""
    had_left: bool = False
    """Before these presses the box stayed out of the room."""

    @property
    def is_stuck(self) -> bool:
        """Whether it has been down since its pin was opened."""
        return self.is_down and self.is_at_boot


@dataclass(frozen=True, slots=True)
class State:
    """Complete state of the appliance."""

    config: Config
    phase: Phase = Phase.STARTING
    since_s: float = 0.0
    """Begin of the phase."""
    joined_at_s: float = 0.0
    """When the room was joined; a resumed session keeps it."""
    goal: Goal = Goal.REJOIN
    ticket: int = 0
    """Number of the newest session."""
    failures: int = 0
    """Consecutive failed sessions."""
    agent_returns: int = 0
    """Times in a row that the box left and joined again because of a missing agent."""
    evictions: int = 0
    """Consecutive sessions that another client or a moderator ended."""
    retry_at_s: float = 0.0
    rejoin_at_s: float = 0.0
    """Earliest time to join the room of `left_preset` again."""
    left_preset: str | None = None
    """Room of a voice agent that was left last."""
    cause: Cause | None = None
    reason: str = ""
    jitter: float = 0.5
    """0-1, random per process: many boxes do not reconnect at once."""
    preset: str | None = None
    joined_preset: str | None = None
    """Room that was joined last."""
    failed_room: FailedRoom | None = None
    """Shown until a person's next request to join or leave."""
    display_name: str | None = None
    address: str | None = ""
    """LAN address; None: no network; empty: not known yet."""
    sources: tuple[str, ...] = ()
    """Source addresses of the default routes."""
    is_server_local: bool = False
    """The server runs on this machine: no network is needed."""
    page_url: str = ""
    pin: str = field(default="", repr=False)
    room: str = ""
    identity: str = ""
    people: tuple[Participant, ...] = ()
    permissions: Permissions = field(default_factory=Permissions)
    rtt_s: float | None = None
    talk: Talk = field(default_factory=Talk)
    conversation: Conversation = field(default_factory=Conversation)
    levels: LevelsMeasured = field(
        default_factory=lambda: LevelsMeasured(-96, -96, is_voice=False)
    )
    volume_percent: int = 80
    microphone_gain_db: float = 0.0
    lost: tuple[PartLost, ...] = ()
    """Parts that do not work."""
    noticed: tuple[PartFound, ...] = ()
    """Parts that work, but not as they should."""
    chat: ChatLog = field(default_factory=ChatLog)
    screen_page: ScreenPage = ScreenPage.TALK
    """Screen page that was chosen with the button."""
    pairing_until_s: float = 0.0
    """The OLED shows the PIN until then."""
    wakes: int = 0
    """Presses, requests for the PIN, and losses and returns of the room that are not
    quiet."""
    quiet_until_s: float = 0.0
    """A loss of the room before then is quiet: it soon follows another one."""
    is_outage_quiet: bool = False
    """The last loss was, and so its end is if it comes before then too."""
    buttons: tuple[ButtonState, ...] = tuple(map(ButtonState, Button))

    @property
    def is_open_mode(self) -> bool:
        """Whether the talk has no end but a mute."""
        return self.config.talk.mode is TalkMode.OPEN

    @property
    def has_only_programs(self) -> bool:
        """Whether no person is in the room but the one at the box."""
        return all(other.is_agent for other in self.people)

    @property
    def is_link_down(self) -> bool:
        """Whether the room needs the network and the network is down."""
        return self.address is None and not self.is_server_local

    @property
    def is_in_room(self) -> bool:
        """Whether the box is in the room, also while LiveKit resumes the connection."""
        return self.phase in {Phase.IN_ROOM, Phase.PAUSED}

    @property
    def is_connected(self) -> bool:
        """Whether audio and chat can reach the room, before LiveKit notices it."""
        return self.phase is Phase.IN_ROOM and not self.is_link_down

    @property
    def is_removed(self) -> bool:
        """Whether somebody put the box out of the room, and it waits to rejoin."""
        return self.phase is Phase.WAITING and self.cause in EVICTIONS

    @property
    def is_out(self) -> bool:
        """Whether a press on the leave button means joining again."""
        if self.phase is Phase.LEAVING:
            return self.goal is Goal.STAY_OUT
        return self.phase in {Phase.LEFT, Phase.REFUSED} or self.is_removed

    @property
    def is_left(self) -> bool:
        """Whether the box is out of the room, or leaves it, but not after a refusal."""
        return self.is_out and self.phase is not Phase.REFUSED


Step = tuple[State, tuple[Command, ...]]
"""Result of handling an event: the new state and the commands to carry out."""
