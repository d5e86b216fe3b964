"""Fake node: each connection is answered with prepared bytes."""

import asyncio
import re

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

CLOSE = 0x80 | Opcode.CLOSE
"""First byte of a frame that ends the connection."""


class FakeNode:
    """Server on loopback that records every head, and stops and starts again."""

    def __init__(
        self, answers=None, begin=b"", *, is_short=False, keeps=False, tls=None
    ):
        self.answers = answers or {}
        """Path without its query → bytes of the answer; others get 101."""
        self.begin = begin
        """Sent directly behind the 101."""
        self.is_short = is_short
        """Whether it closes after that."""
        self.keeps = keeps
        """Whether it leaves the connection open after a prepared answer, and after the
        other side's Close."""
        self.tls = tls
        self.heads = []
        self.closed: asyncio.Queue[None] = asyncio.Queue()
        """One entry for each connection that the other side closed."""
        self.writers = []
        self.port = 0
        self._server = None
        self._serving = set()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    async def start(self):
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def hang_up(self):
        for writer in self.writers:
            writer.close()

    def send(self, raw):
        self.writers[-1].write(raw)

    async def _serve(self, reader, writer):
        self._serving.add(asyncio.current_task())
        self.writers.append(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            path = head.split()[1].partition(b"?")[0].decode()
            if path in self.answers:
                writer.write(self.answers[path])
                if self.keeps:
                    await reader.read()
                    self.closed.put_nowait(None)
            else:
                writer.write(switching(head) + self.begin)
                while not self.is_short and (data := await reader.read(65_536)):
                    if data[0] == CLOSE and not self.keeps:
                        break
                self.closed.put_nowait(None)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed.put_nowait(None)
        finally:
            writer.close()


def switching(head):
    """Return the answer that accepts a WebSocket."""
    key = re.search(r"Sec-WebSocket-Key: (\S+)", head.decode(), re.IGNORECASE)
    accept = accept_key(key[1]) if key else "x"
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )


def frame(data, opcode=Opcode.BINARY, *, fin=True):
    """Return a frame as a server sends it."""
    return Frame(opcode, data, fin).serialize(mask=False)


def http(status, body=b"", *headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
