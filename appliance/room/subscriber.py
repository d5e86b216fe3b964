"""Subscriber: the other participants' audio, from the room to the playback."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from livekit import rtc

from appliance.pcm import SILENCE, Block
from appliance.ports import Playback
from appliance.process.logs import LogLimit
from appliance.room.encryption import Decryption, audio_tracks
from appliance.room.ffi import Fail, Stream, ffi_events
from appliance.room.participants import short_id

TRACKS_EACH: Final = 4
"""Audio tracks of one participant that are played, because each takes a decoder; usual
are the microphone and the sound of a shared screen."""
LATE_S: Final = 5.0
"""Interval of looking for tracks that do not arrive; one that is muted takes 3 s."""
LATE_LOOKS: Final = 3
"""Looks at which a track is missing before it is subscribed to anew, and again after
twice as many, and so on: LiveKit's server tries again every 3 s by itself."""
GAP_S: Final = 1.0
"""From the end of a subscription to the next one; our choice: the server carries out
only the last of two requests that it reads at once."""
SPEECH_RMS: Final = 583.0
"""Level of speech, -35 dBFS. Source: LiveKit's server, `DefaultAudioLevelConfig`: who
speaks is so loud for at least four tenths of the time."""

_log = logging.getLogger(__name__)


class _Sink:
    """Sink of the playback, and the newest block that it was given."""

    def __init__(self, write: Callable[[Block], None]) -> None:
        self._write = write
        self._newest = SILENCE

    @property
    def has_speech(self) -> bool:
        """Whether the newest block is as loud as speech."""
        samples = self._newest.astype(np.float32)
        return float(samples @ samples) >= SPEECH_RMS * SPEECH_RMS * len(samples)

    def take(self, block: Block) -> None:
        """Play the block. Thread: the library's."""
        self._newest = block
        self._write(block)


@dataclass(frozen=True, slots=True)
class _Subscription:
    """A subscribed track that is played."""

    name: str
    """Name of the talker in the playback."""
    identity: str
    sink: _Sink
    audio: Stream


