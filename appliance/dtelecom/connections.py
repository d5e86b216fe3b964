"""The two connections of the relay: from LiveKit's SDK, and to a node.

Each carries one HTTP request, which may become a WebSocket.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import h11

from appliance.dtelecom.signal_filter import FrameError, FrameFilter

CONNECT_S: Final = 2.0
"""Time-out for TCP and TLS; a slow mobile network takes about 1 s."""
ANSWER_S: Final = 5.0
"""Time-out for the answer; the SDK itself waits no longer."""
HEAD_BYTES: Final = 32 * 1024
"""Longest head of a request or an answer; the token in it has 16 KiB at most."""
BODY_BYTES: Final = 64 * 1024
"""Longest body that is passed on; nodes answer with one sentence."""
CHUNK_BYTES: Final = 64 * 1024
OF_ONE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"content-length", b"transfer-encoding"}
)
"""Headers that concern one of the two connections only."""

Tls = Callable[[], ssl.SSLContext]
"""Returns the TLS context for connections to nodes."""
Headers = list[tuple[bytes, bytes]]

UNREACHABLE: Final = (
    *(OSError, TimeoutError, EOFError, h11.ProtocolError),
    UnicodeError,  # the resolver: the name has an empty label or one that is too long
)
"""Exceptions of `Upstream`: there is no answer, or none that is HTTP."""


_log = logging.getLogger(__name__)
_USUAL_ENDS: Final = (OSError, FrameError, asyncio.CancelledError)
"""Ends of one direction of a tunnel that are no bug."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Address of a node."""

    host: str
    port: int
    path: str
    is_secure: bool

    @property
    def authority(self) -> bytes:
        """Value of the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.is_secure else 80
        return (host if self.port == default else f"{host}:{self.port}").encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a node."""

    status: int
    headers: Headers
    body: bytes = b""
    reason: bytes = b""


def read_address(url: str) -> NodeAddress:
    """Return the parts of a `ws://` or `wss://` address that has been checked."""
    parts = urlsplit(url)
    is_secure = parts.scheme in {"wss", "https"}
    port = parts.port or (443 if is_secure else 80)
    return NodeAddress(parts.hostname or "", port, parts.path.rstrip("/"), is_secure)


class Upstream:
    """Connection to one node for one request."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take over the connection; `connect` makes one."""
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)

    @classmethod
    async def connect(cls, address: NodeAddress, tls: Tls) -> "Upstream":
        """Connect within `CONNECT_S`, or raise one of `UNREACHABLE`."""
        async with asyncio.timeout(CONNECT_S):
            # Reading the certificates would block the loop.
            context = await asyncio.to_thread(tls) if address.is_secure else None
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=context, limit=CHUNK_BYTES
            )
        return cls(reader, writer)

    async def ask(self, target: bytes, headers: Headers) -> Answer:
        """Send a GET request and return the answer, or raise one of `UNREACHABLE`."""
        request = h11.Request(method="GET", target=target, headers=headers)
        self._writer.write(self._http.send(request) or b"")
        self._writer.write(self._http.send(h11.EndOfMessage()) or b"")
        async with asyncio.timeout(ANSWER_S):
            return await self._answer()

    async def tunnel(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        frames: FrameFilter,
    ) -> None:
        """Pass everything on in both directions until either side closes.

        `frames` filters what the node sends to the client.
        """
        begun, _ = self._http.trailing_data
        ways = [
            asyncio.ensure_future(_copy(reader, self._writer)),
            asyncio.ensure_future(_filter(self._reader, writer, frames, begun)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            results = await asyncio.gather(*ways, return_exceptions=True)
        for result in results:
            if isinstance(result, FrameError):
                _log.warning("connection to the node closed  error=%r", str(result))
            if result is not None and not isinstance(result, _USUAL_ENDS):
                raise result

    def close(self) -> None:
        """Close the connection; what was written is still sent."""
        self._writer.close()

    async def _answer(self) -> Answer:
        body = bytearray()
        answer = Answer(0, [])
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(CHUNK_BYTES))
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                    return _begun(event)
            elif isinstance(event, h11.Response):
                answer = _begun(event)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_BYTES:
                    raise EOFError
            else:
                return replace(answer, body=bytes(body))


def _begun(event: h11.Response | h11.InformationalResponse) -> Answer:
    headers = list(event.headers.raw_items())
    return Answer(event.status_code, headers, reason=bytes(event.reason))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


async def _filter(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    frames: FrameFilter,
    begun: bytes,
) -> None:
    data = begun or await reader.read(CHUNK_BYTES)
    while data:
        writer.write(frames.feed(data))
        await writer.drain()
        data = await reader.read(CHUNK_BYTES)


class SdkConnection:
    """Connection of the SDK to the relay."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take over an accepted connection."""
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    async def request(self) -> h11.Request | None:
        """Return the head of the request; None: the client has closed."""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                # Lets h11 know that there is no body.
                self._http.next_event()
                return event
            if event is not h11.NEED_DATA:
                return None
            self._http.receive_data(await self.reader.read(CHUNK_BYTES))

    def send(self, answer: Answer) -> None:
        """Send an answer; unless it switches protocols, the connection ends then."""
        if answer.status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._write(
                h11.InformationalResponse(
                    status_code=answer.status, headers=answer.headers
                )
            )
            return
        length = str(len(answer.body)).encode()
        headers = [
            *(
                pair
                for pair in answer.headers
                if pair[0].lower() not in OF_ONE_CONNECTION
            ),
            (b"Content-Length", length),
            (b"Connection", b"close"),
        ]
        self._write(
            h11.Response(
                status_code=answer.status, headers=headers, reason=answer.reason
            )
        )
        self._write(h11.Data(data=answer.body))
        self._write(h11.EndOfMessage())

    def close(self) -> None:
        """Close the connection; what was sent before still arrives."""
        self.writer.close()

    def _write(self, event: h11.Event) -> None:
        self.writer.write(self._http.send(event) or b"")
