"""Token source that records the time of each request."""

import asyncio
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class RecordingTokenSource:
    """Answers every request on loopback with a fresh token."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        """Return the server's address and the result of `token` to each request."""
        self.asked_s: list[float] = []
        """Monotonic time of the first byte of each request."""
        self.answered_s: list[float] = []
        self._url = url
        self._token = token
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """URL of the token source."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/token"

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the port."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked_s.append(time.monotonic())
        await reader.readexactly(_length(head))
        answer = {"server_url": self._url, "participant_token": self._token()}
        body = json.dumps(answer).encode()
        lines = (
            "HTTP/1.1 200 OK",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        )
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        await writer.drain()
        self.answered_s.append(time.monotonic())
        writer.close()


def _length(head: bytes) -> int:
    lines = head.decode("latin-1").lower().splitlines()
    found = (x.partition(":")[2] for x in lines if x.startswith("content-length:"))
    return int(next(found, "0"))
