"""Relay on loopback between LiveKit's SDK and a dTelecom node.

The SDK cannot parse what a node sends about its rooms. So it connects to this relay,
which passes each message of the signalling connection on to the node and back, without
the fields that `SignalFilter` drops. Media do not pass through it.

    SDK ── ws://127.0.0.1:PORT/SECRET/rtc ── relay ── wss://NODE/rtc ── node

Answers that are not WebSockets (404 for a path that the node does not know, 401 for a
token, `/rtc/validate`) are passed on, too: the SDK decides by them what to try next.

Two fields that dTelecom added have numbers that LiveKit gave to others later:
`Room.key` (text) is LiveKit's `Room.num_publishers` (a number), and LiveKit's SDK
rejects the whole message for it; `ParticipantInfo` has a flag where LiveKit has the
participant's kind. Source: LiveKit's `livekit_rtc.proto` and `livekit_models.proto`.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from websockets import http11
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Request, Response
from websockets.protocol import Event, State

from appliance.net.http_client import trust

NODE_S: Final = 2.5
"""Time-out for connection and answer of a node; a slow mobile network takes a second
for TCP and TLS."""
CLOSE_S: Final = 0.5
"""Time-out for the end of each of the two connections."""
MAX_MESSAGE: Final = 1024 * 1024
"""Bytes; our choice: enough for joining a room with 2,000 participants."""
MAX_UNSENT: Final = 2 * MAX_MESSAGE
"""Bytes that wait to be sent to a node: a message, and answers to its pings."""
MAX_FRAMES: Final = 1000
"""Frames that a node may have sent at once; our choice: far more than it has to say,
while 250 KB of empty ones would block the loop for seconds on a Pi."""
_PORTION_BYTES: Final = 2048
"""Bytes that are parsed before their frames are counted."""
MAX_LINE: Final = 32 * 1024
"""Bytes of one header; our choice: enough for the longest token that a box accepts."""
MAX_PARTS: Final = 3000
"""Rooms, participants and lists of them in one message; our choice: more than the
largest room has. Half a million would block the loop for seconds on a Pi."""
_FIELDS: Final[tuple[tuple[str, str, int, Any], ...]] = (
    ("Room", "key", 11, FieldDescriptorProto.TYPE_BYTES),
    ("Participant", "flag", 14, FieldDescriptorProto.TYPE_UINT64),
    ("Join", "rooms", 1, "Room"),
    ("Join", "own", 2, "Participant"),
    ("Join", "others", 3, "Participant"),
    ("Update", "participants", 1, "Participant"),
    ("RoomUpdate", "rooms", 1, "Room"),
    ("Response", "joins", 1, "Join"),
    ("Response", "updates", 5, "Update"),
    ("Response", "room_updates", 11, "RoomUpdate"),
)
"""Message, name, number and type of each field that concerns us."""
_UNREACHABLE: Final = (
    *(OSError, WebSocketException),
    UnicodeError,  # the resolver: the name has an empty label or one that is too long
)
"""Exceptions of a connection to a node: there is no answer, or none that is HTTP."""
_REFUSALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_log = logging.getLogger(__name__)
# websockets reads its limit, 8 KiB, from the environment when it is first imported. The
# page limits the head of a request itself.
http11.MAX_LINE_LENGTH = MAX_LINE


class _Attempt(connect):
    """Connection to a node; follows no redirection to an address nobody checked."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the answer as it is."""
        return exc


class _NodeConnection(ClientConnection):
    """Connection to a node, which is not trusted."""

    _frames = 0

    def data_received(self, data: bytes) -> None:
        """Parse the data; end the connection if the node floods it or closes it."""
        self._frames = 0
        for start in range(0, len(data), _PORTION_BYTES):
            super().data_received(data[start : start + _PORTION_BYTES])
            unsent = self.transport.get_write_buffer_size()
            if self._frames > MAX_FRAMES or unsent > MAX_UNSENT:
                self.transport.abort()
                return
        if self.state is State.CLOSING:
            # The node may never close its side of TCP.
            self.loop.call_later(CLOSE_S, self.transport.abort)

    def process_event(self, event: Event) -> None:
        """Count the frame."""
        self._frames += 1
        super().process_event(event)


