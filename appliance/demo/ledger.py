"""What happened in the demo, as measured: talks, chat and when the room was joined."""

from dataclasses import dataclass, field

from appliance.core.chat import Delivery
from appliance.core.view import ConnectionState, View
from appliance.demo.card import Speech
from appliance.demo.companion_words import is_answer
from appliance.demo.measure import Found


@dataclass(slots=True)
class Talk:
    """One time that sound went into the room, and what became of it."""

    began_s: float
    speech: Speech | None = None
    """What the simulated microphone said in it; None with a real card."""
    is_scripted: bool = False
    """Whether the demo pressed the button itself, for as long as the speech took."""
    ended_s: float | None = None
    numbers: set[int] = field(default_factory=set)
    """Under which numbers the companion heard it."""
    is_heard_back: bool = False
    to_companion: Found | None = None
    to_box: Found | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nobody cut the speech short, so that all of it can be expected."""
        speech, ended_s = self.speech, self.ended_s
        if self.is_scripted:
            return True
        if speech is None or speech.ends_s is None:
            return False
        return ended_s is None or speech.ends_s <= ended_s


class Ledger:
    """Keeps count; the loop's thread only."""

    def __init__(self, started_s: float) -> None:
        """Begin with the box's start, on the monotonic clock."""
        self.started_s = started_s
        self.joined_s: float | None = None
        self.talks: list[Talk] = []
        self.lines: dict[str, float] = {}
        """When each of our lines was sent, by its id."""
        self.answers: set[str] = set()
        self.troubles: list[str] = []
        self.speaking_s: float | None = None
        """When somebody was last seen speaking."""
        self._next: tuple[Speech | None] | None = None

    def announce(self, speech: Speech | None) -> None:
        """Say what the next talk will consist of, before its button is pressed."""
        self._next = (speech,)

    def see(self, view: View, now_s: float) -> Talk | None:
        """Take the newest view; return a talk that begins with it."""
        if self.joined_s is None and view.connection is ConnectionState.CONNECTED:
            self.joined_s = now_s
        if view.speakers:
            self.speaking_s = now_s
        for line in view.chat:
            if line.is_own and line.state is Delivery.SENT:
                self.lines.setdefault(line.id, now_s)
            elif not line.is_own and is_answer(line.text):
                self.answers.add(line.id)
        return self._see_talk(now_s, is_talking=view.lamps.talking)

    @property
    def running(self) -> Talk | None:
        """The talk that goes on now."""
        last = self.talks[-1] if self.talks else None
        return last if last is not None and last.ended_s is None else None

    def talk_around(self, from_s: float, to_s: float) -> Talk | None:
        """Return the newest talk that overlaps with this stretch of time."""
        for talk in reversed(self.talks):
            is_over = talk.ended_s is not None and talk.ended_s < from_s
            if talk.began_s < to_s and not is_over:
                return talk
        return None

    def talk_numbered(self, number: int) -> Talk | None:
        """Return the talk that the companion heard under this number."""
        return next((talk for talk in self.talks if number in talk.numbers), None)

    def _see_talk(self, now_s: float, *, is_talking: bool) -> Talk | None:
        running = self.running
        if running is not None and not is_talking:
            running.ended_s = now_s
        if running is not None or not is_talking:
            return None
        announced, self._next = self._next, None
        speech = announced[0] if announced else None
        talk = Talk(now_s, speech, is_scripted=announced is not None)
        self.talks.append(talk)
        return talk
