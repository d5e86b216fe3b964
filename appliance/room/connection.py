"""Connection to a LiveKit server or a dTelecom node, and why it fails or is lost.

It can be abandoned at any moment. Source of the failures: messages of the SDK, each
observed with livekit-server 1.13.5 or a server of our own, again in `tests/room`.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from livekit import rtc
from livekit.rtc import DisconnectReason

from appliance.config import Config
from appliance.core.commands import JoinRoom
from appliance.core.events import Cause, ConnectionDetails, Failure
from appliance.ports import MicrophoneFeed, Playback, Post
from appliance.process.background import Spawn
from appliance.process.logs import redacted
from appliance.room.ffi import connect_once

CONNECT_S: Final = 5.0
"""Time-out for the SDK's attempt; a slow mobile network takes about 2 s."""
JOIN_S: Final = 15.0
"""Time-out for joining, which first waits for an abandoned attempt to end."""
DISCONNECT_S: Final = 1.0
"""Time-out for disconnecting; with unpublishing less than `adapter.CLOSE_S`."""
SPARE_S: Final = 0.5
"""Longer than a relay needs to answer: the SDK gives up and hangs up after its time.
With five nodes that is less than `JOIN_S`."""
LOOK_S: Final = 0.25
"""Interval of looking for changes to post; our choice: nobody notices the delay."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Objects shared by all sessions."""

    post: Post
    feed: MicrophoneFeed
    playback: Playback
    spawn: Spawn
    config: Config
    pending: dict[asyncio.Task[Any], str] = field(default_factory=dict)
    """Unfinished connection attempts, and their URLs."""
    failed_nodes: Counter[str] = field(default_factory=Counter)
    """Sessions that nodes of dTelecom accepted, and let join no room."""


def connection(
    command: JoinRoom, context: SessionContext, lose: Callable[[Failure], None]
) -> "LiveKitConnection | NodeConnection":
    """Return the connection for a session; `lose` is called if it cannot be resumed."""
    if command.details.is_dtelecom:
        return NodeConnection(command, context, lose)
    return LiveKitConnection(context)


class LiveKitConnection:
    """Connection of one `rtc.Room`, used once.

    An attempt always runs to its end, and is disconnected then if it was abandoned:
    cancelled in Python, it would go on natively, and end the process once connected.
    """

    def __init__(self, context: SessionContext) -> None:
        """Create the room; nothing is sent yet."""
        connect_once()
        self.room = rtc.Room()
        self._spawn = context.spawn
        self._pending = context.pending
        self._connecting: asyncio.Task[Failure | None] | None = None
        self._is_abandoned = False

    async def open(
        self, details: ConnectionDetails, options: rtc.RoomOptions
    ) -> Failure | None:
        """Connect, and return why it failed; may be cancelled."""
        try:
            async with asyncio.timeout(JOIN_S):
                # Abandoned attempts with this server have our identity: it would keep
                # the last to arrive and end ours.
                url, pending = details.url, self._pending
                if earlier := {task for task, to in pending.items() if to == url}:
                    await asyncio.wait(earlier)
                connecting = self._spawn(self._connect(details, options))
                self._connecting = connecting
                pending[connecting] = url
                connecting.add_done_callback(pending.pop)
                return await asyncio.shield(connecting)
        except TimeoutError:
            return NOT_IN_TIME

    async def close(self) -> None:
        """Disconnect within `DISCONNECT_S`, or later if still connecting."""
        self._is_abandoned = True
        if self._connecting is not None and self._connecting.done():
            await self._disconnect()

    async def _connect(
        self, details: ConnectionDetails, options: rtc.RoomOptions
    ) -> Failure | None:
        try:
            await self.room.connect(details.url, details.token, options)
        except rtc.ConnectError as exc:
            _log.debug("not connected  answer=%r", redacted(exc.message))
            return connect_failure(exc.message)
        if self._is_abandoned:
            await self._disconnect()
        return None

    async def _disconnect(self) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_S):
                await self.room.disconnect()
        except TimeoutError:
            _log.warning(
                "server did not confirm the disconnect  after_s=%s", DISCONNECT_S
            )


class NodeConnection:
    """Connection to a node of dTelecom, used once, through a relay in this process."""

    def __init__(
        self,
        command: JoinRoom,
        context: SessionContext,
        lose: Callable[[Failure], None],
    ) -> None:
        """Create the room; nothing is sent yet."""
        # Imported only for such rooms.
        from appliance.dtelecom.relay import Relay

        self._connection = LiveKitConnection(context)
        self._failed = context.failed_nodes
        urls = (command.details.url, *command.details.fallback_urls)
        # Those that failed most often last.
        nodes = sorted(urls, key=lambda url: self._failed[url])
        self._relay = Relay(nodes, refused=partial(lose, TOKEN_EXPIRED))
        self.room = self._connection.room

    async def open(
        self, details: ConnectionDetails, options: rtc.RoomOptions
    ) -> Failure | None:
        """Connect, and return why it failed; may be cancelled."""
        await self._relay.open()
        options = replace(
            options,
            connect_timeout=self._relay.longest_answer_s + SPARE_S,
            single_peer_connection=False,
            # The newer way of encryption would lose every data packet.
            encryption=None,
            e2ee=options.encryption,
        )
        details = replace(details, url=self._relay.url)
        found = await self._connection.open(details, options)
        if found is None:
            self._failed.clear()
        elif (node := self._relay.session_node) is not None:
            self._failed[node] += 1
        return NO_NODE if found is not None and self._relay.is_away else found

    async def close(self) -> None:
        """Disconnect; an attempt that is still running fails at once."""
        await self._connection.close()
        await self._relay.close()


