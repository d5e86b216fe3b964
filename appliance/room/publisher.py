"""Publisher of the microphone's track: DTX, RED, permissions, mutes by a moderator."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from livekit import rtc
from livekit.rtc._proto.room_pb2 import AudioEncoding
from livekit.rtc.participant import PublishTrackError, UnpublishTrackError

from appliance.core.commands import JoinRoom
from appliance.core.events import Failure, Permissions
from appliance.room.connection import (
    LOOK_S,
    NOT_PUBLISHED,
    ONLY_ONCE,
    SessionContext,
)
from appliance.room.ffi import MicrophoneTrack, Sink
from appliance.room.stats import READ_S, encoders

SENDING_S: Final = 5.0
"""Time-out for the encoder of a published track to send: one round trip is enough. The
library limits publishing itself to 10 s."""
POLL_S: Final = 0.02
"""Interval of asking whether the encoder sends; it takes 20 to 50 ms on loopback."""
UNPUBLISH_S: Final = 0.5
"""Time-out; unpublishing is optional: a disconnect ends the track as well."""
DTX: Final = "usedtx=1"
"""In the server's answer: it permits DTX. Source: RFC 7587, 6.1."""
TRIES: Final = 3
"""The server (1.13) sometimes answers without DTX. Measured: in 3 of 100 attempts."""
AGAIN_S: Final = 1.0
"""Pause after publishing again, in case the server drops the track each time. If it
failed, the interruption or revocation that was the reason is reported meanwhile."""

OPTIONS: Final = rtc.TrackPublishOptions(
    source=rtc.TrackSource.SOURCE_MICROPHONE,
    # The gate is closed most of the time: without DTX that silence would be sent.
    dtx=True,
    # Each packet repeats the one before (RED, RFC 2198). Measured at 0.5 to 5 % loss:
    # concealed speech falls from 0.2-1.9 % to 0-0.5 %, the delay grows by 2 to 13 ms.
    # In encrypted rooms the library leaves it out.
    red=True,
    # With its repetition 128 kbit/s. Below about 62 kbit/s Opus encodes speech, and
    # silence, in its hybrid mode, which takes more than twice the time.
    audio_encoding=AudioEncoding(max_bitrate=64_000),
)

_log = logging.getLogger(__name__)