class Subscriber:
    """Subscriptions to the audio tracks in the room, `TRACKS_EACH` of a participant.

    Video is never subscribed to: the bandwidth of a Pi on Wi-Fi is needed for audio.
    """

    def __init__(
        self,
        playback: Playback,
        fail: Fail,
        *,
        has_key: bool,
        is_announcer: bool = False,
    ) -> None:
        """Start without subscriptions; an announcer has no speaker to play anything."""
        self._is_announcer = is_announcer
        self._playback = playback
        self.decryption = Decryption(has_key=has_key)
        """Encryption state of the participants."""
        self._fail = fail
        self._log_limit = LogLimit()
        self._subscriptions: dict[str, _Subscription] = {}
        self._muted: frozenset[str] = frozenset()
        self._ended: set[str] = set()
        """Ids of tracks whose subscription has ended a moment ago."""

    @property
    def is_playing(self) -> bool:
        """Whether any track is subscribed to and played."""
        return bool(self._subscriptions)

    def want_all(self, room: rtc.Room) -> None:
        """Subscribe to everybody's audio that is published now."""
        for other in room.remote_participants.values():
            self.want(other)

    def want(self, other: rtc.RemoteParticipant) -> None:
        """Subscribe to this participant's audio that can be played.

        Call it when a track was published, and when one was unpublished: another one
        may take its place.
        """
        for track in self._missing(other):
            if track.sid not in self._ended:
                track.set_subscribed(True)

    async def follow(self, room: rtc.Room, is_paused: Callable[[], bool]) -> None:
        """Subscribe anew to each track that does not arrive, until cancelled.

        The library logs a track that it cannot assign to a participant, but reports
        nothing, nor that the server has given up.
        """
        looks: dict[str, int] = {}
        while True:
            await asyncio.sleep(LATE_S)
            may_subscribe = room.local_participant.permissions.can_subscribe
            is_expected = not is_paused() and may_subscribe
            others = room.remote_participants.values() if is_expected else ()
            missing = [
                (other, track) for other in others for track in self._missing(other)
            ]
            looks = {track.sid: looks.get(track.sid, 0) + 1 for _, track in missing}
            late = [x for x in missing if _is_late(looks[x[1].sid])]
            if late:
                await self._subscribe_anew(room, late)

    async def _subscribe_anew(
        self,
        room: rtc.Room,
        late: list[tuple[rtc.RemoteParticipant, rtc.RemoteTrackPublication]],
    ) -> None:
        for other, track in late:
            message, level = "track does not arrive  from=%s", logging.WARNING
            self._log_track(message, other.identity, level)
            track.set_subscribed(False)
        self._ended = {track.sid for _, track in late}
        await asyncio.sleep(GAP_S)
        ended, self._ended = self._ended, set()
        for other in room.remote_participants.values():
            for track in audio_tracks(other):
                # Also if it has arrived meanwhile: the server has withdrawn it since.
                if track.sid in ended:
                    track.set_subscribed(True)

    def open(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        """Play a track that was subscribed."""
        if publication.kind != rtc.TrackKind.KIND_AUDIO:
            return
        self.close(publication.sid)
        name = f"{participant.identity}/{publication.sid}"
        sink = _Sink(self._playback.add(name))
        audio = ffi_events().open(track, sink.take, self._fail)
        self._subscriptions[publication.sid] = _Subscription(
            name, participant.identity, sink, audio
        )
        self._playback.mute(name, is_on=participant.identity in self._muted)
        self._log_track("track subscribed  from=%s", participant.identity)

    def close(self, sid: str) -> None:
        """Stop playing the publication with this id; an unknown one is ignored."""
        if sid not in self._subscriptions:
            return
        ended = self._subscriptions.pop(sid)
        ffi_events().close(ended.audio)
        self._playback.remove(ended.name)
        if not self._of(ended.identity):
            # Of another track, success would not be reported again.
            self.decryption.forget(ended.identity)
        self._log_track("track ended  from=%s", ended.identity)

    def close_all(self) -> None:
        """Stop playing all tracks."""
        for sid in tuple(self._subscriptions):
            self.close(sid)

    def mute(self, identities: frozenset[str]) -> None:
        """Do not play these participants; all others are played."""
        self._muted = identities
        for one in self._subscriptions.values():
            self._playback.mute(one.name, is_on=one.identity in identities)

    def loud(self) -> frozenset[str]:
        """Return who is as loud as speech, played or not."""
        speaking = (x for x in self._subscriptions.values() if x.sink.has_speech)
        return frozenset(x.identity for x in speaking)

    def plays(self, identity: str) -> bool:
        """Return whether this participant is played now, or was a moment ago."""
        return any(self._playback.is_sounding(x.name) for x in self._of(identity))

    def _of(self, identity: str) -> list[_Subscription]:
        return [x for x in self._subscriptions.values() if x.identity == identity]

    def _missing(
        self, other: rtc.RemoteParticipant
    ) -> list[rtc.RemoteTrackPublication]:
        """Return the tracks of this participant to play that are not subscribed."""
        if self._is_announcer:
            return []
        playable = filter(self.decryption.is_playable, audio_tracks(other))
        # Those that are played already first.
        tracks = sorted(playable, key=lambda track: not track.subscribed)
        return [track for track in tracks[:TRACKS_EACH] if not track.subscribed]

    def _log_track(
        self, message: str, identity: str, level: int = logging.INFO
    ) -> None:
        self._log_limit.log(_log, level, message, short_id(identity))


def _is_late(looks: int) -> bool:
    """Return whether so many looks are `LATE_LOOKS`, doubled any number of times."""
    times, rest = divmod(looks, LATE_LOOKS)
    return not rest and times.bit_count() == 1
