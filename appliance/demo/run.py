"""Run of the demo: server, companion and appliance, operated by a script or by keys."""

import asyncio
import os
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final
from uuid import uuid4

from appliance.app import App
from appliance.assembly import Hardware
from appliance.audio.driver import Driver
from appliance.config import RoomConfig, SoundConfig
from appliance.config.load import load
from appliance.core.events import Button, ChatTyped, StopAsked
from appliance.core.state import ScreenPage
from appliance.core.view import ConnectionState, TalkState, View
from appliance.demo.companion import Companion, Summary
from appliance.demo.livekit_server import LocalServer
from appliance.demo.simulated_card import SimulatedCard
from appliance.net.server_address import pairing_url
from appliance.panel.simulated import SimulatedPins
from appliance.ports import Post, Viewer
from appliance.run import appliance
from appliance.token_server.signing import Signer

DAY_S: Final = 86_400
"""Validity of the demo's tokens."""
TURN_S: Final = 4.0
"""Time for which the script holds the talk button if the microphone is real."""
PRESS_S: Final = 0.3
"""Longer than the time from a press to the start of the talk and the phrase."""
REPLY_S: Final = 1.0
"""Pause for the answer to a chat message, which takes 0.1 s."""
REPETITION_S: Final = 8.0
"""Pause for the repetition of a talk, and some time after it."""

HINT: Final = "space talk  l leave/rejoin  n page  + - volume  q quit"
BUTTONS: Final = {
    " ": Button.TALK,
    "l": Button.LEAVE,
    "n": Button.NEXT_PAGE,
    "+": Button.VOLUME_UP,
    "-": Button.VOLUME_DOWN,
}
QUIT: Final = frozenset({"q", "\x04"})
"""The latter is Ctrl-D."""
TAP_S: Final = 0.06
"""Longer than the debounce time, shorter than a held press."""
KEY_REPEAT_S: Final = 0.2
"""A held key repeats every 30-50 ms; separate presses are slower."""


