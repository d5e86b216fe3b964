"""Reverse proxy on loopback that serves the page under a path prefix."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PREFIX = "/rooms/kitchen"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def proxied(box: str) -> AsyncIterator[str]:
    """Serve the box at `host:port` under the prefix; yield the proxy's origin.

    `Host` and `Origin` are passed on as the browser sends them.
    """
    host, port = box.split(":")

    async def serve(reader, writer):
        try:
            request = await request_head(reader)
            if request is None:
                writer.write(NOT_FOUND)
                return
            box_reader, box_writer = await asyncio.open_connection(host, int(port))
            box_writer.write(request)
            await both_ways(reader, writer, box_reader, box_writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def request_head(reader) -> bytes | None:
    """Return the head without the prefix; None for an address outside of it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if f" {PREFIX}/" not in head.partition("\r\n")[0]:
        return None
    head = head.replace(f" {PREFIX}/", " /", 1)
    # One request for each connection, so that only one head has to be changed.
    return re.sub("(?i)connection: keep-alive", "Connection: close", head).encode()


async def both_ways(reader, writer, box_reader, box_writer) -> None:
    """Copy in both directions until either side ends."""
    jobs = {
        asyncio.create_task(copy(reader, box_writer)),
        asyncio.create_task(copy(box_reader, writer)),
    }
    _, open_jobs = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    for job in open_jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    box_writer.close()


async def copy(reader, writer) -> None:
    while content := await reader.read(65536):
        writer.write(content)
        await writer.drain()
