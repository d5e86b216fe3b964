"""`ptt-appliance demo`: checks of the options, the run, and the summary.

The run has a server, a companion and the appliance, whose buttons a script presses
until a person does, by key or on the page.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

from appliance.app import App, appliance
from appliance.assembly import Hardware
from appliance.audio.driver import Driver
from appliance.audio.portaudio import PortAudio
from appliance.config import RoomConfig, SoundConfig
from appliance.config.load import load
from appliance.core.events import Button, ChatTyped, StopAsked
from appliance.core.state import ScreenPage
from appliance.core.view import ConnectionState, TalkState, View
from appliance.demo.companion import Companion, Summary
from appliance.demo.livekit_server import LocalServer, find_or_build
from appliance.demo.simulated_card import Recording, SimulatedCard, phrase
from appliance.errors import DemoError, SoundError
from appliance.net.server_address import listener, pairing_url, parsed
from appliance.net.url import address_fault
from appliance.panel.pins import SimulatedPins
from appliance.ports import Viewer
from appliance.process.logs import start_logging
from appliance.sound_cards.devices import listed
from appliance.sound_cards.selected_devices import chosen
from appliance.token_server.signing import Signer

SUMMARY: Final = """
Joined  after {joined_after_s} s
Talks   {talks_sent} sent, {talks_heard_back} heard back
Chat    {lines_sent} lines sent, {lines_answered} answered"""
CLONE: Final = Path(__file__).parents[2]
"""The repository, unless this package is installed without it."""
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

_say = partial(print, file=sys.stderr, flush=True)


def demo(args: argparse.Namespace) -> int:
    """Run the demo, print what worked; return 1 if its time was up before all did."""
    if args.card not in {"auto", "real", "simulated"}:
        _start_with_fault(args.card)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until the appliance installs its own handlers.
        signal.signal(number, lambda *_: sys.exit(0))
    start_logging("warn", (args.room_token,) if args.room_token else ())
    demo = Demo(args)
    with tempfile.TemporaryDirectory(prefix="ptt-demo-") as folder:
        os.environ.setdefault("STATE_DIRECTORY", folder)
        asyncio.run(demo.run())
    figures = demo.summary.figures()
    text = SUMMARY.format(**figures).replace("after None s", "never")
    print(json.dumps(figures, indent=2) if args.json else text)
    if missing := figures["not_complete"]:
        _say(f"Not complete: {missing}.")
    return int(bool(missing) and demo.is_time_up)


def _start_with_fault(name: str) -> NoReturn:
    """Become a demo on the virtual card of the tests, or raise `DemoError`."""
    if not (CLONE / "tests" / "card").is_dir():
        sentence = f"--card {name}: use auto, real or simulated; faults need a clone"
        raise DemoError(sentence)
    # The last value of an option counts.
    words = ["-m", "tests.card.demo", name, *sys.argv[1:], "--card", "real"]
    os.environ["PYTHONPATH"] = str(CLONE)
    os.execv(sys.executable, [sys.executable, *words])


def listen_address(wanted: str | None) -> str:
    """Return the page's address: the wanted one (or raise), or one on this computer."""
    address = wanted or "127.0.0.1:8080"
    try:
        listener(*parsed(address)).close()
    except OSError as exc:
        if wanted is None:
            return "127.0.0.1:0"
        sentence = f"cannot listen on {wanted}: {exc.strerror}. Use another --listen."
        raise DemoError(sentence) from exc
    return address


def _card(args: argparse.Namespace) -> tuple[Driver, SoundConfig]:
    """Return the card to use and its settings, or raise `DemoError`."""
    if args.card != "simulated" and (real := _real_card()):
        _say("Sound: this computer's microphone and speaker.")
        return real
    # What other people say in the user's own room is not stored unasked.
    is_unasked = args.room_url and not args.wav
    recording = Recording(Path(os.devnull) if is_unasked else args.wav)
    place = "only with --wav FILE" if is_unasked else f"in {recording.path}"
    _say(f"Sound: simulated; the speaker is recorded {place}")
    return SimulatedCard(phrase(), recording), SoundConfig()


def _real_card() -> tuple[Driver, SoundConfig] | None:
    """Return PortAudio, if it lists a microphone and a speaker that it can open."""
    library = PortAudio()
    try:
        devices = listed(library.devices())
        pair = chosen((), devices, "microphone"), chosen((), devices, "speaker")
    except SoundError:
        library.close()
        return None
    microphone, speaker = ((device.stable_name,) for device in pair)
    return library, SoundConfig(microphone=microphone, speaker=speaker)


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


