"""Everybody's sound in the room, on its way to the playout."""

import logging

from livekit import rtc

from appliance.ports import Playout
from appliance.room.media import Talker
from appliance.room.native import Fail

_log = logging.getLogger(__name__)


class Ears:
    """Asks for every voice in the room and passes each on until it ends.

    Video is never asked for: a Pi on Wi-Fi has better use for the bandwidth.
    """

    def __init__(self, playout: Playout, fail: Fail) -> None:
        """Remember where sound goes.

        Args:
            playout: takes the blocks.
            fail: ends the process because of an exception on a native thread.
        """
        self._playout = playout
        self._fail = fail
        self._talkers: dict[str, tuple[str, Talker]] = {}

    def want_all(self, room: rtc.Room) -> None:
        """Ask for everything that is published now."""
        for other in room.remote_participants.values():
            for publication in other.track_publications.values():
                self.want(publication)

    def want(self, publication: rtc.RemoteTrackPublication) -> None:
        """Ask for this, if it is sound."""
        if publication.kind == rtc.TrackKind.KIND_AUDIO and not publication.subscribed:
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
        talker = Talker(track, self._playout.add(name), self._fail)
        self._talkers[publication.sid] = (name, talker)
        _log.info("track subscribed  from=%s", participant.identity[:6])

    def close(self, publication: rtc.RemoteTrackPublication) -> None:
        """End what is over; unknown ones are fine."""
        self._close(publication.sid)

    def close_all(self) -> None:
        """End everything."""
        for sid in tuple(self._talkers):
            self._close(sid)

    def _close(self, sid: str) -> None:
        if sid not in self._talkers:
            return
        name, talker = self._talkers.pop(sid)
        talker.close()
        self._playout.remove(name)
        _log.info("track ended  from=%s", name.partition("/")[0][:6])
