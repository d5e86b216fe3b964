"""The other participants, under names that are safe for screens and logs.

Everybody chooses name and identity, so they may hold anything.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from livekit import rtc

from appliance.core.events import Participant
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
_NEEDED: Final = frozenset("\n\t\u200c\u200d")
"""Control characters that belong into a text; the last two join emoji and letters."""


@dataclass(frozen=True, slots=True)
class ChatSender:
    """Sender of a message, as the server confirms it."""

    identity: str
    """Empty: unknown, as the server's API, a hidden guest and one who has just come."""
    name: str


def participants(room: rtc.Room, subscriber: "Subscriber") -> tuple[Participant, ...]:
    """Return the other participants in order of arrival; call it every `LOOK_S`."""
    return tuple(
        Participant(
            id=other.identity,
            name=name_of(room, other),
            is_speaking=subscriber.is_speaking(other.identity),
            # True also for a participant without a microphone.
            is_muted=all(track.muted for track in audio_tracks(other)),
            is_agent=is_agent(other),
            sound_fault=subscriber.decryption.fault(other),
        )
        for other in room.remote_participants.values()
        if not other.permissions.hidden
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

    Somebody with a name that stands for this box is marked as a guest.
    """
    shown = _one_line(name) or _one_line(identity) or "?"
    if _spelling(shown) in {_spelling(own_name), *_OWN_NAMES}:
        return shown[: _NAME_CHARACTERS - len(_GUEST)] + _GUEST
    return shown


def short_id(identity: str) -> str:
    """Return an identity for a log line: short, one line, printable."""
    return display_name("", identity)[:_ID_CHARACTERS]


def is_text(character: str) -> bool:
    """Return whether the character belongs into a text.

    Control codes, lone surrogates and marks of the writing direction do not.
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
