"""HTTP proxy through which the guest fetches packages while the project is installed.

The guest's namespace has no way out. The socket on which the proxy listens is made
there, where apt and pip are told to find it, and handed to this process outside.
"""

import asyncio
import contextlib
import socket
from asyncio import StreamReader, StreamWriter
from urllib.parse import urlsplit

from tests.guest.taps import SERVER

PORT = 3128
CHUNK = 1 << 16
CONNECT_S = 20.0


def offer(way_out: socket.socket) -> None:
    """Listen in this namespace, for the process at the other end of a socket pair."""
    with socket.create_server((SERVER, PORT)) as listener:
        socket.send_fds(way_out, [b"!"], [listener.fileno()])


async def serve(way_in: socket.socket) -> None:
    """Serve the requests that come to the offered socket, until cancelled."""
    _, numbers, _, _ = await asyncio.to_thread(socket.recv_fds, way_in, 1, 1)
    for number in numbers:
        listener = socket.socket(fileno=number)
        async with await asyncio.start_server(_fetch, sock=listener) as server:
            await server.serve_forever()


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
        await asyncio.gather(_copy(reader, far[1]), _copy(far[0], writer))
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


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
