"""Everybody's sound in the room, on its way to the playout."""

import asyncio
import logging
from dataclasses import dataclass
from itertools import count

from livekit import rtc

from appliance.ports import Playback
from appliance.process.log_limit import LogLimit
from appliance.room.audio_io import RemoteAudio
from appliance.room.decryption import Decryption
from appliance.room.ffi import Fail
from appliance.room.names import short_id
from appliance.room.neteq_delay import JitterBuffer

LOOK_S = 1.0
"""How often the library is asked how long it keeps what somebody says, while they say
it. Not much changes within a second, and asking takes 1 ms."""
SELDOM = 10
"""One look in so many, while nobody says anything."""
FRESH = 8
"""As many first looks, whether anybody says anything or not: it takes so long until a
box at the far end has brought the library to the depth that it keeps."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Heard:
    """Somebody whose sound is passed on."""

    name: str
    """In the playout."""
    identity: str
    talker: RemoteAudio
    buffer: JitterBuffer


class Subscriber:
    """Asks for every voice in the room and passes each on until it ends.

    Video is never asked for: a Pi on Wi-Fi has better use for the bandwidth.
    """

    def __init__(self, playback: Playback, fail: Fail, *, has_key: bool) -> None:
        """Remember where sound goes.

        Args:
            playback: takes the blocks.
            fail: ends the process because of an exception on a native thread.
            has_key: whether the room is encrypted, as far as this box knows.
        """
        self._playback = playback
        self.decryption = Decryption(has_key=has_key)
        """Of those whose sound is asked for."""
        self._fail = fail
        self._log_limit = LogLimit()
        self._talkers: dict[str, _Heard] = {}

    def want_all(self, room: rtc.Room) -> None:
        """Ask for everything that is published now."""
        for other in room.remote_participants.values():
            for publication in other.track_publications.values():
                self.want(publication)

    def want(self, publication: rtc.RemoteTrackPublication) -> None:
        """Ask for this, if it is sound that can be played."""
        is_sound = publication.kind == rtc.TrackKind.KIND_AUDIO
        if publication.subscribed or not is_sound:
            return
        if self.decryption.is_playable(publication):
            publication.set_subscribed(True)

    def open(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        """Pass on what was asked for and has come."""
        if publication.kind != rtc.TrackKind.KIND_AUDIO:
            return
        self.close(publication)
        name = f"{participant.identity}/{publication.sid}"
        talker = RemoteAudio(track, self._playback.add(name), self._fail)
        self._talkers[publication.sid] = _Heard(
            name, participant.identity, talker, JitterBuffer(track)
        )
        self._note("track subscribed  from=%s", participant.identity)

    def close(self, publication: rtc.RemoteTrackPublication) -> None:
        """End what is over; unknown ones are fine."""
        self._close(publication.sid)

    def close_all(self) -> None:
        """End everything."""
        for sid in tuple(self._talkers):
            self._close(sid)

    def plays(self, identity: str) -> bool:
        """Return whether anything of this participant is played now, or just was."""
        return any(
            self._playback.is_sounding(heard.name)
            for heard in self._talkers.values()
            if heard.identity == identity
        )

    async def measure(self) -> None:
        """Tell the playout how long the library keeps what is said, until cancelled."""
        for look in count():
            await asyncio.sleep(LOOK_S)
            await self._look(is_rare=look % SELDOM == 0)

    async def _look(self, *, is_rare: bool) -> None:
        due = [x for x in self._talkers.values() if is_rare or self._is_due(x)]
        # Whose track ends meanwhile gives no answer, or an exception.
        asked = (heard.buffer.held_s() for heard in due)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for heard, held_s in zip(due, answers, strict=True):
            if isinstance(held_s, float):
                self._playback.learn(heard.name, held_s)

    def _is_due(self, heard: _Heard) -> bool:
        return heard.buffer.looks < FRESH or self._playback.is_sounding(heard.name)

    def _close(self, sid: str) -> None:
        if sid not in self._talkers:
            return
        ended = self._talkers.pop(sid)
        ended.talker.close()
        self._playback.remove(ended.name)
        self.decryption.forget(ended.identity)
        self._note("track ended  from=%s", ended.identity)

    def _note(self, message: str, identity: str) -> None:
        self._log_limit.log(_log, logging.INFO, message, short_id(identity))
