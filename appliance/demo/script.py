"""What the demo does by itself until somebody presses a key."""

import asyncio
import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from appliance.core.events import Button, ChatTyped, Event
from appliance.core.view import ConnectionState, View
from appliance.demo.card import Mouth, Speech
from appliance.demo.companion_words import answer
from appliance.demo.hands import Hands
from appliance.demo.phrase import Samples
from appliance.demo.watch import Watch

EVERY_S: Final = 15.0
"""From one exchange to the next; one takes about eight seconds."""
ANSWER_S: Final = 5.0
"""How long an answer may take before the demo goes on without it."""
FLOW_S: Final = 2.0
"""How long a press may take before the demo calls it refused."""
BACK_S: Final = 12.0
"""As for an answer, but a talk has to be repeated."""
REACTION_S: Final = 0.1
"""From the press to the first word; people take twice as long, so this is strict."""
TURN_S: Final = 4.0
"""How long a person may speak whom the demo gives the word."""


class Voice:
    """The person at the simulated card, who says the same whenever it is their turn."""

    def __init__(self, mouth: Mouth, phrase: Samples) -> None:
        """Be silent."""
        self._mouth = mouth
        self._phrase = phrase

    def speak(self) -> Speech:
        """Say the phrase after a short while."""
        return self._mouth.say(self._phrase, time.monotonic() + REACTION_S)


def chat_line(text: str) -> ChatTyped:
    """Return what the page would post for this line."""
    return ChatTyped(uuid4().hex, text, time.time_ns() // 1_000_000)


class Script:
    """Types, talks, listens, and again."""

    def __init__(
        self,
        watch: Watch,
        hands: Hands,
        post: Callable[[Event], None],
        voice: Voice | None,
    ) -> None:
        """Do nothing yet.

        Args:
            watch: tells what the box shows and what became of a talk.
            hands: press the button.
            post: takes what is typed.
            voice: None with a real card: then a person speaks.
        """
        self._watch = watch
        self._hands = hands
        self._post = post
        self._voice = voice
        self.is_pressing = False
        """Whether it holds the talk button."""

    async def run(self) -> None:
        """Have one exchange after the other, for ever."""
        number = 1
        while True:
            await self._watch.until(_is_ready, float("inf"))
            begun_s = time.monotonic()
            await self._exchange(number)
            number += 1
            await asyncio.sleep(begun_s + EVERY_S - time.monotonic())

    async def _exchange(self, number: int) -> None:
        text = f"hello, this is line {number} of the demo"
        self._post(chat_line(text))
        await self._watch.until(lambda view: _has(view, answer(text)), ANSWER_S)
        before = len(self._watch.ledger.talks)
        await self._talk()
        if len(self._watch.ledger.talks) == before:
            return
        talk = self._watch.ledger.talks[before]
        await self._watch.until(lambda _: talk.is_heard_back, BACK_S)

    async def _talk(self) -> None:
        """Hold the button for one phrase."""
        speech = self._voice.speak() if self._voice else None
        self._watch.ledger.announce(speech)
        if speech is None:
            self._watch.say("Your turn: speak now.")
        self._hands.press(Button.TALK)
        self.is_pressing = True
        try:
            if not await self._watch.until(lambda view: view.lamps.talking, FLOW_S):
                self._note_refusal()
            elif speech is None:
                await asyncio.sleep(TURN_S)
            else:
                await _until_said(speech)
        finally:
            self.is_pressing = False
            self._hands.release(Button.TALK)

    def _note_refusal(self) -> None:
        words = self._watch.view.talk_text if self._watch.view else "nothing is shown"
        self._watch.ledger.troubles.append(f"the talk button did not work: {words}")


async def _until_said(speech: Speech) -> None:
    while True:
        left_s = speech.left_s
        if left_s <= 0.0:
            return
        await asyncio.sleep(left_s)


def _is_ready(view: View) -> bool:
    return view.connection is ConnectionState.CONNECTED and bool(view.people)


def _has(view: View, text: str) -> bool:
    return any(line.text == text for line in view.chat if not line.is_own)
