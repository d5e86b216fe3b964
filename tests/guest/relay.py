"""HTTP proxy through which the guest fetches packages while the project is installed.

The guest's namespace has no way out. The inner half listens there, where apt and pip
are told to find it; the outer half, outside, opens the connections. A socket file
joins them.
"""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.guest.taps import SERVER

PORT = 3128
CHUNK = 1 << 16
CONNECT_S = 20.0


@asynccontextmanager
async def outer(file: Path) -> AsyncIterator[None]:
    """Serve requests that come through the socket file."""
    file.unlink(missing_ok=True)
    async with await asyncio.start_unix_server(_fetch, file):
        yield


@asynccontextmanager
async def inner(file: Path) -> AsyncIterator[None]:
    """Listen in the guest's namespace and pass everything on to the socket file."""

    async def pass_on(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_unix_connection(file)
            await _join(reader, writer, far_reader, far_writer)

    async with await asyncio.start_server(pass_on, SERVER, PORT):
        yield


async def _fetch(reader: StreamReader, writer: StreamWriter) -> None:
    """Open the connection that a request asks for, and join both."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        is_tunnel = method == "CONNECT"
        url = urlsplit(f"//{target}" if is_tunnel else target)
        async with asyncio.timeout(CONNECT_S):
            far = await asyncio.open_connection(url.hostname, url.port or 80)
        if is_tunnel:
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            far[1].write(direct_request(head).encode())
        await _join(reader, writer, *far)
    writer.close()


def direct_request(head: str) -> str:
    """Return the head of a request to a proxy as its server expects it.

    The connection ends after the response, so that no other request comes on it.
    """
    line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = line.split(" ")
    url = urlsplit(target)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    kept = [x for x in fields if not x.lower().startswith(("proxy-", "connection:"))]
    lines = [f"{method} {path} {version}", *kept, "Connection: close", "", ""]
    return "\r\n".join(lines)


async def _join(
    reader: StreamReader,
    writer: StreamWriter,
    far_reader: StreamReader,
    far_writer: StreamWriter,
) -> None:
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
