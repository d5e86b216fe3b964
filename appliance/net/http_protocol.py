"""uvicorn's protocol classes, hardened: malformed input closes its own connection.

uvicorn, h11 and websockets raise on some malformed input from within callbacks of the
event loop, where an exception means a bug of ours and ends the process. None of our own
code runs inside the guarded calls: requests are served in tasks of their own.
"""

import asyncio
from dataclasses import dataclass

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)
from uvicorn.server import ServerState
from websockets.exceptions import WebSocketException

from appliance.net.acceptor import Client
from appliance.net.minute_log import MinuteLog
from appliance.net.rate_limit import RateLimit

REQUEST_S = 10.0
"""To begin a request: idle or endless ones must not use up the connections."""
HEAD_BYTES = 16 * 1024
"""Longest request line with headers, for `h11_max_incomplete_event_size`; browsers send
about 1 kB."""
READS = 256
"""Reads from the socket for one request; 32 kB on the worst Wi-Fi are under 50. Who
sends single bytes, or a body without end, is disconnected."""
MALFORMED = (
    h11.ProtocolError,
    WebSocketException,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    ValueError,
)
"""What the three libraries were found to raise, or might, on malformed input."""
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What all connections of one server share."""

    requests: RateLimit
    """Only looked at here; `RateLimited` counts the requests."""
    refusal: bytes
    """The whole answer to a request beyond the rate; the connection is closed."""
    malformed: MinuteLog
    """Counts connections that were closed for what they sent."""
    request_s: float = REQUEST_S


class HttpProtocol(H11Protocol):
    """HTTP/1.1 server connection with bounded patience."""

    def __init__(
        self, config: Config, state: ServerState, client: Client, rules: Rules
    ) -> None:
        """Serve `client`, whose address the system may have forgotten already."""
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self._client = client
        self._rules = rules
        self._reads = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        assert isinstance(transport, asyncio.Transport)
        try:
            super().connection_made(transport)
        except OSError:
            # It asks the socket for its addresses; the client may have reset it.
            transport.abort()
            return
        self.client = self._client
        self._check_later()

    def data_received(self, data: bytes) -> None:
        """Parse, unless the client has used up its requests already."""
        requests = self._rules.requests
        if self.conn.their_state is h11.IDLE and requests.is_spent(self._client[0]):
            self._unset_keepalive_if_required()
            self._end_with(self._rules.refusal)
            return
        self._reads += 1
        if self._reads > READS:
            self._drop()
            return
        try:
            super().data_received(data)
        except MALFORMED:
            self._drop()

    def handle_events(self) -> None:
        """Handle what was parsed; also called when a response is complete."""
        before = self.cycle
        try:
            super().handle_events()
        except MALFORMED:
            self._drop()
        if self.cycle is not before:
            self._reads = 0

    def send_400_response(self, _msg: str) -> None:
        """Refuse a malformed head; in the middle of a request, only close."""
        self._rules.requests.take(self._client[0])
        if self.conn.our_state is not h11.IDLE:
            self._drop()
            return
        self._rules.malformed.note()
        self._end_with(BAD_REQUEST)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over, unless websockets did not take the head."""
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, WebSocketProtocol)
        protocol.client = self._client
        # A head that h11 takes and websockets does not is never answered, and from
        # here on nobody would close the connection.
        if not protocol.handshake_initiated:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request, if one is being served."""
        try:
            super().connection_lost(exc)
        except MALFORMED:
            self._drop()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        try:
            super().timeout_keep_alive_handler()
        except MALFORMED:
            self._drop()

    def shutdown(self) -> None:
        """Close, at the latest when the response is complete."""
        try:
            super().shutdown()
        except MALFORMED:
            self._drop()

    def _end_with(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()

    def _drop(self) -> None:
        """Disconnect at once; whoever serves the request sees that the client left."""
        self._rules.malformed.note()
        self._unset_keepalive_if_required()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_writing()
        self.transport.abort()

    def _check_later(self) -> None:
        self.loop.call_later(self._rules.request_s, self._check, self.cycle)

    def _check(self, seen: object) -> None:
        """Close a connection on which no request has begun since the last look.

        One that has is over by now: its body is read for at most as long.
        """
        if self not in self.connections:
            return
        if self.cycle is seen:
            self.transport.abort()
            return
        self._check_later()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket server connection that malformed frames can only close."""

    def data_received(self, data: bytes) -> None:
        """Parse; before the handshake is answered, a client may not send anything."""
        if self.handshake_initiated and not self.handshake_complete:
            self._drop()
            return
        try:
            super().data_received(data)
        except MALFORMED:
            self._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever serves the connection."""
        try:
            super().connection_lost(exc)
        except MALFORMED:
            self._drop()

    def send_keepalive_ping(self) -> None:
        """Send a ping, unless a close is under way."""
        try:
            super().send_keepalive_ping()
        except MALFORMED:
            self._drop()

    def keepalive_timeout(self) -> None:
        """Close a connection whose client does not answer pings."""
        try:
            super().keepalive_timeout()
        except MALFORMED:
            self._drop()

    def shutdown(self) -> None:
        """Close with code 1012."""
        try:
            super().shutdown()
        except MALFORMED:
            self._drop()

    async def send(self, message: ASGISendEvent) -> None:
        """Send for the application."""
        try:
            await super().send(message)
        except (AssertionError, WebSocketException) as exc:
            self._drop()
            raise ClientDisconnected from exc

    def _drop(self) -> None:
        """Disconnect at once; whoever serves the connection sees that it is gone."""
        self.stop_keepalive()
        self.disconnected = True
        self.handshake_complete = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        self.writable.set()
        self.transport.abort()