class Script:
    """Script that sends a chat message and talks, again and again."""

    def __init__(
        self, pins: SimulatedPins, post: Post, speak: Callable[[], Awaitable[None]]
    ) -> None:
        """Start paused; `speak` returns when the talk button can be released."""
        self._pins = pins
        self._post = post
        self._speak = speak
        self._is_ready = asyncio.Event()
        self.is_pressing = False
        """Whether the script holds the talk button."""

    def see(self, view: View) -> None:
        """Let the script run only while the box is connected and not alone."""
        if view.connection is ConnectionState.CONNECTED and view.people:
            self._is_ready.set()
        else:
            self._is_ready.clear()

    async def run(self) -> None:
        """Have one exchange after the other until cancelled."""
        for number in count(1):
            await self._is_ready.wait()
            text = f"hello, this is line {number} of the demo"
            self._post(ChatTyped(uuid4().hex, text, time.time_ns() // 1_000_000))
            await asyncio.sleep(REPLY_S)
            self.is_pressing = True
            self._pins.press(Button.TALK)
            try:
                await self._speak()
            finally:
                self._pins.release(Button.TALK)
                self.is_pressing = False
            await asyncio.sleep(REPETITION_S)


class Keyboard:
    """Keys of the terminal as the simulated buttons. Thread: the event loop's.

    A terminal reports when a key is pressed, and repeats it while it is held, but never
    reports its release. Each key is therefore a short press of its button. The first
    talk key starts a talk; the next one, or the end of its repetition, ends it.
    """

    def __init__(self, pins: SimulatedPins, is_talking: Callable[[], bool]) -> None:
        """Start without a pressed key; `is_talking` returns whether a talk is on."""
        self._pins = pins
        self._is_talking = is_talking
        self._loop = asyncio.get_running_loop()
        self._newest = ("", float("-inf"))
        self._end: asyncio.TimerHandle | None = None

    def press(self, key: str) -> bool:
        """Handle one key; return whether it has a button."""
        button = BUTTONS.get(key)
        if button is None:
            return False
        now_s = self._loop.time()
        newest_key, newest_s = self._newest
        is_held = key == newest_key and now_s - newest_s < KEY_REPEAT_S
        self._newest = key, now_s
        if button is Button.TALK and (self._end or self._is_talking()):
            if self._end is not None:
                self._end.cancel()
            self._end = self._loop.call_later(KEY_REPEAT_S, self._end_talk)
        elif not is_held:
            self._tap(button)
        return True

    def _end_talk(self) -> None:
        self._end = None
        if self._is_talking():
            self._tap(Button.TALK)

    def _tap(self, button: Button) -> None:
        self._pins.press(button)
        self._loop.call_later(TAP_S, self._pins.release, button)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Parts and options of the demo."""

    room: RoomConfig
    """The user's own room; unused if `server` is set."""
    server: Path | None
    """Program of the LiveKit server to start; None: use `room`."""
    card: Driver
    sound: SoundConfig
    """Devices of this computer, if they are used."""
    listen: str
    """HOST:PORT of the page."""
    seconds: float | None
    """Duration; None: until a key or a signal ends the demo."""


class Demo(Viewer):
    """One run of the demo, and a viewer of its appliance. Thread: the event loop's."""

    def __init__(self, setup: Setup, say: Callable[[str], None]) -> None:
        """Load the configuration; `run` starts. `say` prints a line for people."""
        self.summary = Summary(setup.server is not None)
        self.is_time_up = False
        """Whether it ended after `Setup.seconds`, not by a key or a signal."""
        self._setup = setup
        self._say = say
        listen = f"page.listen={setup.listen}"
        self._config = load(Path(__file__).with_name("demo.yaml"), [listen], {}).config
        self._app = App()
        self._pins = SimulatedPins(self._config.buttons, self._config.lamps)
        self._script = Script(self._pins, self._app.post, self._speak)
        self._playing: asyncio.Task[None] | None = None
        self._news: tuple[str, ...] = ()
        self._view: View | None = None

    async def run(self) -> None:
        """Run until the time, a key or a signal ends it, or raise `DemoError`."""
        setup = self._setup
        hardware = Hardware(
            lambda: setup.card,
            self._pins.source,
            viewers=(self,),
            pin_hint="The demo has printed it in its terminal.",
        )
        async with AsyncExitStack() as stack:
            room = await self._room(stack)
            self._read_keys(stack)
            if setup.seconds is not None:
                asyncio.get_running_loop().call_later(setup.seconds, self._time_up)
            async with asyncio.TaskGroup() as group:
                if setup.server is not None:
                    self._playing = group.create_task(self._script.run())
                self.summary.started_s = time.monotonic()
                config = replace(self._config, room=room, sound=setup.sound)
                await appliance(config, self._app, hardware)
                if self._playing is not None:
                    self._playing.cancel()

    def _time_up(self) -> None:
        self.is_time_up = True
        self._app.post(StopAsked())

    async def _room(self, stack: AsyncExitStack) -> RoomConfig:
        """Return the room to join, after starting server and companion if needed."""
        if self._setup.server is None:
            return self._setup.room
        server = await stack.enter_async_context(LocalServer(self._setup.server))
        companion = Companion(self.summary.begin_repetition)
        await stack.enter_async_context(companion)
        await companion.join(server.url, _token(server, "Companion"))
        self._say("Room: on this computer; nothing leaves it. A companion")
        self._say("      repeats what you say and answers what you write.")
        self._say("      The box talks by itself until you do, by key or on the page.")
        return RoomConfig(url=server.url, token=_token(server, "demo"))

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: there is nothing to close."""

    def show(self, view: View) -> None:
        """Process the newest view of the appliance."""
        self._view = view
        if view.screen_page is ScreenPage.PAIRING:
            # A person is opening the page.
            self._take_over()
        if self.summary.count(view):
            if not self._script.is_pressing:
                # It is a person's talk.
                self._take_over()
            if isinstance(self._setup.card, SimulatedCard):
                self._setup.card.speak()
        self._script.see(view)
        before, self._news = self._news, tuple(_news(view))
        for line in self._news:
            if line not in before:
                # Others wrote parts of it: no control characters to the terminal.
                self._say("".join(x if x.isprintable() else " " for x in line))

    async def _speak(self) -> None:
        """Wait until the phrase has been said, or a person has had time to speak."""
        card = self._setup.card
        if isinstance(card, SimulatedCard):
            await asyncio.sleep(PRESS_S + card.speech_s)
            return
        self._say("Your turn: speak now.")
        await asyncio.sleep(TURN_S)

    def _take_over(self) -> None:
        playing, self._playing = self._playing, None
        if playing is not None:
            playing.cancel()
            self._say("The buttons are yours now.")

    def _read_keys(self, stack: AsyncExitStack) -> None:
        """Read single keys without echo, if on a terminal, until the stack closes."""
        try:
            terminal = sys.stdin.fileno()
            before = termios.tcgetattr(terminal)
            if os.tcgetpgrp(terminal) != os.getpgrp():
                return
        except (OSError, ValueError, termios.error):
            return
        self._say(f"Keys: {HINT}")
        stack.callback(termios.tcsetattr, terminal, termios.TCSADRAIN, before)
        tty.setcbreak(terminal)
        # A process stopped by Ctrl-Z would drop out of the room without leaving it.
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        keyboard = Keyboard(self._pins, self._is_talking)
        loop = asyncio.get_running_loop()
        loop.add_reader(terminal, self._read_terminal, terminal, keyboard)
        stack.callback(loop.remove_reader, terminal)

    def _is_talking(self) -> bool:
        talking = {TalkState.TALKING, TalkState.WARNING}
        return self._view is not None and self._view.talk in talking

    def _read_terminal(self, descriptor: int, keyboard: Keyboard) -> None:
        data = os.read(descriptor, 1024)
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
        for key in data.decode("ascii", errors="ignore"):
            if key in QUIT:
                self._app.post(StopAsked())
            elif keyboard.press(key):
                self._take_over()


def _news(view: View) -> Iterator[str]:
    """Yield lines that describe the state; each is printed when it is new."""
    if view.pin:
        yield f"Page: {view.page_url}   PIN: {view.pin}"
        yield f"      with the PIN filled in: {pairing_url(view.page_url, view.pin)}"
        if "SSH_CONNECTION" in os.environ and "//127." in view.page_url:
            address = view.page_url.removeprefix("http://")
            port, host = address.rpartition(":")[2], socket.gethostname()
            yield f"      over ssh, first: ssh -L {port}:{address} {host}"
    # Without the countdown to the next try.
    yield f"{view.banner.partition(', retry')[0]}: {view.talk_text}"
    yield from view.faults
    yield from (f"{name} speaks" for name in view.talkers)
    for line in view.chat[-1:]:
        name = f"you ({line.state})" if line.is_own else line.sender_name
        yield f"{name}: {line.text}"


def _token(server: LocalServer, name: str) -> str:
    signer, now_s = Signer(server.api_key, server.api_secret), int(time.time())
    return signer.token(name.lower(), name, "demo", ttl_s=DAY_S, now_s=now_s)
