"""One WebSocket, with every way it can end reduced to one."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

SEND_S = 5.0
"""A phone that does not take a message for so long is dropped."""


class Line:
    """Sends and receives; after any failure it is closed, and says so by its answers.

    Thread: the loop's; several tasks may use it at once.
    """

    def __init__(self, socket: WebSocket) -> None:
        """Use a socket that is accepted."""
        self._socket = socket
        self._turn = asyncio.Lock()
        self._is_open = True

    async def send(self, content: bytes) -> bool:
        """Send one message, and return whether the line is still open."""
        async with self._turn:
            if self._is_open:
                self._is_open = await self._sent(content.decode())
            return self._is_open

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when there will be none."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self._is_open = False
            return None
        return message.get("text") or message.get("bytes") or b""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, if anybody is still there."""
        async with self._turn:
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
            # RuntimeError: uvicorn has begun to close, for a lost ping or a message
            # that was too long, and does not say so before.
            return False
        return True