class Demo(Viewer):
    """One run of the demo, and a viewer of its appliance. Thread: the event loop's."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Check the options, or raise `DemoError`; the server is built last."""
        if args.room_url and (fault := address_fault(args.room_url, "wss", key="")):
            sentence = f"--room-url: {fault}"
            raise DemoError(sentence)
        listen = f"page.listen={listen_address(args.listen)}"
        config = load(Path(__file__).with_name("demo.yaml"), [listen], {}).config
        self._card, sound = _card(args)
        self._config = replace(config, sound=sound)
        self._seconds: float | None = args.seconds
        self._room = RoomConfig(url=args.room_url, token=args.room_token)
        self._server = None if args.room_url else find_or_build(_say)
        self.summary = Summary(has_companion=self._server is not None)
        self.is_time_up = False
        """Whether it ended after `--seconds`, not by a key or a signal."""
        self._app = App()
        self._pins = SimulatedPins(config.buttons, config.lamps)
        self._playing: asyncio.Task[None] | None = None
        """The script, until a person takes over."""
        self._may_play = asyncio.Event()
        self._is_pressing = False
        """Whether the script holds the talk button."""
        self._news: tuple[str, ...] = ()
        self._view: View | None = None

    async def run(self) -> None:
        """Run until the time, a key or a signal ends it, or raise `DemoError`."""
        hardware = Hardware(
            lambda: self._card,
            self._pins.source,
            viewers=(self,),
            pin_hint="The demo has printed it in its terminal.",
        )
        async with AsyncExitStack() as stack:
            room = await self._started_room(stack)
            self._read_keys(stack)
            if self._seconds is not None:
                asyncio.get_running_loop().call_later(self._seconds, self._time_up)
            async with asyncio.TaskGroup() as group:
                if self._server is not None:
                    self._playing = group.create_task(self._play())
                self.summary.started_s = time.monotonic()
                config = replace(self._config, room=room)
                await appliance(config, self._app, hardware)
                if self._playing is not None:
                    self._playing.cancel()

    def _time_up(self) -> None:
        self.is_time_up = True
        self._app.post(StopAsked())

    async def _started_room(self, stack: AsyncExitStack) -> RoomConfig:
        """Return the room to join, after starting server and companion if needed."""
        if self._server is None:
            return self._room
        server = await stack.enter_async_context(LocalServer(self._server))
        companion = Companion(self.summary.begin_repetition)
        await stack.enter_async_context(companion)
        await companion.join(server.url, _token(server, "Companion"))
        _say("Room: on this computer; nothing leaves it. A companion")
        _say("      repeats what you say and answers what you write.")
        _say("      The box talks by itself until you do, by key or on the page.")
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
            if not self._is_pressing:
                # It is a person's talk.
                self._take_over()
            if isinstance(self._card, SimulatedCard):
                self._card.speak()
        if view.connection is ConnectionState.CONNECTED and view.people:
            self._may_play.set()
        else:
            self._may_play.clear()
        before, self._news = self._news, tuple(_news(view))
        for line in self._news:
            if line not in before:
                # Others wrote parts of it: no control characters to the terminal.
                _say("".join(x if x.isprintable() else " " for x in line))

    async def _play(self) -> None:
        """Chat and talk, again and again, while connected and not alone."""
        for number in count(1):
            await self._may_play.wait()
            text = f"hello, this is line {number} of the demo"
            self._app.post(ChatTyped(uuid4().hex, text, time.time_ns() // 1_000_000))
            await asyncio.sleep(REPLY_S)
            self._is_pressing = True
            self._pins.press(Button.TALK)
            try:
                await self._speak()
            finally:
                self._pins.release(Button.TALK)
                self._is_pressing = False
            await asyncio.sleep(REPETITION_S)

    async def _speak(self) -> None:
        """Wait until the phrase has been said, or a person has had time to speak."""
        card = self._card
        if isinstance(card, SimulatedCard):
            await asyncio.sleep(PRESS_S + card.speech_s)
            return
        _say("Your turn: speak now.")
        await asyncio.sleep(TURN_S)

    def _take_over(self) -> None:
        playing, self._playing = self._playing, None
        if playing is not None:
            playing.cancel()
            _say("The buttons are yours now.")

    def _read_keys(self, stack: AsyncExitStack) -> None:
        """Read single keys without echo, if on a terminal, until the stack closes."""
        try:
            terminal = sys.stdin.fileno()
            before = termios.tcgetattr(terminal)
            if os.tcgetpgrp(terminal) != os.getpgrp():
                return
        except (OSError, ValueError, termios.error):
            return
        _say(f"Keys: {HINT}")
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