class Relay:
    """Relay for one session in a room; several connections one after the other.

    Until a node has accepted the session, the next one is tried when one cannot be
    reached or answers as none does, which is tried last from then on. Afterwards the
    session belongs to its node, and while that is away the answer is 503.

    Thread: the loop's.
    """

    def __init__(
        self,
        urls: Sequence[str],
        tls: Callable[[], ssl.SSLContext] = trust,
        *,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Start with the addresses of nodes, checked and in the order to try them.

        `tls` is for tests. `refused` is called when the session's node does not accept
        the token any more: nodes never renew it, so the session cannot be resumed.
        """
        self._nodes = tuple(urls)
        self.longest_answer_s = NODE_S * len(self._nodes)
        """Longest time until a request to join is answered: every node is tried."""
        self._path = f"/{secrets.token_urlsafe(16)}"
        self.url = ""
        """Address for the SDK, once it listens; nobody else can guess its path."""
        self.is_away = False
        """No node has been reached for the latest request."""
        self._signal = SignalFilter()
        self._tls = tls
        self._refused = refused
        self._server: Server | None = None
        self.session_node: str | None = None
        """Address of the node that has accepted the session."""
        self._asking: set[asyncio.Task[ClientConnection | Response | None]] = set()
        self._joined: dict[ServerConnection, ClientConnection] = {}
        """Connection to the node of each connection of the SDK that is accepted."""

    async def open(self) -> None:
        """Start listening."""
        self._server = await serve(
            self._pass_on,
            "127.0.0.1",
            0,
            process_response=self._answer,
            # Compressed messages could not be filtered.
            compression=None,
            server_header=None,
            # The SDK gives up earlier.
            open_timeout=self.longest_answer_s + 1,
            ping_interval=None,
            close_timeout=CLOSE_S,
            max_size=MAX_MESSAGE,
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}{self._path}"

    async def close(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        if self._server is None:
            return
        for task in self._asking:
            task.cancel()
        self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * CLOSE_S):
                await self._server.wait_closed()
        for node in tuple(self._joined.values()):
            await node.close()

    async def _answer(
        self, sdk: ServerConnection, request: Request, response: Response
    ) -> Response | None:
        """Return the node's answer; None: that of websockets, which may be 101."""
        path, _, rest = request.path[1:].partition("/")
        if not secrets.compare_digest(f"/{path}".encode(), self._path.encode()):
            return sdk.respond(HTTPStatus.NOT_FOUND, "not found\n")
        asking = asyncio.create_task(self._asked(f"/{rest}", request))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        await asyncio.wait((asking,))
        # `close` cancels it.
        found = None if asking.cancelled() else asking.result()
        if found is None:
            sentence = "no node of dTelecom can be reached\n"
            return sdk.respond(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        if isinstance(found, Response):
            return sdk.respond(found.status_code, found.body.decode(errors="replace"))
        is_upgrade = response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
        is_wanted = sdk.state is State.CONNECTING and sdk.server.is_serving()
        if is_upgrade and is_wanted:
            self._joined[sdk] = found
        else:
            await found.close()
        return None

    async def _asked(
        self, target: str, request: Request
    ) -> ClientConnection | Response | None:
        """Return the connection to the first node that answers, or its answer."""
        self.is_away = True
        for url in (self.session_node,) if self.session_node else self._nodes:
            found = await self._connected(url, target, request)
            if found is None:
                self._nodes = (*(other for other in self._nodes if other != url), url)
                continue
            self.is_away = False
            if isinstance(found, ClientConnection):
                self.session_node = url
            elif self.session_node and found.status_code in _REFUSALS:
                self._refused()
            return found
        return None

    async def _connected(
        self, url: str, target: str, request: Request
    ) -> ClientConnection | Response | None:
        """Return the connection to a node, or its answer; None: there is none."""
        parts = urlsplit(url)
        scheme, path = parts.scheme, parts.path.rstrip("/") + target
        try:
            return await _Attempt(
                f"{scheme}://{parts.netloc}{path}",
                additional_headers=[
                    ("Authorization", value)
                    for value in request.headers.get_all("Authorization")
                ],
                # Reading the certificates would block the loop.
                ssl=await asyncio.to_thread(self._tls) if scheme == "wss" else None,
                compression=None,
                user_agent_header=None,
                proxy=None,
                open_timeout=NODE_S,
                ping_interval=None,
                close_timeout=CLOSE_S,
                max_size=MAX_MESSAGE,
                create_connection=_NodeConnection,
            )
        except InvalidStatus as exc:
            if _is_of_node(exc.response.status_code, target.partition("?")[0]):
                return exc.response
            error = f"status {exc.response.status_code}"
        except _UNREACHABLE as exc:
            error = type(exc).__name__
        _log.info("node cannot be reached  host=%s error=%s", parts.hostname, error)
        return None

    async def _pass_on(self, sdk: ServerConnection) -> None:
        """Pass messages on in both directions until either side closes."""
        node = self._joined.pop(sdk)
        await asyncio.gather(
            _copy(sdk, node, lambda message: message),
            _copy(node, sdk, self._signal.filtered),
        )


def _is_of_node(status: int, path: str) -> bool:
    """Return whether a node answers so, not a proxy without it or a parked domain."""
    # It knows `/rtc`, and refuses a WebSocket with a client error.
    is_unknown = (path, status) == ("/rtc", HTTPStatus.NOT_FOUND)
    least = HTTPStatus.OK if path.endswith("/validate") else HTTPStatus.BAD_REQUEST
    return least <= status < HTTPStatus.INTERNAL_SERVER_ERROR and not is_unknown


async def _copy(
    source: Connection, target: Connection, changed: Callable[[bytes], bytes]
) -> None:
    try:
        async for message in source:
            await target.send(message if isinstance(message, str) else changed(message))
            # Neither of them waits while there are more messages.
            await asyncio.sleep(0)
    except ConnectionClosed as exc:
        _log.info("signalling connection ended  reason=%s", exc)
    await target.close()


def _response_class() -> type[Message]:
    """Return the class of a `SignalResponse` with the fields that concern us."""
    file = FileDescriptorProto(name="signal_response.proto")
    shapes: dict[str, DescriptorProto] = {}
    for message, name, number, kind in _FIELDS:
        if message not in shapes:
            shapes[message] = file.message_type.add(name=message)
        field = shapes[message].field.add(name=name, number=number)
        if isinstance(kind, str):
            field.label = FieldDescriptorProto.LABEL_REPEATED
            field.type_name = f".{kind}"
        else:
            field.label = FieldDescriptorProto.LABEL_OPTIONAL
            field.type = kind
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("Response"))


_RESPONSE: Final[Any] = _response_class()


class SignalFilter:
    """Filter for the messages of one server, which it knows after the first join."""

    def __init__(self) -> None:
        """Start with an unknown server."""
        self._is_livekit = False

    def filtered(self, message: bytes) -> bytes:
        """Return a `SignalResponse` that LiveKit's SDK can parse; never a longer one.

        The message itself, which is untrusted, if it has nothing to remove, is
        malformed or has more than `MAX_PARTS`.
        """
        try:
            response = _RESPONSE.FromString(message)
        except DecodeError:
            return message
        # Each becomes an object of Python's when it is looked at.
        lists = [response.joins, response.updates, response.room_updates]
        if sum(map(len, lists)) <= MAX_PARTS:
            lists += [x for j in response.joins for x in (j.rooms, j.own, j.others)]
            lists += [update.participants for update in response.updates]
            lists += [update.rooms for update in response.room_updates]
        if sum(map(len, lists)) > MAX_PARTS:
            return message
        joined = [room for join in response.joins for room in join.rooms]
        updated = [room for update in response.room_updates for room in update.rooms]
        keyed = [room for room in joined + updated if room.HasField("key")]
        # The absence of the key tells a server of LiveKit's own: its number is left
        # out while it is 0. A participant's kind has to pass there, because that is how
        # agents are known.
        if any(room.ByteSize() for room in joined) and not keyed:
            self._is_livekit = True
        people = [
            *(x for join in response.joins for x in (*join.own, *join.others)),
            *(x for update in response.updates for x in update.participants),
        ]
        flagged = [x for x in people if x.HasField("flag") and not self._is_livekit]
        for room in keyed:
            room.ClearField("key")
        for person in flagged:
            person.ClearField("flag")
        return bytes(response.SerializeToString()) if keyed or flagged else message
