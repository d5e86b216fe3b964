"""Our own sound in the room."""

import asyncio
import logging

from livekit import rtc
from livekit.rtc._proto.room_pb2 import AudioEncoding
from livekit.rtc.participant import PublishTrackError, UnpublishTrackError

from appliance.ports import MicrophoneFeed
from appliance.room.audio_io import MicrophoneTrack
from appliance.room.failures import NOT_PUBLISHED, Failure
from appliance.room.stats import encoders

PUBLISH_S = 5.0
"""It takes one round trip to the server; this would be a very slow one."""
LOOK_S = 0.02
"""How often the library is asked whether it sends; it takes 20 to 50 ms on loopback."""
UNPUBLISH_S = 0.5
"""Polite, not necessary: the server ends the track together with the connection."""
DTX = "usedtx=1"
"""So the server's answer allows for sending next to nothing of a silence. Source: RFC
7587, 6.1."""
TRIES = 3
"""A server (1.13) now and then answers before it knows the track: without DTX, and in
stereo. Measured: three times in a hundred, and not more often the time after."""

_OPTIONS = rtc.TrackPublishOptions(
    source=rtc.TrackSource.SOURCE_MICROPHONE,
    # Silence, of which a closed gate sends plenty, costs next to nothing this way.
    dtx=True,
    # Measured on a busy machine: sending each packet twice makes the far end hold sound
    # back for 70 to 130 ms in place of 45. What is lost is asked for again.
    red=False,
    # From about 50 kbit/s on, Opus codes with CELT alone: measured a third of the
    # encoder's CPU, a shorter look-ahead, and better sound. RFC 6716, 2 and 2.1.
    audio_encoding=AudioEncoding(max_bitrate=64_000),
)

_log = logging.getLogger(__name__)


class Publisher:
    """The microphone's track; published as long as the room allows it."""

    def __init__(self, feed: MicrophoneFeed) -> None:
        """Remember where the microphone comes from."""
        self._feed = feed
        self._microphone: MicrophoneTrack | None = None
        self._publication: rtc.LocalTrackPublication | None = None
        self._spent: list[MicrophoneTrack] = []
        """Could not be published; closed when the room is disconnected."""

    async def publish(self, room: rtc.Room) -> Failure | None:
        """Publish the track and let the uplink send."""
        self._microphone = microphone = self._microphone or MicrophoneTrack()
        try:
            await self._publish_well(room, microphone)
        except (PublishTrackError, RuntimeError, TimeoutError) as error:
            _log.debug("track not published  error=%r", error)
            # To the library it stays half published: another try needs another track.
            self._spent.append(microphone)
            self._microphone = None
            return NOT_PUBLISHED
        self._feed.connect(microphone.send)
        _log.info("track published")
        return None

    async def _publish_well(self, room: rtc.Room, microphone: MicrophoneTrack) -> None:
        """Publish it, and again if the server did not understand what it is."""
        # After an earlier publication its streams are still listed.
        streams = encoders((await room.get_rtc_stats()).publisher_stats)
        tries = 0
        while True:
            tries += 1
            async with asyncio.timeout(PUBLISH_S):
                self._publication = await room.local_participant.publish_track(
                    microphone.track, _OPTIONS
                )
                known = set(streams)
                streams = await _one_more(room, streams)
            newest = streams.keys() - known
            if tries >= TRIES or any(DTX in streams[one] for one in newest):
                return
            _log.debug("track is published again  reason=no_dtx")
            await self.unpublish(room)

    def is_published(self, room: rtc.Room) -> bool:
        """Return whether the server has the track, as far as we know."""
        if self._publication is None:
            return False
        return self._publication.sid in room.local_participant.track_publications

    @property
    def is_muted(self) -> bool:
        """Whether a moderator muted the track; we never do."""
        return self._publication is not None and self._publication.muted

    def unmute(self) -> None:
        """Undo a moderator's mute."""
        if self._microphone is not None:
            self._microphone.track.unmute()

    async def withdraw(self, room: rtc.Room) -> None:
        """Stop sending and forget the publication; the server has dropped it."""
        self.stop()
        await self.unpublish(room)
        self._publication = None

    def stop(self) -> None:
        """Send nothing more."""
        if self._publication is not None:
            self._feed.disconnect()

    async def unpublish(self, room: rtc.Room) -> None:
        """Tell the room that the track ends; within `UNPUBLISH_S`."""
        if self._publication is None:
            return
        try:
            async with asyncio.timeout(UNPUBLISH_S):
                await room.local_participant.unpublish_track(self._publication.sid)
        except (UnpublishTrackError, TimeoutError) as error:
            _log.debug("track not unpublished  error=%r", error)

    def close(self) -> None:
        """Give the track back, once the room is disconnected."""
        current = [self._microphone] if self._microphone is not None else []
        for microphone in (*self._spent, *current):
            microphone.close()
        self._spent.clear()
        self._microphone = self._publication = None


async def _one_more(room: rtc.Room, than: dict[str, str]) -> dict[str, str]:
    """Wait until what is given to the encoder is sent; return all streams' encoders.

    The server answers after `publish_track` has returned; until then all is lost
    (measured: 20 to 40 ms). And an encoder that starts between the halves of a packet
    keeps to that: 10 ms more, in 2 ways of 40.

    Raises:
        RuntimeError: the connection broke.
    """
    streams = than
    while len(streams) <= len(than):
        await asyncio.sleep(LOOK_S)
        streams = encoders((await room.get_rtc_stats()).publisher_stats)
    return streams
