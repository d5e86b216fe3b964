"""WebSocket endpoint: sends each new view, receives commands."""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from http import HTTPStatus

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from appliance.net.rate_limit import Bucket, Rate
from appliance.page.controls import Answer, Client, Controls
from appliance.page.messages import AnyRequest, RequestRefused, from_command
from appliance.page.pairing import Pairing
from appliance.page.snapshot import LatestView

MAX_SOCKETS = 16
"""Open at once; our choice: a handful of phones show the page of a box."""
VIEW_INTERVAL_S = 0.1
"""Interval of views: ten a second are enough for level meters."""
REPEAT_INTERVAL_S = 5.0
"""A view is sent at least this often, so that the page detects a lost connection."""
COMMAND_RATE = Rate(burst=60, per_s=20)
"""Rate of commands; a slider sends ten a second."""
REFUSED_COMMAND_RATE = Rate(burst=40, per_s=0.2)
"""Rate of refused commands beyond which the socket is closed."""
SEND_S = 5.0
"""Longest time to send a message; then the client counts as gone."""

POLICY_VIOLATION = 1008
LOGIN_INVALID = 4401
"""Makes the page open the pairing form; 4000-4999 are for applications."""
TOO_MANY_OPEN = 4503
"""Makes the page show the reason."""

Close = tuple[int, str]
"""Close code and reason."""


class WebSocketConnection:
    """WebSocket on which every failure is a normal end.

    Thread: the loop's; several tasks may use it at once.
    """

    def __init__(self, socket: WebSocket) -> None:
        """Use an accepted socket."""
        self._socket = socket
        self._lock = asyncio.Lock()
        self._is_open = True

    async def send(self, content: bytes) -> bool:
        """Send one message, and return whether the connection is still open."""
        async with self._lock:
            if self._is_open:
                self._is_open = await self._sent(content.decode())
            return self._is_open

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when the connection is closed."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self._is_open = False
            return None
        return message.get("text") or message.get("bytes") or b""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection if it is still open."""
        async with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            try:
                await self._socket.close(code, reason)
            except (WebSocketDisconnect, RuntimeError):
                return

    async def _sent(self, text: str) -> bool:
        try:
            async with asyncio.timeout(SEND_S):
                await self._socket.send_text(text)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            # RuntimeError: uvicorn has begun to close, after a missing pong or an
            # oversized message, and reports it here only.
            return False
        return True


class LiveEndpoint:
    """WebSocket endpoint; called once for each connection."""

    def __init__(
        self,
        latest: LatestView,
        controls: Controls,
        pairing: Pairing,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Send views of `latest`; commands go to `controls`."""
        self._latest = latest
        self._controls = controls
        self._pairing = pairing
        self._now_s = now_s
        self._connections = 0

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one connection until either side ends it."""
        if self._connections >= MAX_SOCKETS:
            sentence = f"{MAX_SOCKETS} pages are open already. Close one of them."
            # Accepted first: browsers hide the response to a refused WebSocket.
            await socket.accept()
            await WebSocketConnection(socket).close(TOO_MANY_OPEN, sentence)
            return
        self._connections += 1
        client = Client(socket.state.login, f"socket {uuid.uuid4()}")
        try:
            await socket.accept()
            await self._serve(WebSocketConnection(socket), client)
        finally:
            self._connections -= 1
            self._controls.leases.release(client.holder)

    async def _serve(self, connection: WebSocketConnection, client: Client) -> None:
        """Send and receive until either ends, then close with its reason."""
        reason = await first_of(
            self._send_views(connection, client), self._receive(connection, client)
        )
        if reason is not None:
            await connection.close(*reason)

    async def _send_views(
        self, connection: WebSocketConnection, client: Client
    ) -> Close | None:
        """Send each new view as long as the login is valid."""
        await self._latest.prepare()
        while self._pairing.is_valid(client.login):
            number = self._latest.number
            if not await connection.send(self._latest.json()):
                return None
            await asyncio.sleep(VIEW_INTERVAL_S)
            await self._latest.wait_newer(number, REPEAT_INTERVAL_S)
        return LOGIN_INVALID, "not paired any more"

    async def _receive(
        self, connection: WebSocketConnection, client: Client
    ) -> Close | None:
        """Execute commands until the socket closes or exceeds its limits."""
        commands = Bucket(COMMAND_RATE, self._now_s())
        refused_left = Bucket(REFUSED_COMMAND_RATE, self._now_s())
        while (message := await connection.receive()) is not None:
            answer = await self._answer(message, client, commands)
            if "error" in answer and not refused_left.may(self._now_s()):
                return POLICY_VIOLATION, "too many refused commands"
            # Most commands are answered by the next view.
            if answer.keys() & {"error", "id"}:
                await connection.send(msgspec.json.encode(answer))
        return None

    async def _answer(
        self, message: str | bytes, client: Client, commands: Bucket
    ) -> Answer:
        try:
            command = from_command(message)
            self._check_pace(command, client, commands)
            return await self._controls.execute(command, client)
        except RequestRefused as refused:
            return {**refused.body, "status": refused.status}

    def _check_pace(
        self, command: AnyRequest, client: Client, commands: Bucket
    ) -> None:
        """Take one command from the rate, which never refuses the end of a talk."""
        is_within = commands.may(self._now_s())
        if not is_within and not self._controls.is_release(command, client):
            sentence = "Too many commands. Wait a second."
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, sentence)


async def first_of(
    *jobs: Coroutine[None, None, Close | None],
) -> Close | None:
    """Run all until one ends, cancel the others, and return its result."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(filter(None, [task.result() for task in done]), None)
