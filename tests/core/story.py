"""Core with a simulated clock: events and waits go in, commands and views come out."""

from typing import TypeVar

from appliance.config import Config, Preset, RoomConfig, TalkConfig, TalkMode
from appliance.core.commands import Command, Earcon, PlayEarcon
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    Cause,
    ChatMessage,
    ConnectionDetails,
    Event,
    Failure,
    MuteAsked,
    Part,
    PartFound,
    Participant,
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
    TalkAsked,
    Ticked,
    TokenFailed,
    TokenReady,
)
from appliance.core.state import Phase, State
from appliance.core.step import step, wake_at_s
from appliance.core.view import View, view

PRESS = ButtonPressed(Button.TALK)
RELEASE = ButtonReleased(Button.TALK)
PRESS_AT_BOOT = ButtonPressed(Button.TALK, is_at_boot=True)
LEAVE = ButtonPressed(Button.LEAVE)
LEAVE_UP = ButtonReleased(Button.LEAVE)
PAGE_DOWN, PAGE_UP = TalkAsked(is_on=True), TalkAsked(is_on=False)
MUTE, UNMUTE = MuteAsked(is_on=True), MuteAsked(is_on=False)
HOLD, TOGGLE, HYBRID, OPEN = TalkMode
PUSH_TO_TALK = (HOLD, TOGGLE, HYBRID)
MICROPHONE_LOST = PartLost(Part.MICROPHONE, "USB", "unplugged")
MICROPHONE_FOUND = PartFound(Part.MICROPHONE, "USB Audio")
ALICE = Participant("alice", "Alice")
BOB = Participant("bob", "Bob", is_speaking=True)
URL = "wss://server"
MAX_WAKES = 100_000
"""More during one wait would be a busy loop."""

CommandT = TypeVar("CommandT")


class CoreHarness:
    """Core with a simulated clock, which records every command."""

    def __init__(self, config: Config | None = None, jitter: float = 0.5) -> None:
        config = config or Config()
        self.state = State(config, jitter=jitter)
        self.now_s = 1000.0
        self.commands: tuple[Command, ...] = ()

    def play(self, *story: Event | float) -> tuple[Command, ...]:
        """Handle the events and return the commands; a number is seconds to wait."""
        before = len(self.commands)
        for item in story:
            if isinstance(item, int | float):
                self._wait(item)
            else:
                self._happen(item)
        return self.commands[before:]

    def view(self) -> View:
        return view(self.state, self.now_s)

    def phase(self) -> Phase:
        return self.state.phase

    def is_live(self) -> bool:
        return self.state.talk.is_open

    def token(
        self,
        url: str = URL,
        *,
        expects_agent: bool = False,
        is_dtelecom: bool = False,
    ) -> TokenReady:
        details = ConnectionDetails(url, "secret", "box", expects_agent, is_dtelecom)
        return TokenReady(self.state.ticket, details)

    def no_token(
        self,
        cause: Cause = Cause.TOKEN_SOURCE,
        *,
        reason: str = "no token there",
        is_final: bool = False,
        retry_after_s: float = 0.0,
    ) -> TokenFailed:
        failure = Failure(cause, reason, is_final, retry_after_s=retry_after_s)
        return TokenFailed(self.state.ticket, failure)

    def joined(self, *people: Participant) -> RoomJoined:
        return RoomJoined(self.state.ticket, "kitchen", people)

    def failed(
        self, cause: Cause = Cause.SERVER_LOST, *, is_final: bool = False
    ) -> RoomFailed:
        failure = Failure(cause, "no room there", is_final)
        return RoomFailed(self.state.ticket, failure)

    def lost(self, cause: Cause = Cause.SERVER_LOST) -> RoomLost:
        return RoomLost(self.state.ticket, Failure(cause, "the room went"))

    def left(self) -> RoomLeft:
        return RoomLeft(self.state.ticket)

    def paused(self) -> RoomPaused:
        return RoomPaused(self.state.ticket)

    def resumed(self) -> RoomResumed:
        return RoomResumed(self.state.ticket)

    def people(self, *people: Participant) -> PeopleChanged:
        return PeopleChanged(self.state.ticket, people)

    def permissions(
        self,
        *,
        may_publish: bool = True,
        may_subscribe: bool = True,
        may_send_data: bool = True,
        is_server_muted: bool = False,
    ) -> PermissionsChanged:
        allowed = Permissions(
            may_publish, may_subscribe, may_send_data, is_server_muted
        )
        return PermissionsChanged(self.state.ticket, allowed)

    def enter(self) -> tuple[Command, ...]:
        """Join the room: token source and server answer at once, Alice is there."""
        before = len(self.commands)
        self.play(self.token())
        self.play(self.joined(ALICE))
        return self.commands[before:]

    def _happen(self, event: Event) -> None:
        self.state, commands = step(self.state, event, self.now_s)
        self.commands += commands

    def _wait(self, seconds: float) -> None:
        """Tick when `wake_at_s` asks for it, as `App` does."""
        end_s = self.now_s + seconds
        for _ in range(MAX_WAKES):
            wake_s = wake_at_s(self.state)
            if wake_s > end_s:
                self.now_s = end_s
                return
            self.now_s = max(self.now_s, wake_s)
            self._happen(Ticked())
        message = f"woken for ever in {self.phase()}"
        raise AssertionError(message)


def started(config: Config | None = None) -> CoreHarness:
    """Return a box that is fetching its first token."""
    box = CoreHarness(config)
    box.play(Started())
    return box


def joining(config: Config | None = None) -> CoreHarness:
    """Return a box that is waiting for the server."""
    box = started(config)
    box.play(box.token())
    return box


def in_room(config: Config | None = None) -> CoreHarness:
    """Return a box in the room "kitchen" with Alice."""
    box = started(config)
    box.enter()
    return box


def live(mode: TalkMode) -> CoreHarness:
    """Return a box in the room whose talk button is held."""
    box = in_room(with_mode(mode))
    box.play(PRESS)
    assert box.is_live()
    return box


def with_mode(mode: TalkMode) -> Config:
    return Config(talk=TalkConfig(mode=mode))


def with_limit(limit_s: int, warning_s: int, mode: TalkMode = TalkMode.HOLD) -> Config:
    talk_config = TalkConfig(mode=mode, limit_s=limit_s, warning_s=warning_s)
    return Config(talk=talk_config)


def with_presets(*names: str) -> Config:
    presets = tuple(Preset(name=name) for name in names)
    return Config(room=RoomConfig(presets=presets))


def of(kind: type[CommandT], commands: tuple[Command, ...]) -> tuple[CommandT, ...]:
    """Return the commands of one kind."""
    return tuple(command for command in commands if isinstance(command, kind))


def earcons(commands: tuple[Command, ...]) -> tuple[Earcon, ...]:
    return tuple(command.earcon for command in of(PlayEarcon, commands))


def message(text: str, key: str = "m1", sender: str = "alice") -> ChatMessage:
    return ChatMessage(key, sender, sender.title(), text, 1)