_lost: Final = partial(Failure, Cause.SERVER_LOST)
_refused: Final = partial(Failure, Cause.REFUSED, is_final=True)

NOT_IN_TIME: Final = _lost(
    "the server did not complete joining within 15 s; it may be overloaded, or a "
    "firewall may block UDP and TCP to it"
)
NOT_PUBLISHED: Final = _lost(
    "the server did not accept the microphone's track; see the server's log",
)
ONLY_ONCE: Final = _lost(
    "this server takes the microphone's track only once in a session; joining again"
)
OLD_PERMISSIONS: Final = _lost("the permissions are not known any more; joining again")
NO_AUDIO: Final = _lost("LiveKit's library delivers no audio of the others")
NOT_SENT: Final = _lost("LiveKit's library sends nothing of the microphone's sound")
NO_NODE: Final = _lost(
    "no node of dTelecom can be reached; the token source may name another one when it "
    "is asked again"
)
TOKEN_EXPIRED: Final = _lost(
    "the node does not accept this session's token any more; joining again"
)
_SERVER_ERROR: Final = _lost("the server answers with an error; see the server's log")

_ADDRESS: Final = re.compile(r"\w+://\S+")
"""Its host name may contain any of the words below."""
_CONNECTING: Final = {
    "permissions denied": _refused(
        "the token does not allow joining this room: its issuer has to grant roomJoin "
        "and the room's name"
    ),
    # Not final: a clock that lags after a power cut is set again within minutes.
    "client error: 40[13].*(is expired|not valid yet)": Failure(
        Cause.REFUSED,
        "the server finds the token expired or not yet valid: the clocks of token "
        "source and server differ, or the token is an old one",
    ),
    "client error: 40[13]": _refused(
        "the server refused the token (401 or 403): it may be expired or made for "
        "another server; check the token source, its API key and its clock"
    ),
    "invalid characters": _refused(
        "the token is malformed: check what the token source answers"
    ),
    "parse the url": Failure(
        Cause.MISCONFIGURED,
        "the server's address is invalid: it has to look like wss://example.org; check "
        "room.url and the token source's answer",
        is_final=True,
    ),
    "client error: 404": _lost(
        "there is no LiveKit server at this address, or it has no such room (404); "
        "check room.url and the token source's answer"
    ),
    # Whatever the server or a proxy writes after the status.
    r"(server|client) error: \d": _SERVER_ERROR,
    "failed to lookup|unreachable|No route": Failure(
        Cause.NO_INTERNET,
        "the server's name cannot be resolved or its network cannot be reached; check "
        "the internet connection and the server's address",
    ),
    "refused": _lost(
        "nothing answers at the server's address; it may be down or starting"
    ),
    r"certificate|corrupt message|\b(tls|rustls|TLS)\b": _lost(
        "no secure connection to the server; check this box's clock, the server's "
        "certificate, and that it speaks wss at this port"
    ),
    "timed out|timeout": _lost(
        "the server does not answer; it may be overloaded, or the network loses what "
        "is sent"
    ),
    "(server|client|handshake) error": _SERVER_ERROR,
}
"""Regular expressions that are tried in this order."""

_CANNOT_CONNECT: Final = _lost("the server cannot be joined now; it may be restarting")

_CLOSED: Final = Failure(Cause.ROOM_CLOSED, "somebody closed the room")
_SERVER_LOST: Final = _lost(
    "the connection to the server is lost and could not be resumed"
)

_DISCONNECTED: Final[dict[int, Failure]] = {
    DisconnectReason.DUPLICATE_IDENTITY: Failure(
        Cause.REPLACED,
        "another client joined with this box's identity; give each its own "
        "room.identity",
    ),
    DisconnectReason.PARTICIPANT_REMOVED: Failure(
        Cause.ROOM_CLOSED, "somebody removed this box from the room"
    ),
    DisconnectReason.ROOM_DELETED: _CLOSED,
    DisconnectReason.ROOM_CLOSED: _CLOSED,
    DisconnectReason.SERVER_SHUTDOWN: _lost("the server is shutting down"),
}


def connect_failure(message: str) -> Failure:
    """Return the failure for an error of `rtc.Room.connect`.

    Its message may contain the address and the whole token.
    """
    said = _ADDRESS.sub("", redacted(message))
    found = (_CONNECTING[words] for words in _CONNECTING if re.search(words, said))
    return next(found, _CANNOT_CONNECT)


def disconnect_failure(reason: DisconnectReason.ValueType) -> Failure:
    """Return the failure for the reason of a disconnect."""
    return _DISCONNECTED.get(reason, _SERVER_LOST)
