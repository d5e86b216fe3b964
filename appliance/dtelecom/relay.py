"""Relay on loopback between LiveKit's SDK and a dTelecom node.

The SDK cannot parse what a node sends about its rooms. So it connects to this relay,
which passes each message of the signalling connection on to the node and back, without
the fields that `SignalFilter` drops. Media do not pass through it.

    SDK ── ws://127.0.0.1:PORT/SECRET/rtc ── relay ── wss://NODE/rtc ── node

Answers that are not WebSockets (404 for a path that the node does not know, 401 for a
token, `/rtc/validate`) are passed on, too: the SDK decides by them what to try next.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from websockets import http11
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidStatus,
    WebSocketException,
)
from websockets.http11 import Request, Response
from websockets.protocol import Event, State

from appliance.dtelecom.signal_filter import SignalFilter
from appliance.net.http_client import trust

NODE_S: Final = 2.0
"""Time-out for connection and answer while other nodes are left to try."""
LAST_NODE_S: Final = 4.5
"""The same for the last one. A slow mobile network takes a second for TCP and TLS."""
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
_JOIN_PATH: Final = "/rtc"
"""Path that every node knows."""
_CHECK_PATH: Final = "/validate"
"""Ending of the path at which the SDK asks why it was refused."""
_OF_ONE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "content-length", "transfer-encoding", "upgrade"}
)
"""Headers that concern one of the two connections only."""
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
    """Connection to a node, which is not trusted, with limits that websockets lacks."""

    _frames = 0

    def data_received(self, data: bytes) -> None:
        """Parse the data; end the connection if the node floods it or closes it."""
        self._frames = 0
        for start in range(0, len(data), _PORTION_BYTES):
            super().data_received(data[start : start + _PORTION_BYTES])
            unsent = self.transport.get_write_buffer_size()
            if self._frames > MAX_FRAMES or unsent > MAX_UNSENT:
                _log.info("node sends too much  frames=%d", self._frames)
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

    Until a node has accepted the session, the next one in the list is tried when one
    cannot be reached or does not answer as a node, and is tried last from then on.
    Afterwards the session belongs to its node, and while that is away the answer is
    503.

    Thread: the loop's.
    """

    def __init__(
        self,
        urls: Sequence[str],
        tls: Callable[[], ssl.SSLContext] = trust,
        *,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Start with a secret path and no listening socket; `open` starts listening.

        The addresses of nodes, at least one, were checked before; they are in the order
        in which to try them. `tls` is for tests. `refused` is called when the session's
        node does not accept the token any more: nodes never renew it, so the session
        cannot be resumed.
        """
        self._nodes = tuple(urls)
        self.longest_answer_s = NODE_S * (len(self._nodes) - 1) + LAST_NODE_S
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
        self._asking: set[asyncio.Task[ClientConnection | Response]] = set()
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
        is_upgrade = response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
        target = f"/{rest}"
        if not is_upgrade and not target.partition("?")[0].endswith(_CHECK_PATH):
            return None
        if not sdk.server.is_serving():
            return _away(sdk)
        asking = asyncio.create_task(
            self._asked(sdk, request, target, is_upgrade=is_upgrade)
        )
        # Joined for an attempt that the SDK has given up, the node would end the next
        # one, which has the same identity.
        gone = asyncio.create_task(sdk.wait_closed())
        gone.add_done_callback(lambda _: asking.cancel())
        self._asking.add(asking)
        try:
            await asyncio.wait((asking,))
        finally:
            self._asking.discard(asking)
            gone.cancel()
        # `close` cancels it, too.
        found = _away(sdk) if asking.cancelled() else asking.result()
        if isinstance(found, Response):
            return found
        is_wanted = sdk.state is State.CONNECTING and sdk.server.is_serving()
        if is_upgrade and is_wanted:
            self._joined[sdk] = found
        else:
            await found.close()
        return None

    async def _asked(
        self, sdk: ServerConnection, request: Request, target: str, *, is_upgrade: bool
    ) -> ClientConnection | Response:
        """Return what the first node answers that answers as a node does."""
        answer = _away(sdk)
        # From the start: the SDK may give up before a node answers.
        self.is_away = True
        nodes = [self.session_node] if self.session_node else list(self._nodes)
        for url in nodes:
            timeout_s = LAST_NODE_S if url == nodes[-1] else NODE_S
            found = await self._connected(url, target, request, timeout_s)
            if isinstance(found, ClientConnection):
                self.is_away = False
                if is_upgrade:
                    self.session_node = url
                return found
            if found is not None:
                if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    answer = found
                self.is_away = answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
                if _is_of_node(found, target, is_upgrade=is_upgrade):
                    break
            self._nodes = (*(other for other in self._nodes if other != url), url)
        if self.session_node is not None and answer.status_code in _REFUSALS:
            self._refused()
        return _for_sdk(answer)

    async def _connected(
        self, url: str, target: str, request: Request, timeout_s: float
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
                open_timeout=timeout_s,
                ping_interval=None,
                close_timeout=CLOSE_S,
                max_size=MAX_MESSAGE,
                create_connection=_NodeConnection,
            )
        except InvalidStatus as exc:
            return exc.response
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


def _away(sdk: ServerConnection) -> Response:
    """Return the answer while no node can be reached."""
    sentence = "no node of dTelecom can be reached\n"
    return sdk.respond(HTTPStatus.SERVICE_UNAVAILABLE, sentence)


async def _copy(
    source: Connection, target: Connection, changed: Callable[[bytes], bytes]
) -> None:
    try:
        async for message in source:
            await target.send(message if isinstance(message, str) else changed(message))
            # Neither of them waits while there are more messages.
            await asyncio.sleep(0)
    except ConnectionClosedError as exc:
        _log.info("signalling connection ended  reason=%s", exc)
    except ConnectionClosed:
        pass
    await target.close()


def _is_of_node(answer: Response, target: str, *, is_upgrade: bool) -> bool:
    """Return whether a node answers like this, and not some other server.

    A node refuses to become a WebSocket with a client error, and knows `_JOIN_PATH`.
    """
    least = HTTPStatus.BAD_REQUEST if is_upgrade else HTTPStatus.OK
    is_join = target.partition("?")[0] == _JOIN_PATH
    is_unknown = is_join and answer.status_code == HTTPStatus.NOT_FOUND
    is_fitting = least <= answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_fitting and not is_unknown


def _for_sdk(answer: Response) -> Response:
    """Return the answer with the headers of the SDK's own connection."""
    headers = Headers(
        (name, value)
        for name, value in answer.headers.raw_items()
        if name.lower() not in _OF_ONE_CONNECTION
    )
    headers["Content-Length"] = str(len(answer.body))
    headers["Connection"] = "close"
    return Response(answer.status_code, answer.reason_phrase, headers, answer.body)
