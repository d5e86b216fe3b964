"""Who is in the room."""

import asyncio
from collections.abc import Callable

from livekit import rtc

from appliance.core.events import Participant, PeopleChanged
from appliance.ports import Post
from appliance.room.chat_format import ChatSender
from appliance.room.names import display_name
from appliance.room.subscriber import Subscriber

LOOK_S = 0.1
"""While somebody speaks: what is shown follows the sound within this time."""


class Participants:
    """The others in the room, posted whole whenever something about them changed."""

    def __init__(
        self,
        ticket: int,
        room: rtc.Room,
        post: Post,
        subscriber: Subscriber,
        first_arrival: Callable[[], None],
    ) -> None:
        """Remember whom to ask and whom to tell.

        Args:
            ticket: of the visit.
            room: who is there.
            post: takes `PeopleChanged`.
            subscriber: knows who is played, and whose sound cannot be.
            first_arrival: called when we are not alone any more.
        """
        self._ticket = ticket
        self._room = room
        self._post = post
        self._subscriber = subscriber
        self._first_arrival = first_arrival
        self._speakers: frozenset[str] = frozenset()
        self._is_speaking = asyncio.Event()
        self._last: tuple[Participant, ...] = ()

    def now(self) -> tuple[Participant, ...]:
        """Return them in the order they came; posted is only what changes later."""
        self._last = tuple(
            self._person(other)
            for other in self._room.remote_participants.values()
            if not other.permissions.hidden
        )
        return self._last

    def changed(self) -> None:
        """Post them, if anything is different."""
        before = self._last
        if self.now() != before:
            self._post(PeopleChanged(self._ticket, self._last))
        if self._last and not before:
            self._first_arrival()

    def speak(self, speakers: list[rtc.Participant]) -> None:
        """Take the server's list of those who speak now."""
        self._speakers = frozenset(speaker.identity for speaker in speakers)
        if self._speakers:
            self._is_speaking.set()
        else:
            self._is_speaking.clear()
        self.changed()

    async def follow(self) -> None:
        """Compare what the server says with what is played, until cancelled."""
        while True:
            await self._is_speaking.wait()
            await asyncio.sleep(LOOK_S)
            self.changed()

    def _person(self, other: rtc.RemoteParticipant) -> Participant:
        voices = [
            publication
            for publication in other.track_publications.values()
            if publication.kind == rtc.TrackKind.KIND_AUDIO
        ]
        is_named = other.identity in self._speakers
        return Participant(
            id=other.identity,
            name=display_name(other.name, other.identity),
            # Named by the server and played here: with one of both the lamp would lie.
            is_speaking=is_named and self._subscriber.plays(other.identity),
            # Somebody without a microphone cannot be heard either.
            is_muted=all(publisher.muted for publisher in voices),
            sound_fault=self._subscriber.decryption.fault(other, is_speaking=is_named),
        )


def sender(room: rtc.Room, identity: str) -> ChatSender:
    """Return who this is, as the server vouches for it."""
    known = room.remote_participants.get(identity)
    return ChatSender(identity, known.name if known else "")
