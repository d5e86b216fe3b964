"""The other participants: their names, who speaks, faults of their audio.

Everybody chooses name and identity, so they may hold anything: they are made safe for
screens and logs.
"""

import asyncio
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from livekit import rtc

from appliance.core.events import Participant, PeopleChanged
from appliance.ports import Post
from appliance.room.encryption import audio_tracks

if TYPE_CHECKING:
    from appliance.room.subscriber import Subscriber

AGENT_NAME: Final = "lk.agent.name"
"""Attribute of an agent's participant."""
AGENT_STATE: Final = "lk.agent.state"
"""Another; it is missing until the agent is ready."""
_NAME_CHARACTERS: Final = 64
_ID_CHARACTERS: Final = 6
"""Of an identity: enough to tell people apart, not enough to know them elsewhere."""
_OWN_NAMES: Final = frozenset({"this box", "me"})
"""Names of this box on the page and on the OLED."""
_GUEST: Final = " (guest)"
_CLAIM_CHARACTERS: Final = _NAME_CHARACTERS - len("unknown (says: )")
_NEEDED: Final = frozenset("\n\t\u200c\u200d")
"""Control characters that belong into a text; the last two join emoji and letters."""
LOOK_S: Final = 0.1
"""Interval at which the list follows the audio while somebody speaks."""
QUIET_LOOK_S: Final = 0.5
"""The same while nobody speaks; our choice: each look wakes a core that sleeps."""
LOOKS: Final = 10
"""Newest looks that count."""
LOUD_LOOKS: Final = 4
"""So many of them as loud as speech are speech: the server's share of the time."""
PAUSE_S: Final = 1.0
"""Longest pause of somebody who goes on speaking; our choice. The server, which looks
every 0.4 s, takes a longer one for the end, and names the talker again afterwards."""


@dataclass(frozen=True, slots=True)
class ChatSender:
    """Sender of a message, as the server confirms it."""

    identity: str
    """Empty: unknown. The server's API, a hidden guest, and for about 3 s a guest who
    has just joined cannot be told apart."""
    name: str
    """Of an unknown sender only what the packet claims."""


