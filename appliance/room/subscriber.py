"""Subscriber: the other participants' audio, from the room to the playback."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, NoReturn

import numpy as np
from livekit import rtc

from appliance.pcm import SILENCE, Block
from appliance.ports import Playback
from appliance.process.logs import LogLimit
from appliance.room.encryption import Decryption, audio_tracks
from appliance.room.ffi import ffi_events
from appliance.room.participants import short_id

TRACKS_EACH: Final = 4
"""Audio tracks of one participant that are played, because each takes a decoder; usual
are the microphone and the sound of a shared screen."""
LATE_S: Final = 15.0
"""Interval of looking for tracks that do not arrive; our choice: one that is muted
takes 3 s."""
GAP_S: Final = 1.0
"""From the end of a subscription to the next one: of two requests that the server reads
at once it carries out the last only."""
SPEECH_RMS: Final = 583.0
"""Level of speech, -35 dBFS."""
SPEECH_SHARE: Final = 0.4
"""Share of so loud blocks in speech. Source of both: LiveKit's server,
`DefaultAudioLevelConfig`."""
AVERAGED_BLOCKS: Final = 50
"""Time constant of that share, 0.5 s; our choice."""
PAUSE_S: Final = 1.0
"""Longest pause of somebody who goes on speaking; our choice."""

_log = logging.getLogger(__name__)


class _RaisedInLoop:
    """Context whose exceptions the loop raises, which ends the process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, exc: BaseException | None, _: object) -> bool:
        if exc is not None:
            self._loop.call_soon_threadsafe(_raise, exc)
        return True


class _Subscription:
    """A subscribed track that is played, and whether it is speech."""

    def __init__(self, track: rtc.Track, identity: str, playback: Playback) -> None:
        self.identity = identity
        self.name = f"{identity}/{track.sid}"
        """Name of the talker in the playback."""
        self._write = playback.add(self.name)
        self._raised_in_loop = _RaisedInLoop()
        self._loud_share = 0.0
        self._spoke_s = float("-inf")
        self.audio = ffi_events().open(track, self.take)

    @property
    def is_speaking(self) -> bool:
        """Whether it is speech, or was a moment ago."""
        return time.monotonic() - self._spoke_s < PAUSE_S

    def take(self, block: Block) -> None:
        """Play the block. Thread: the library's."""
        with self._raised_in_loop:
            is_loud = block is not SILENCE and _is_loud(block)
            self._loud_share += (is_loud - self._loud_share) / AVERAGED_BLOCKS
            if self._loud_share >= SPEECH_SHARE:
                self._spoke_s = time.monotonic()
            self._write(block)


class Subscriber:
    """Subscriptions to the audio in the room, `TRACKS_EACH` tracks of a participant."""

    def __init__(
        self, playback: Playback, *, has_key: bool, is_announcer: bool = False
    ) -> None:
        """Start without subscriptions; an announcer has no speaker to play anything."""
        self._is_announcer = is_announcer
        self._playback = playback
        self.decryption = Decryption(has_key=has_key)
        """Encryption state of the participants."""
        self._log_limit = LogLimit()
        self._subscriptions: dict[str, _Subscription] = {}
        self._muted: frozenset[str] = frozenset()

    @property
    def is_playing(self) -> bool:
        """Whether any track is played."""
        return bool(self._subscriptions)

    def want_all(self, room: rtc.Room) -> None:
        """Subscribe to everybody's audio that is published now."""
        for other in room.remote_participants.values():
            self.want(other)

    def want(self, other: rtc.RemoteParticipant) -> None:
        """Subscribe to this participant's audio that can be played."""
        for track in self._missing(other):
            track.set_subscribed(True)

    async def follow(self, room: rtc.Room, is_paused: Callable[[], bool]) -> None:
        """Subscribe anew to each track that does not arrive, until cancelled.

        Neither the library nor the server reports it.
        """
        before: set[str] = set()
        while True:
            await asyncio.sleep(LATE_S)
            may_subscribe = room.local_participant.permissions.can_subscribe
            if is_paused() or not may_subscribe:
                continue
            missing = [
                (track, other)
                for other in room.remote_participants.values()
                for track in self._missing(other)
            ]
            for track, other in missing:
                if track.sid in before:
                    message, level = "track does not arrive  from=%s", logging.WARNING
                    self._log_track(message, other.identity, level)
                    track.set_subscribed(False)
            before = {track.sid for track, _ in missing}
            await asyncio.sleep(GAP_S)
            self.want_all(room)

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
        identity = participant.identity
        one = _Subscription(track, identity, self._playback)
        self._subscriptions[publication.sid] = one
        self._playback.mute(one.name, is_on=identity in self._muted)
        self._log_track("track subscribed  from=%s", identity)

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

    def is_speaking(self, identity: str) -> bool:
        """Return whether this participant speaks and is played, as the lamp shows."""
        return any(
            one.is_speaking and self._playback.is_sounding(one.name)
            for one in self._of(identity)
        )

    def active_speakers_changed(self, talkers: list[rtc.Participant]) -> None:
        """Handle the server's list: what they say has to be decrypted soon."""
        for talker in talkers:
            # The list is late: of somebody who is muted by now nothing may arrive.
            is_muted = all(x.muted for x in talker.track_publications.values())
            if self._of(talker.identity) and not is_muted:
                self.decryption.expect(talker.identity)

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


def _is_loud(block: Block) -> bool:
    samples = block.astype(np.float32)
    return float(samples @ samples) >= SPEECH_RMS * SPEECH_RMS * len(samples)


def _raise(exc: BaseException) -> NoReturn:
    raise exc
