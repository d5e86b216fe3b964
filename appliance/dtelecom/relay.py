"""Relay on loopback between LiveKit's SDK and a dTelecom node.

The SDK cannot parse what a node sends about its rooms. So it connects to this relay,
which passes the signalling connection on to the node, byte for byte, except for the
fields that `SignalFilter` drops. Media do not pass through it.

    SDK ── ws://127.0.0.1:PORT/SECRET/rtc ── relay ── wss://NODE/rtc ── node

Answers that are not WebSockets (404 for a path that the node does not know, 401 for a
token, `/rtc/validate`) are passed on, too: the SDK decides by them what to try next.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import h11

from appliance.dtelecom.connections import (
    CHUNK_BYTES,
    OF_ONE_CONNECTION,
    UNREACHABLE,
    Answer,
    Headers,
    NodeAddress,
    SdkConnection,
    Tls,
    Upstream,
    read_address,
)
from appliance.dtelecom.signal_filter import FrameFilter, SignalFilter
from appliance.net.http_client import trust
from appliance.net.http_limits import ConnectionLimits
from appliance.net.http_server import Acceptor
from appliance.net.rate_limit import Rate
from appliance.process.background import Spawn

REQUEST_S: Final = 5.0
"""Time-out for the head of a request."""
NODE_S: Final = 2.0
"""Time-out for connection and answer while other nodes are left to try: the SDK waits
5 s, in which two more should be reached."""
_JOIN_PATH: Final = b"/rtc"
"""Path that every node knows."""
_RATE: Final = Rate(burst=20, per_s=5)
LIMITS: Final = ConnectionLimits(total=8, each=8, rate=_RATE, rate_each=_RATE)
"""The SDK has one connection, and two for a moment when it resumes."""
_AWAY: Final = Answer(
    HTTPStatus.SERVICE_UNAVAILABLE, [], b"no node of dTelecom can be reached\n"
)
_REFUSALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NOT_FOUND: Final = Answer(HTTPStatus.NOT_FOUND, [], b"not found\n")
_NOT_ALLOWED: Final = Answer(HTTPStatus.METHOD_NOT_ALLOWED, [], b"only GET\n")
_log = logging.getLogger(__name__)


class Relay:
    """Relay for one session in a room; several connections one after the other.

    Until a node has accepted the session, the next one in the list is tried when one
    cannot be reached or does not answer as a node, and is tried last from then on.
    Afterwards the session belongs to its node, and while that is away the answer is
    503.

    Thread: the loop's.
    """

    def __init__(
        self,
        urls: Sequence[str],
        spawn: Spawn,
        tls: Tls = trust,
        *,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Start with a secret path and no listening socket; `open` starts listening.

        Args:
            urls: addresses of nodes in the order in which to try them; checked, and at
                least one.
            spawn: starts a task, whose failure ends the process.
            tls: replaces the system's CA certificates, for tests.
            refused: called when the session's node does not accept the token any more:
                nodes never renew it, so the session cannot be resumed.
        """
        self._nodes = tuple(map(read_address, urls))
        self._path = f"/{secrets.token_urlsafe(16)}"
        self.url = ""
        """Address for the SDK, once it listens; nobody else can guess its path."""
        self.is_away = False
        """No node could be reached for the latest request."""
        self._signal = SignalFilter()
        self._spawn = spawn
        self._tls = tls
        self._refused = refused
        self._serving: set[asyncio.Task[Any]] = set()
        self._listening: socket.socket | None = None
        self._acceptor: Acceptor | None = None
        self._node: NodeAddress | None = None

    def open(self) -> None:
        """Start listening."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}{self._path}"
        self._acceptor = Acceptor(self._listening, self._protocol, LIMITS)

    async def close(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        if self._listening is None or self._acceptor is None:
            return
        self._acceptor.close()
        self._listening.close()
        self._listening = None
        serving = tuple(self._serving)
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)

    def _protocol(self, _: object) -> asyncio.Protocol:
        reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        return asyncio.StreamReaderProtocol(reader, self._accepted)

    def _accepted(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._listening is None:
            writer.close()
            return
        task = self._spawn(self._serve(SdkConnection(reader, writer)))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, client: SdkConnection) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await client.request()
            if request is not None:
                await self._answer(client, request)
        except (OSError, TimeoutError, h11.ProtocolError) as exc:
            _log.debug("connection of the SDK ended  error=%s", type(exc).__name__)
        finally:
            client.close()

    async def _answer(self, client: SdkConnection, request: h11.Request) -> None:
        target, is_ours = _without_secret(request.target, self._path.encode())
        if not is_ours:
            client.send(_NOT_FOUND)
        elif request.method != b"GET":
            client.send(_NOT_ALLOWED)
        elif self._node is not None:
            await self._relayed(client, request, target, (self._node,))
        else:
            await self._relayed(client, request, target, self._nodes)

    async def _relayed(
        self,
        client: SdkConnection,
        request: h11.Request,
        target: bytes,
        nodes: Sequence[NodeAddress],
    ) -> None:
        """Pass the request on to the first node that answers as a node does."""
        answer = _AWAY
        self.is_away = False
        for address in nodes:
            timeout_s = None if address == nodes[-1] else NODE_S
            with contextlib.ExitStack() as closing:
                try:
                    async with asyncio.timeout(timeout_s):
                        node = await Upstream.connect(address, self._tls)
                        closing.callback(node.close)
                        path = address.path.encode() + target
                        found = await node.ask(path, _headers_for(address, request))
                except UNREACHABLE as exc:
                    _log_failure(address, exc)
                    found = _AWAY
                if client.reader.at_eof():
                    # Joined now, the node would have a participant without a client.
                    break
                if found.status == HTTPStatus.SWITCHING_PROTOCOLS:
                    self._node = address
                    client.send(found)
                    frames = FrameFilter(self._signal.filtered)
                    await node.tunnel(client.reader, client.writer, frames)
                    return
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                answer = found
            if _is_of_node(found, request, target):
                break
            self._try_last(address)
        self.is_away = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        client.send(answer)
        if self._node is not None and answer.status in _REFUSALS:
            self._refused()

    def _try_last(self, address: NodeAddress) -> None:
        others = tuple(other for other in self._nodes if other != address)
        self._nodes = (*others, address)


def _log_failure(address: NodeAddress, exc: Exception) -> None:
    error = type(exc).__name__
    _log.info("node cannot be reached  host=%s error=%s", address.host, error)


def _is_of_node(answer: Answer, request: h11.Request, target: bytes) -> bool:
    """Return whether a node answers like this, and not some other server.

    A node refuses to become a WebSocket with a client error, and knows `_JOIN_PATH`.
    """
    is_upgrade = any(name == b"upgrade" for name, _ in request.headers)
    least = HTTPStatus.BAD_REQUEST if is_upgrade else HTTPStatus.OK
    path = target.partition(b"?")[0]
    is_unknown = path == _JOIN_PATH and answer.status == HTTPStatus.NOT_FOUND
    is_fitting = least <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_fitting and not is_unknown


def _without_secret(target: bytes, secret: bytes) -> tuple[bytes, bool]:
    """Return the target behind the secret path, and whether the path was right."""
    begin = target[: len(secret)]
    is_ours = secrets.compare_digest(begin, secret)
    rest = target[len(secret) :]
    return rest, is_ours and rest[:1] in {b"/", b"?", b""}


def _headers_for(address: NodeAddress, request: h11.Request) -> Headers:
    """Return the request's headers for the node.

    Compression is not offered: compressed messages could not be filtered.
    """
    is_upgrade = any(name == b"upgrade" for name, _ in request.headers)
    dropped = {b"host", b"sec-websocket-extensions"}
    if not is_upgrade:
        dropped |= OF_ONE_CONNECTION
    kept = [
        pair for pair in request.headers.raw_items() if pair[0].lower() not in dropped
    ]
    closing = [] if is_upgrade else [(b"Connection", b"close")]
    return [(b"Host", address.authority), *kept, *closing]