class OwnTrack:
    """Track of the microphone: published whenever that is permitted."""

    def __init__(
        self,
        command: JoinRoom,
        room: rtc.Room,
        context: SessionContext,
        recorder: Callable[[Sink], Sink] | None,
        is_paused: Callable[[], bool],
    ) -> None:
        """Start before the room is joined; the feed is not connected yet.

        `recorder` adds a recorder for an expected voice agent to a sink. Nothing is
        published while the connection `is_paused`: the SDK may be doing so.
        """
        self._room = room
        self._feed = context.feed
        self._is_listener = context.config.sound.microphone == "none"
        self._recorder = recorder
        self._is_once = command.details.is_dtelecom
        """The server mishandles a track that is published again."""
        self._options = rtc.TrackPublishOptions()
        self._options.CopyFrom(OPTIONS)
        self._options.preconnect_buffer = recorder is not None
        self._microphones: list[MicrophoneTrack] = []
        """One for each publication: one that failed stays half published."""
        self._publication: rtc.LocalTrackPublication | None = None
        self._is_dropped = False
        """The server has dropped the track since it was last published."""
        self._is_unchecked = False
        """The connection was resumed since."""
        self._is_mute_undone = False
        self._is_republishing = False
        """The track is being published again."""
        self._is_paused = is_paused

    @property
    def has_publication(self) -> bool:
        """Whether a track is published, as far as we know."""
        if self._publication is None or self._is_dropped:
            return False
        return self._publication.sid in self._room.local_participant.track_publications

    @property
    def is_republishing(self) -> bool:
        """Whether the track is missing only until it is published again, as it may be.

        That is no lost permission, for which a talk would end.
        """
        return self._is_republishing and self._may_publish

    @property
    def encoded_blocks(self) -> int | None:
        """Number of blocks of the track that have to be sent; None: none has to be."""
        if not self.has_publication or self._is_muted or self._is_paused():
            return None
        return self._microphones[-1].blocks

    async def publish(self) -> Failure | None:
        """Publish the track on joining, if permitted, and return why it failed."""
        if self._is_listener:
            return None
        if self._may_publish:
            return await self._publish()
        _log.warning("the token does not allow publishing the microphone")
        return None

    def permissions(self) -> Permissions:
        """Return what the box may do now, as far as we know."""
        allowed = self._room.local_participant.permissions
        return Permissions(
            may_publish=self._may_publish
            and (self._is_listener or self.has_publication),
            may_subscribe=allowed.can_subscribe,
            may_send_data=allowed.can_publish_data,
            is_server_muted=self._is_muted,
        )

    def permissions_changed(self, *_: object) -> None:
        """Stop sending at once if publishing is not permitted any more.

        Call it in the SDK's callback itself: the server drops the track even if the
        permission is granted again at once.
        """
        if not self._may_publish:
            self.stop()
            self._is_dropped = True

    def resumed(self) -> None:
        """Check the track, which the SDK may have published again, or failed to."""
        self._is_unchecked = True

    def unmute(self) -> None:
        """Undo a moderator's mute."""
        self._is_mute_undone = True
        if self._microphones:
            self._microphones[-1].track.unmute()

    async def follow(self) -> Failure:
        """Publish the track whenever it is not; return why that is impossible."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._is_listener or self._is_paused():
                continue
            if self.has_publication and await self._is_sent():
                continue
            self._is_republishing = True
            await self._withdraw()
            if not self._may_publish:
                continue
            if self._is_once and self._microphones:
                return ONLY_ONCE
            failure = await self._publish()
            self._is_republishing = False
            await asyncio.sleep(AGAIN_S)
            if failure and self._may_publish and not self._is_paused():
                return failure

    def stop(self) -> None:
        """Stop sending."""
        self._feed.disconnect()

    async def unpublish(self) -> None:
        """Unpublish the track within `UNPUBLISH_S`."""
        if self._publication is None:
            return
        try:
            async with asyncio.timeout(UNPUBLISH_S):
                me = self._room.local_participant
                await me.unpublish_track(self._publication.sid)
        except (UnpublishTrackError, TimeoutError) as exc:
            _log.debug("track not unpublished  error=%r", exc)

    def close(self) -> None:
        """Release all tracks; call it once, after the room is disconnected."""
        for microphone in self._microphones:
            microphone.close()

    async def _withdraw(self) -> None:
        """Stop sending, and forget the publication."""
        self.stop()
        await self.unpublish()
        self._publication = None

    async def _publish(self) -> Failure | None:
        """Publish the track, connect the feed, and return why it failed."""
        self._is_dropped = self._is_unchecked = self._is_mute_undone = False
        microphone = MicrophoneTrack()
        if self._microphones and self._microphones[-1].track.muted:
            # By a moderator.
            microphone.track.mute()
        self._microphones.append(microphone)
        try:
            await self._publish_with_dtx(microphone.track)
        except (PublishTrackError, RuntimeError, TimeoutError) as exc:
            _log.debug("track not published  error=%r", exc)
            await self._withdraw()
            return NOT_PUBLISHED
        if not self._is_dropped:
            send = microphone.send
            self._feed.connect(self._recorder(send) if self._recorder else send)
            _log.info("track published")
        return None

    async def _publish_with_dtx(self, track: rtc.LocalAudioTrack) -> None:
        """Publish the track, and again if the server's answer does not permit DTX.

        Raises:
            RuntimeError: the connection broke.
        """
        for tries_left in reversed(range(1 if self._is_once else TRIES)):
            # Streams of an earlier publication are still listed.
            known = await self._streams()
            self._publication = await self._room.local_participant.publish_track(
                track, self._options
            )
            async with asyncio.timeout(SENDING_S):
                parameters = await self._new_parameters(known)
            if not tries_left or any(DTX in line for line in parameters):
                return
            _log.debug("publishing the track again  reason=no_dtx")
            await self.unpublish()

    async def _is_sent(self) -> bool:
        """Return whether the track is sent after an interruption, unmuted and with DTX.

        The SDK does not report that it could not publish the track again.
        """
        if not self._is_unchecked:
            return True
        self._is_unchecked = False
        try:
            async with asyncio.timeout(SENDING_S):
                # If the connection is new, so are all of its streams.
                parameters = await self._new_parameters(())
        except RuntimeError:
            # It broke again.
            return True
        except TimeoutError:
            _log.warning("the microphone's track is not sent on the resumed connection")
            return self._is_paused()
        if self._is_once or self._is_paused():
            return True
        # The request to unmute may have been lost, and the SDK sends no second one.
        is_doubtful = self._is_mute_undone and not self._is_muted
        return not is_doubtful and any(DTX in line for line in parameters)

    async def _new_parameters(self, known: Collection[str]) -> list[str]:
        """Wait until a new encoder sends, and return its parameters.

        Audio that is sent before is lost (measured: 20 to 40 ms), and an encoder that
        starts in the middle of a packet stays misaligned: 10 ms more latency.
        """
        while True:
            await asyncio.sleep(POLL_S)
            streams = await self._streams()
            if new := [line for name, line in streams.items() if name not in known]:
                return new

    async def _streams(self) -> dict[str, str]:
        async with asyncio.timeout(READ_S):
            stats = await self._room.get_rtc_stats()
        return encoders(stats.publisher_stats)

    @property
    def _is_muted(self) -> bool:
        """Whether a moderator has muted the track: the box itself never does."""
        return self._publication is not None and self._publication.muted

    @property
    def _may_publish(self) -> bool:
        """Whether publishing the microphone's track is permitted."""
        allowed = self._room.local_participant.permissions
        sources = allowed.can_publish_sources
        return allowed.can_publish and (
            not sources or rtc.TrackSource.SOURCE_MICROPHONE in sources
        )
