"""Exchange with the companion: the script that presses the buttons, and the counts."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final
from uuid import uuid4

from appliance.core.chat import Delivery
from appliance.core.events import Button, ChatTyped
from appliance.core.view import ConnectionState, View
from appliance.demo.companion import ANSWER, VOICE_DBFS
from appliance.panel.simulated import SimulatedPins
from appliance.ports import Post

ANSWER_S: Final = 1.0
"""Pause for the answer to a chat message, which takes 0.1 s."""
REPEAT_S: Final = 8.0
"""Pause for the repetition of a talk, and some time after it."""


@dataclass(slots=True)
class Summary:
    """Counts of what worked while the demo runs."""

    has_companion: bool
    started_s: float = field(default_factory=time.monotonic)
    joined_after_s: float | None = None
    talks_sent: int = 0
    talks_heard_back: int = 0
    lines_sent: set[str] = field(default_factory=set)
    lines_answered: set[str] = field(default_factory=set)
    is_talking: bool = False
    is_repeating: bool = False

    def begin_repetition(self) -> None:
        """Expect the companion in the speaker: it starts to repeat a talk."""
        self.is_repeating = True

    def count(self, view: View) -> bool:
        """Count what is new in this view; return whether a talk starts with it."""
        if self.joined_after_s is None and view.connection is ConnectionState.CONNECTED:
            self.joined_after_s = round(time.monotonic() - self.started_s, 2)
        for line in view.chat:
            if line.is_own and line.state is Delivery.SENT:
                self.lines_sent.add(line.id)
            elif not line.is_own and line.text.startswith(ANSWER):
                self.lines_answered.add(line.id)
        begins = view.lamps.talking and not self.is_talking
        self.is_talking = view.lamps.talking
        self.talks_sent += begins
        if self.is_repeating and view.speakers and view.speaker_dbfs > VOICE_DBFS:
            self.is_repeating = False
            # A talk with a long pause in it is repeated in parts.
            heard_back = self.talks_heard_back + 1
            self.talks_heard_back = min(heard_back, self.talks_sent)
        return begins

    def figures(self) -> dict[str, object]:
        """Return the counts by name; `not_complete` says what never worked."""
        missing = ""
        if self.joined_after_s is None:
            missing = "the room was never joined"
        elif self.has_companion and not self.talks_heard_back:
            missing = "no talk came back"
        elif self.has_companion and not self.lines_answered:
            missing = "no line of chat was answered"
        return {
            "joined_after_s": self.joined_after_s,
            "talks_sent": self.talks_sent,
            "talks_heard_back": self.talks_heard_back,
            "lines_sent": len(self.lines_sent),
            "lines_answered": len(self.lines_answered),
            "not_complete": missing,
        }


class Script:
    """Script that sends a chat message and talks, again and again."""

    def __init__(
        self, pins: SimulatedPins, post: Post, speak: Callable[[], Awaitable[None]]
    ) -> None:
        """Prepare; `speak` returns when the talk button can be released."""
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
            await asyncio.sleep(ANSWER_S)
            self.is_pressing = True
            self._pins.press(Button.TALK)
            try:
                await self._speak()
            finally:
                self._pins.release(Button.TALK)
                self.is_pressing = False
            await asyncio.sleep(REPEAT_S)
