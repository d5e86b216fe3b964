"""WebSocket of the page: sends each new view, receives commands."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from appliance.net.rate_limit import Bucket, Rate
from appliance.page.controls import Answer, Client, Controls
from appliance.page.messages import LatestView, RequestRefused, from_command
from appliance.page.pairing import Pairing

MAX_SOCKETS = 16
"""Open at once; our choice: a handful of phones show the page of a box."""
VIEW_INTERVAL_S = 0.1
"""Interval of views: ten a second are enough for level meters."""
REPEAT_INTERVAL_S = 5.0
"""A view is sent at least this often, so that the page detects a lost connection."""
COMMAND_RATE = Rate(burst=60, per_s=20)
"""Rate of commands beyond which the socket is closed; a slider sends ten a second."""

POLICY_VIOLATION = 1008
LOGIN_INVALID = 4401
"""Makes the page open the pairing form; 4000-4999 are for applications."""
TOO_MANY_OPEN = 4503
"""Makes the page show the reason."""
CLOSED = (WebSocketDisconnect, RuntimeError)
"""Exceptions of sending on a closed connection. RuntimeError: uvicorn has begun to
close, after a missing pong or an oversized message, or we have."""


@dataclass(slots=True)
class LiveEndpoint:
    """WebSocket `/api/live`; called once for each connection."""

    latest: LatestView
    controls: Controls
    pairing: Pairing
    now_s: Callable[[], float] = time.monotonic
    connections: int = 0

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one connection until either side ends it."""
        # Also one beyond the limit: browsers hide the response to a refused WebSocket.
        await socket.accept()
        if self.connections >= MAX_SOCKETS:
            sentence = f"{MAX_SOCKETS} pages are open already. Close one of them."
            await _close(socket, TOO_MANY_OPEN, sentence)
            return
        self.connections += 1
        client = Client(socket.state.login, f"socket {uuid.uuid4()}")
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send_views(socket, client))
                await self._receive(socket, client)
                sending.cancel()
        finally:
            self.connections -= 1
            self.controls.leases.release(client)

    async def _send_views(self, socket: WebSocket, client: Client) -> None:
        """Send each new view as long as the login is valid."""
        await self.latest.prepare()
        while self.pairing.is_valid(client.login):
            view = self.latest.view
            if not await _send(socket, self.latest.json()):
                return
            await asyncio.sleep(VIEW_INTERVAL_S)
            await self.latest.wait_newer(view, REPEAT_INTERVAL_S)
        await _close(socket, LOGIN_INVALID, "not paired any more")

    async def _receive(self, socket: WebSocket, client: Client) -> None:
        """Execute commands up to the end of the connection, and close it at a flood.

        What a client sent before it closed is executed, too: the end of the connection
        comes after its messages.
        """
        commands = Bucket(COMMAND_RATE, self.now_s())
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            if not commands.may(self.now_s()):
                await _close(socket, POLICY_VIOLATION, "too many commands")
                return
            content = message.get("text") or message.get("bytes") or b""
            answer = self._answer(content, client)
            # The app handles the event now: a command that has arrived together with
            # this one, such as a press after unmuting, is checked against the new view.
            await asyncio.sleep(0)
            # Most commands are answered by the next view.
            if answer.keys() & {"error", "id"}:
                await _send(socket, msgspec.json.encode(answer))

    def _answer(self, message: str | bytes, client: Client) -> Answer:
        try:
            return self.controls.execute(from_command(message), client)
        except RequestRefused as refused:
            return {**refused.body, "status": refused.status}


async def _send(socket: WebSocket, content: bytes) -> bool:
    """Send one message, and return whether the connection is still open."""
    try:
        await socket.send_text(content.decode())
    except CLOSED:
        return False
    return True


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    """Close the connection if it is still open."""
    with contextlib.suppress(*CLOSED):
        await socket.close(code, reason)
