"""List of the other participants: names, who speaks, faults of their audio."""

import asyncio
from collections.abc import Callable
from typing import Final

from livekit import rtc

from appliance.core.events import Participant, PeopleChanged
from appliance.ports import Post
from appliance.room.chat_format import ChatSender
from appliance.room.encryption import audio_tracks
from appliance.room.names import agent_name, display_name
from appliance.room.subscriber import Subscriber

LOOK_S: Final = 0.1
"""Interval at which the list follows the audio while somebody speaks."""


class Participants:
    """List of the other participants, posted whole whenever one of them changed."""

    def __init__(
        self,
        ticket: int,
        room: rtc.Room,
        post: Post,
        subscriber: Subscriber,
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
        self._talkers: frozenset[str] = frozenset()
        self._is_speaking = asyncio.Event()
        self._last: tuple[Participant, ...] = ()
        self._is_paused = is_paused

    def now(self) -> tuple[Participant, ...]:
        """Return the list in order of arrival; only later changes are posted."""
        self._last = tuple(
            self._participant(other)
            for other in self._room.remote_participants.values()
            if not other.permissions.hidden
        )
        return self._last

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
        """Store the server's list of active speakers."""
        self._talkers = frozenset(talker.identity for talker in talkers)
        if self._talkers:
            self._is_speaking.set()
        else:
            self._is_speaking.clear()
        self.changed()

    async def follow(self) -> None:
        """Post changes of who is speaking and played, until cancelled."""
        while True:
            await self._is_speaking.wait()
            await asyncio.sleep(LOOK_S)
            self.changed()

    def _participant(self, other: rtc.RemoteParticipant) -> Participant:
        is_named = other.identity in self._talkers
        return Participant(
            id=other.identity,
            name=name_of(self._room, other),
            # Both: reported by the server and played here, as the lamp indicates.
            is_speaking=is_named and self._subscriber.plays(other.identity),
            # True also for a participant without a microphone.
            is_muted=all(track.muted for track in audio_tracks(other)),
            is_agent=is_agent(other),
            sound_fault=self._subscriber.decryption.fault(other, is_speaking=is_named),
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
        return agent_name(participant.name, participant.attributes)
    own = room.local_participant.name
    return display_name(participant.name, participant.identity, own)
