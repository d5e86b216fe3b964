"""Publisher of the microphone's track: DTX, RED, permissions, mutes by a moderator."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from livekit import rtc
from livekit.rtc._proto.room_pb2 import AudioEncoding
from livekit.rtc.participant import PublishTrackError, UnpublishTrackError

from appliance.core.commands import JoinRoom
from appliance.core.events import Failure, Permissions, PermissionsChanged
from appliance.pcm import Block
from appliance.process.logs import LogLimit
from appliance.room.connection import SessionContext
from appliance.room.failures import NOT_PUBLISHED, ONLY_ONCE
from appliance.room.ffi import MicrophoneTrack
from appliance.room.stats import encoders

SENDING_S: Final = 5.0
"""Time-out for the encoder of a published track to send, which takes one round trip to
the server. The library limits publishing itself: to 10 s, interruptions not counted."""
POLL_S: Final = 0.02
"""Interval of asking whether the encoder sends; it takes 20 to 50 ms on loopback."""
UNPUBLISH_S: Final = 0.5
"""Time-out; unpublishing is optional: a disconnect ends the track as well."""
DTX: Final = "usedtx=1"
"""In the server's answer: it permits DTX. Source: RFC 7587, 6.1."""
TRIES: Final = 3
"""The server (1.13) sometimes answers before it knows the track: without DTX, and with
stereo. Measured: in 3 of 100 attempts, and no more often in the next attempt."""

OPTIONS: Final = rtc.TrackPublishOptions(
    source=rtc.TrackSource.SOURCE_MICROPHONE,
    # The gate is closed most of the time: without DTX that silence would be sent.
    dtx=True,
    # Each packet repeats the one before (RED, RFC 2198), which repairs single losses on
    # both halves of the way without asking again. Measured at 0.5 to 5 % loss and equal
    # CPU: concealed speech falls from 0.2-1.9 % to 0-0.5 %, the delay grows by 2 to 13
    # ms. In encrypted rooms the library leaves it out.
    red=True,
    # With its repetition 128 kbit/s. Below about 62 kbit/s Opus encodes speech, and
    # even the silence that it does not send, in its hybrid mode, which takes more than
    # twice the time: of a core 1.4 instead of 0.4 % in silence, and 10.8 instead of
    # 8.8 % in a call. Losses are the same with 32, 48 and 64 kbit/s.
    audio_encoding=AudioEncoding(max_bitrate=64_000),
)

Send = Callable[[Block], None]
"""Sink of the microphone's blocks."""

_log = logging.getLogger(__name__)

AGAIN_S: Final = 1.0
"""Pause after publishing again, in case the server drops the track each time. If it
failed, an interruption that was the reason is reported meanwhile."""