class Participants:
    """List of the other participants, posted whole whenever one of them changed."""

    def __init__(
        self,
        ticket: int,
        room: rtc.Room,
        post: Post,
        subscriber: "Subscriber",
        is_paused: Callable[[], bool],
    ) -> None:
        """Start with an empty list; nothing is posted while the connection `is_paused`.

        For a new connection, the SDK first removes everybody from its list. Who is
        still in the room is back before the connection is complete.
        """
        self._ticket = ticket
        self._room = room
        self._post = post
        self._subscriber = subscriber
        self._named: frozenset[str] = frozenset()
        """Talkers in the server's newest list."""
        self._talkers: dict[str, float] = {}
        """Time at which each talker was named, or as loud as speech, last."""
        self._is_speaking = asyncio.Event()
        self._looks: dict[str, int] = {}
        """Bits of the newest looks at each participant, set: as loud as speech."""
        self._last: tuple[Participant, ...] = ()
        self._listed: dict[str, rtc.RemoteParticipant] = {}
        """The SDK's object of everybody in the last list, by the server's id."""
        self._is_paused = is_paused

    def now(self) -> tuple[Participant, ...]:
        """Return the list in order of arrival; only later changes are posted."""
        others = self._room.remote_participants.values()
        self._listed = {other.sid: other for other in others}
        self._last = tuple(
            self._participant(other) for other in others if not other.permissions.hidden
        )
        return self._last

    @property
    def are_listed_anew(self) -> bool:
        """Whether the SDK has listed somebody anew who has not left the room.

        It does so for a new connection only.
        """
        others = self._room.remote_participants.values()
        return any(self._listed.get(other.sid, other) is not other for other in others)

    def resume(self) -> None:
        """Post what has changed during a pause, and every later change."""
        # They may have stopped meanwhile, and the server does not repeat it, nor who
        # goes on: their audio may be back a moment later.
        self._named = frozenset()
        self._talkers = dict.fromkeys(self._talkers, time.monotonic())
        self.changed(is_settled=True)

    def changed(self, *, is_settled: bool = False) -> None:
        """Post the list, if it is different from the last one.

        Somebody who has just left may be back after a pause that begins now: unless it
        `is_settled`, nothing is posted.
        """
        before = self._last
        gone = {person.id for person in before} - self._room.remote_participants.keys()
        if self._is_paused() or (gone and not is_settled):
            return
        if self.now() != before:
            self._post(PeopleChanged(self._ticket, self._last))

    def active_speakers_changed(self, talkers: list[rtc.Participant]) -> None:
        """Add the server's list of active speakers.

        It names only those whose level has changed: of the others, who is still as loud
        as speech goes on, and the rest have stopped.
        """
        self._named = frozenset(talker.identity for talker in talkers)
        self._talkers |= dict.fromkeys(self._named, time.monotonic())
        if self._talkers:
            self._is_speaking.set()
        self.changed()

    async def follow(self) -> None:
        """Post changes of who is speaking and played, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_LOOK_S):
                    await self._is_speaking.wait()
            await asyncio.sleep(LOOK_S)
            before, self._talkers = self._talkers, self._who_speaks(time.monotonic())
            if before or self._talkers:
                self.changed()
            if self._talkers:
                self._is_speaking.set()
            else:
                self._is_speaking.clear()

    def _who_speaks(self, now_s: float) -> dict[str, float]:
        """Return the talkers without those who have stopped.

        With those who were steadily loud when this box joined: the server names only
        whose level changes.
        """
        loud = self._subscriber.loud()
        looks = {
            who: (self._looks.get(who, 0) << 1 | (who in loud)) % (1 << LOOKS)
            for who in loud | self._looks.keys()
        }
        self._looks = {who: bits for who, bits in looks.items() if bits}
        speaking = (who for who, n in looks.items() if n.bit_count() >= LOUD_LOOKS)
        heard = dict.fromkeys(speaking, now_s)
        return {
            who: at_s
            for who, at_s in (self._talkers | heard).items()
            if who in self._named or now_s - at_s < PAUSE_S
        }

    def _participant(self, other: rtc.RemoteParticipant) -> Participant:
        is_talking = other.identity in self._talkers
        return Participant(
            id=other.identity,
            name=name_of(self._room, other),
            # Both: as loud as speech, and played here, as the lamp indicates.
            is_speaking=is_talking and self._subscriber.plays(other.identity),
            # True also for a participant without a microphone.
            is_muted=all(track.muted for track in audio_tracks(other)),
            is_agent=is_agent(other),
            sound_fault=self._subscriber.decryption.fault(
                other, is_speaking=is_talking
            ),
        )


def sender(room: rtc.Room, identity: str) -> ChatSender:
    """Return the participant with this identity, with the name the server confirms."""
    known = room.remote_participants.get(identity)
    return ChatSender(identity, name_of(room, known) if known else "")


def is_agent(participant: rtc.RemoteParticipant) -> bool:
    """Return whether the participant is a program of LiveKit's agents framework."""
    return participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


def name_of(room: rtc.Room, participant: rtc.RemoteParticipant) -> str:
    """Return the name to show; an agent's identity means nothing to people."""
    if is_agent(participant):
        own = _one_line(participant.attributes.get(AGENT_NAME, "")) or "Agent"
        return _one_line(participant.name) or own
    ours = room.local_participant.name
    return display_name(participant.name, participant.identity, ours)


@lru_cache(maxsize=256)
def display_name(name: str, identity: str, own_name: str = "") -> str:
    """Return the name to show: never empty, one line, at most 64 characters.

    Somebody with a name that stands for this box is marked as a guest. The result is
    cached: while somebody speaks, all names are compared ten times a second.
    """
    shown = _one_line(name) or _one_line(identity) or "?"
    if _spelling(shown) in {_spelling(own_name), *_OWN_NAMES}:
        return shown[: _NAME_CHARACTERS - len(_GUEST)] + _GUEST
    return shown


def unknown(claimed_name: str) -> str:
    """Return the name to show of a sender that the server does not confirm."""
    claim = _one_line(claimed_name)[:_CLAIM_CHARACTERS]
    return f"unknown (says: {claim})" if claim else "unknown"


def short_id(identity: str) -> str:
    """Return an identity for a log line: short, one line, printable."""
    return display_name("", identity)[:_ID_CHARACTERS]


def is_text(character: str) -> bool:
    """Return whether the character belongs into a text.

    Control codes, lone surrogates and marks that change the writing direction do not;
    the joiners that emoji and several scripts need do.
    """
    category = unicodedata.category(character)
    return character in _NEEDED or category not in {"Cc", "Cf", "Cs"}


def _spelling(name: str) -> str:
    """Return the name without differences that cannot be seen."""
    visible = "".join(x for x in name if unicodedata.category(x) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold().strip()


def _one_line(name: str) -> str:
    words = "".join(x if is_text(x) else " " for x in name).split()
    return " ".join(words)[:_NAME_CHARACTERS].strip()
