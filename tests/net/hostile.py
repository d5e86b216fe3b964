"""Hostile clients: malformed HTTP and WebSocket traffic, mutated from known vectors."""

import asyncio
import random
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from appliance.net.http_server import ConnectionLimits
from appliance.net.rate_limit import Rate, RateLimit

AT_ONCE = 48
WAIT_S = 0.03
"""Wait for a response before the next segment."""
MANY = Rate(burst=1_000_000, per_s=1_000_000)
WIDE = ConnectionLimits(total=400, each=400, rate=MANY, rate_each=MANY)
"""Lets every connection through, so that its bytes reach the parsers."""

Segments = list[bytes]

TOKENS = (
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"ZZ\r\n", b"0\r\n\r\n", b"5\r\nabcde\r\n"),
    *(
        b"\xff" * 4,
        b" HTTP/1.1\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"HEAD "),
    *(b"Connection: close\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"),
    *(
        b"\x88\x80\0\0\0\0",
        b"\x81\xfe\xff\xff",
        b"\xf1\x80\0\0\0\0",
        b"\x80\x80\0\0\0\0",
    ),
    *(b"X: " + b"y" * 20_000 + b"\r\n", b"%00%ff", b"FFFFFFFFFFFFFFFFF\r\n"),
)


def unlimited() -> RateLimit:
    return RateLimit(MANY, MANY)


def seeds(host: str, post: str, page: str, secret: str = "") -> list[Segments]:
    """Return inputs that crashed a server once, and valid traffic of each kind.

    Args:
        host: for the `Host` header.
        post: a path that takes a body.
        page: a path with a long answer.
        secret: a bearer token, where there is one.
    """
    own = f"Host: {host}\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    key = f"Authorization: Bearer {secret}\r\n".encode() if secret else b""
    upgrade = (
        b"GET /api/live HTTP/1.1\r\n" + own + b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    to = post.encode()
    get = b"GET " + page.encode() + b" HTTP/1.1\r\n" + own
    return [
        [b"HEAD / HTTP/1.1\r\nHost: x\r\n" + chunked + b"Z\r\n"],
        [b"POST " + to + b" HTTP/1.1\r\n" + own + chunked, b"ZZ\r\n"],
        [b"GET /health HTTP/1.1\r\nHost: x\r\n" + chunked, b"ZZ\r\n"],
        [b"POST " + to + b" HTTP/1.1\r\n" + own + chunked + b"5\r\nab", b"Z\r\n"],
        [(get + b"\r\n") * 60 + get + chunked + b"ZZ\r\n"],
        [get + b"\r\n", b"\0\0\0", get],
        [upgrade + b"\r\n" + b"\xff\xff\xff\xff", b"\xff\xff"],
        [upgrade + key + b"\r\n", b"\xff\xff\xff\xff"],
        [
            upgrade + key + b"\r\n",
            frame(b'{"do": "talk", "on": true}'),
            b"\x88\x80abcd",
        ],
        [upgrade + key + b"\r\n", frame(b"\xff\xfe"), frame(b"{}")],
        [upgrade + key + b"\r\n", frame(b"x", opcode=0), frame(b"", opcode=9)],
        [b"POST " + to + b" HTTP/1.1\r\n" + own + key + b"Content-Length: 2\r\n\r\n{}"],
        [b"POST " + to + b" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + chunked],
        [b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + b"CONNECT a:1 HTTP/1.1\r\n\r\n"],
        [b"GET /health HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n" + own + key + b"\r\n"],
    ]


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return a masked WebSocket frame; the mask is zero."""
    return struct.pack("!BB4x", 0x80 | opcode, 0x80 | len(payload)) + payload


def mutated(rng: random.Random, known: Sequence[Segments]) -> Segments:
    """Return one of the seeds, changed in up to four places."""
    segments = list(rng.choice(known))
    for _ in range(rng.randrange(5)):
        place = rng.randrange(len(segments))
        segments[place : place + 1] = changed(rng, segments[place], known)
    return segments


def changed(rng: random.Random, old: bytes, known: Sequence[Segments]) -> Segments:
    at = rng.randrange(len(old) + 1)
    end = min(len(old), at + rng.randrange(1, 20))
    ways: tuple[Segments, ...] = (
        [old[:at] + rng.choice(TOKENS) + old[at:]],
        [old[:at] + old[end:]],
        [old[:at] + old[at:end] * rng.randrange(2, 50) + old[end:]],
        [old[:at] + rng.randbytes(end - at) + old[end:]],
        [old[:at], old[at:]],
        [old, *rng.choice(known)],
        [old + b"".join(rng.choice(known))],
    )
    return rng.choice(ways)


@dataclass(frozen=True, slots=True)
class Target:
    """A server on loopback."""

    host: str
    port: int


async def assault(target: Target, known: Sequence[Segments], count: int) -> None:
    """Make this many hostile connections, the same in each run."""
    rng = random.Random(7)
    cases = iter([(rng.random(), mutated(rng, known)) for _ in range(count)])

    async def worker() -> None:
        for ending, segments in cases:
            await attack(target, segments, ending)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def attack(target: Target, segments: Segments, ending: float) -> None:
    """Send the segments, and end in one of four ways.

    Args:
        target: whom.
        segments: every second attack waits for an answer after each.
        ending: 0 to 1; chooses how the connection ends.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as connection, suppress(OSError):
        connection.setblocking(False)
        if ending > 0.5:
            # Does not read, so that responses fill the server's buffers.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        await loop.sock_connect(connection, (target.host, target.port))
        for segment in segments:
            await sent(connection, segment)
            if ending < 0.5:
                await heard(connection)
        if ending < 0.3:
            # Ends by a reset instead of an orderly close.
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        elif ending < 0.7:
            connection.shutdown(socket.SHUT_WR)
            await heard(connection)


async def sent(connection: socket.socket, segment: bytes) -> None:
    """Send the data, or as much of it as the server accepts."""
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with asyncio.timeout(10 * WAIT_S):
            await loop.sock_sendall(connection, segment)


async def heard(connection: socket.socket) -> bytes:
    """Return the data that arrives within a short time."""
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            return await loop.sock_recv(connection, 65_536)
    return b""


async def status_of(target: Target, path: str, source: str = "127.0.0.1") -> int:
    """Send a valid request, and return the status; 0: the connection was closed."""
    head = f"GET {path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n\r\n"
    line = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(
                target.host, target.port, local_addr=(source, 0)
            )
            writer.write(head.encode())
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
    return int(line.split()[1]) if line else 0