class OwnTrack:
    """Track of the microphone: published whenever that is permitted."""

    def __init__(
        self,
        command: JoinRoom,
        room: rtc.Room,
        context: SessionContext,
        recorder: Callable[[Send], Send] | None,
        is_paused: Callable[[], bool],
    ) -> None:
        """Start before the room is joined; the feed is not connected yet.

        `recorder` adds a recorder for an expected voice agent to a sink, if any.
        Nothing is published while the connection `is_paused`: the SDK may be publishing
        the track again.
        """
        self._ticket = command.ticket
        self._room = room
        self._post = context.post
        self._feed = context.feed
        self._is_listener = context.config.sound.microphone == "none"
        self._recorder = recorder
        self._is_once = command.details.is_dtelecom
        """The server mishandles a track that is published again."""
        self._options = rtc.TrackPublishOptions()
        self._options.CopyFrom(OPTIONS)
        self._options.preconnect_buffer = recorder is not None
        self._microphone: MicrophoneTrack | None = None
        self._publication: rtc.LocalTrackPublication | None = None
        self._spent: list[MicrophoneTrack] = []
        """Tracks that could not be published; closed when the room is disconnected."""
        self._is_dropped = False
        """The server has dropped the track since it was last published."""
        self._is_unchecked = False
        """The connection was resumed: the SDK may have published the track again."""
        self._is_republished = False
        """The track was published without a complete check of DTX."""
        self._is_paused = is_paused
        self._changed = asyncio.Event()
        self._posted = Permissions()
        self._log_limit = LogLimit()

    @property
    def has_publication(self) -> bool:
        """Whether a track is published, so that a new connection republishes it."""
        return self._publication is not None and not self._is_dropped

    @property
    def is_unmuted(self) -> bool:
        """Whether a track is published that no moderator has muted."""
        return self._publication is not None and not self._publication.muted

    @property
    def encoded_blocks(self) -> int:
        """Number of blocks sent to the encoder; begins anew with another track."""
        return 0 if self._microphone is None else self._microphone.blocks

    async def publish(self) -> Failure | None:
        """Publish the track on joining, if permitted, and return why it failed."""
        if self._is_listener:
            return None
        if self._may_publish:
            return await self._publish()
        _log.warning("the token does not allow publishing the microphone")
        return None

    def now(self) -> Permissions:
        """Return the permissions; only later changes are posted."""
        allowed = self._room.local_participant.permissions
        self._posted = Permissions(
            may_publish=self._is_published and self._may_publish,
            may_subscribe=allowed.can_subscribe,
            may_send_data=allowed.can_publish_data,
            # By a moderator: the box itself never mutes the track.
            is_server_muted=self._publication is not None and not self.is_unmuted,
        )
        return self._posted

    def changed(self) -> None:
        """Handle a possible change of permissions or mute.

        Call it from the SDK's callback itself, not later: the server drops the track
        even if a permission is revoked and granted again in the same moment.
        """
        if not self._may_publish:
            self._is_dropped = True
        self._changed.set()

    def resume(self, *, is_republished: bool) -> None:
        """Check the track: on a new connection the SDK has published it again, or not.

        The SDK does not report that it could not.
        """
        self._is_unchecked = True
        # Of a server that mishandles another publication, the track stays as it is.
        self._is_republished |= is_republished and not self._is_once
        self.changed()

    def unmute(self) -> None:
        """Undo a moderator's mute."""
        if self._microphone is not None:
            self._microphone.track.unmute()

    async def follow(self, give_up: Callable[[Failure], None]) -> None:
        """Apply and post every change, until cancelled.

        `give_up` is called with the reason if the track cannot be published again.
        """
        while True:
            self._post_change()
            if (failure := await self._adapt()) is not None:
                give_up(failure)
                return
            await self._changed.wait()
            self._changed.clear()

    def stop(self) -> None:
        """Stop sending."""
        if self._publication is not None:
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
        """Release all tracks; call it after the room is disconnected."""
        current = [self._microphone] if self._microphone is not None else []
        for microphone in (*self._spent, *current):
            microphone.close()
        self._spent.clear()
        self._microphone = self._publication = None

    async def _adapt(self) -> Failure | None:
        """Publish or withdraw the track as the permission demands."""
        if not self._may_publish:
            await self._withdraw()
            return None
        is_sent = self._is_published and await self._is_sent()
        # If the permission was revoked meanwhile, the next change handles it.
        if is_sent or self._is_paused() or not self._may_publish:
            return None
        if self._is_once and self._microphone is not None:
            return ONLY_ONCE
        if self._is_published:
            self._renew()
        self._is_dropped = self._is_unchecked = self._is_republished = False
        await self._withdraw()
        failure = await self._publish()
        if failure is None:
            self._post_change()
        await asyncio.sleep(AGAIN_S)
        # If the permission was revoked or the connection was interrupted meanwhile, the
        # next change handles it.
        is_outdated = self._is_dropped or self._is_paused() or self._is_unchecked
        return None if is_outdated else failure

    async def _withdraw(self) -> None:
        """Stop sending and drop the publication, during an interruption after it.

        The library would never finish unpublishing then.
        """
        self.stop()
        if self._is_paused():
            self._is_dropped = True
            return
        await self.unpublish()
        self._publication = None

    async def _publish(self) -> Failure | None:
        """Publish the track, connect the feed, and return why it failed."""
        self._microphone = microphone = self._microphone or MicrophoneTrack()
        try:
            await self._publish_with_dtx(microphone)
        except (PublishTrackError, RuntimeError, TimeoutError) as exc:
            _log.debug("track not published  error=%r", exc)
            await self._withdraw()
            self._renew()
            return NOT_PUBLISHED
        send = microphone.send
        self._feed.connect(self._recorder(send) if self._recorder else send)
        _log.info("track published")
        return None

    def _renew(self) -> None:
        """Have another track published by the next attempt; a mute stays.

        The library and the server keep one that failed half published.
        """
        if (spent := self._microphone) is None:
            return
        self._spent.append(spent)
        self._microphone = MicrophoneTrack()
        if spent.track.muted:
            self._microphone.track.mute()

    async def _publish_with_dtx(self, microphone: MicrophoneTrack) -> None:
        """Publish the track, and again if the server's answer does not permit DTX."""
        # Streams of an earlier publication are still listed.
        streams = await self._streams()
        tries = 1 if self._is_once else TRIES
        for tries_left in reversed(range(tries)):
            self._publication = await self._room.local_participant.publish_track(
                microphone.track, self._options
            )
            known = set(streams)
            async with asyncio.timeout(SENDING_S):
                streams = await self._wait_for_stream(streams)
            newest = streams.keys() - known
            has_dtx = any(DTX in streams[one] for one in newest)
            if has_dtx or not tries_left or self._is_paused():
                self._is_republished = self._is_paused() and not (
                    has_dtx or self._is_once
                )
                return
            _log.debug("publishing the track again  reason=no_dtx")
            await self.unpublish()

    async def _is_sent(self) -> bool:
        """Return whether the track is sent, and with DTX if the SDK published it again.

        It is asked only after an interruption.
        """
        if self._is_listener or not self._is_unchecked:
            return True
        self._is_unchecked = False
        try:
            async with asyncio.timeout(SENDING_S):
                # If the connection is new, so are all of its streams.
                streams = await self._wait_for_stream({})
        except RuntimeError as exc:
            _log.debug("encoder not found  error=%r", exc)
            return True
        except TimeoutError:
            _log.warning("microphone's track is not sent on the resumed connection")
            return False
        has_dtx = any(DTX in line for line in streams.values())
        is_sent = has_dtx or not self._is_republished
        # Nothing is published anew during an interruption; it is asked again after it.
        self._is_republished &= self._is_paused() and not is_sent
        return is_sent

    async def _wait_for_stream(self, known: dict[str, str]) -> dict[str, str]:
        """Wait until a new encoder sends, and return the parameters of all encoders.

        The server answers after `publish_track` has returned; audio sent before that is
        lost (measured: 20 to 40 ms). And an encoder that starts in the middle of a
        packet stays misaligned: 10 ms more latency, on 2 of 40 connections.

        Raises:
            RuntimeError: the connection broke.
        """
        streams = known
        while len(streams) <= len(known):
            await asyncio.sleep(POLL_S)
            streams = await self._streams()
        return streams

    async def _streams(self) -> dict[str, str]:
        return encoders((await self._room.get_rtc_stats()).publisher_stats)

    @property
    def _may_publish(self) -> bool:
        """Whether publishing the microphone's track is permitted."""
        allowed = self._room.local_participant.permissions
        sources = allowed.can_publish_sources
        return allowed.can_publish and (
            not sources or rtc.TrackSource.SOURCE_MICROPHONE in sources
        )

    @property
    def _is_published(self) -> bool:
        """Whether the track is published, as far as we know, or there is none."""
        if self._is_listener:
            return True
        if self._publication is None or self._is_dropped:
            return False
        return self._publication.sid in self._room.local_participant.track_publications

    def _post_change(self) -> None:
        before = self._posted
        if self.now() != before:
            message = "permissions changed  now=%s"
            self._log_limit.log(_log, logging.INFO, message, self._posted)
            self._post(PermissionsChanged(self._ticket, self._posted))
