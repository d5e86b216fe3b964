"""Who works the demo's box: the script, until a person takes over."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from appliance.core.events import Button, Event, StopAsked
from appliance.demo.hands import Hands
from appliance.demo.keys import HINT, Deed, Keyboard, Quit, Typed
from appliance.demo.ledger import Talk
from appliance.demo.script import Script, Voice, chat_line
from appliance.demo.terminal import Terminal, has_keys, single_keys
from appliance.demo.watch import Watch

KEYS_BYTES: Final = 1024
"""Read at once: a pasted line."""


class Desk:
    """Takes keys from the terminal and the page's talks.

    Thread: the loop's.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        hands: Hands,
        voice: Voice | None,
        terminal: Terminal,
    ) -> None:
        """Do nothing yet.

        Args:
            post: takes what is typed, and the wish to end.
            hands: press the buttons.
            voice: speaks whenever a person presses talk; None with a real card.
            terminal: told who works the box.
        """
        self._post = post
        self._hands = hands
        self._voice = voice
        self._terminal = terminal
        self._keyboard = Keyboard()
        self._script: Script | None = None
        self._running: asyncio.Task[None] | None = None

    def run(self, script: Script, group: asyncio.TaskGroup) -> None:
        """Leave the box to the script until a person wants it."""
        self._script = script
        self._running = group.create_task(script.run())

    def stop(self) -> None:
        """Stop the script."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def talk_began(self, talk: Talk) -> None:
        """Give a talk its words; one that the script did not begin is a person's."""
        if talk.is_scripted:
            return
        self._take_over()
        talk.speech = self._voice.speak() if self._voice else None

    @contextmanager
    def keys(self, watch: Watch) -> Iterator[None]:
        """Take keys if somebody can press any; the terminal is restored afterwards."""
        if not has_keys():
            yield
            return
        self._terminal.say(f"Keys: {HINT}")
        descriptor = sys.stdin.fileno()
        loop = asyncio.get_running_loop()
        with single_keys(descriptor):
            loop.add_reader(descriptor, self._read, descriptor, watch)
            try:
                yield
            finally:
                loop.remove_reader(descriptor)

    def _read(self, descriptor: int, watch: Watch) -> None:
        data = os.read(descriptor, KEYS_BYTES)
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
        for deed in self._keyboard.pressed(data):
            self._do(deed)
        watch.draft = self._keyboard.draft
        watch.redraw()

    def _do(self, deed: Deed) -> None:
        match deed:
            case Quit():
                self._post(StopAsked())
            case Typed(text=text):
                self._take_over()
                self._post(chat_line(text))
            case Button():
                # The script's own talk ends with it: that is what the key was for.
                is_done = self._take_over() and deed is Button.TALK
                if not is_done:
                    self._hands.key(deed)

    def _take_over(self) -> bool:
        """Stop the script; return whether that ended a talk of its."""
        if self._running is None or self._script is None:
            return False
        self.stop()
        self._terminal.say("The box is yours now.")
        return self._script.is_pressing
