"""Limits on connections and requests, and the acceptor with each error of accept()."""

import asyncio
import errno
import gc
import logging
import socket
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import uvicorn
from starlette.responses import Response

from appliance.net import http_server
from appliance.net.http_server import (
    HEAD_BYTES,
    BoundedServer,
    HttpProtocol,
    RateLimited,
    ServerLimits,
)
from appliance.net.rate_limit import Rate, RateLimit
from appliance.process.logs import LogLimit
from tests.net.hostile import MANY, WIDE, Target, status_of, unlimited

REFUSAL = Response("wait", 429, {"connection": "close"})
LIMITS = ServerLimits(connections=WIDE, requests=unlimited(), refusal=REFUSAL)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BACKLOG = 33
NEVER = 1e-9
"""A rate per second so low that no test sees a bucket refill."""


class Application:
    """Answers 204, and counts."""

    def __init__(self):
        self.asked = 0

    async def __call__(self, _scope, receive, send):
        self.asked += 1
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


@asynccontextmanager
async def serving(listening=None, **changes):
    """Serve on loopback; yield address and application."""
    limits, app = replace(LIMITS, **changes), Application()
    config = uvicorn.Config(
        RateLimited(app, limits),
        lifespan="off",
        log_config=None,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws="none",
    )
    listening = listening or socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listening.setblocking(False)
    async with BoundedServer(config, limits).serving(listening):
        assert backlog(listening) == BACKLOG
        yield Target(*listening.getsockname()), app


def backlog(listening):
    """Return the size of the backlog. Source: tcp_get_info() in Linux."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return struct.unpack_from("=I", info, 28)[0]


async def connected(target, source="127.0.0.1"):
    return await asyncio.open_connection(
        target.host, target.port, local_addr=(source, 0)
    )


async def rest(connection):
    """Return the data up to the end of the connection."""
    reader, writer = connection
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        await close(writer)


async def close(writer):
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("start", [b"", b"GET /api/token HTTP/1.1\r\nHost: "])
async def test_a_connection_without_a_request_is_closed(start):
    async with serving(request_s=0.05) as (target, _):
        reader, writer = await connected(target)
        writer.write(start)
        assert await rest((reader, writer)) == b""


async def test_a_request_is_answered_before_its_connection_is_closed():
    async with serving(request_s=0.05) as (target, _):
        reader, writer = await connected(target)
        writer.write(GET)
        assert (await rest((reader, writer))).startswith(b"HTTP/1.1 204")


async def test_a_request_without_end_does_not_delay_the_end_of_the_server(monkeypatch):
    monkeypatch.setattr(http_server, "SHUTDOWN_S", 0.01)
    async with asyncio.timeout(30):
        async with serving(request_s=3600) as (target, app):
            reader, writer = await connected(target)
            writer.write(GET[:-2] + b"Content-Length: 1\r\n\r\n")
            while not app.asked:
                await asyncio.sleep(0.01)
        assert await rest((reader, writer)) == b""


async def test_connections_beyond_the_total_are_closed():
    limits = replace(WIDE, total=1)
    async with serving(connections=limits) as (target, _):
        first = await connected(target)
        assert await rest(await connected(target, "127.0.0.2")) == b""
        await close(first[1])


async def test_one_address_cannot_take_every_connection():
    limits = replace(WIDE, total=3, each=2)
    async with serving(connections=limits) as (target, _):
        taken = [await connected(target) for _ in range(2)]
        assert await rest(await connected(target)) == b""
        assert await status_of(target, "/", "127.0.0.2") == 204
        for _, writer in taken:
            await close(writer)


async def test_connections_beyond_the_rate_of_one_address_are_closed():
    limits = replace(WIDE, rate_each=Rate(burst=3, per_s=NEVER))
    async with serving(connections=limits) as (target, _):
        for _ in range(3):
            assert await status_of(target, "/") == 204
        assert await rest(await connected(target)) == b""
        assert await status_of(target, "/", "127.0.0.2") == 204


async def test_connections_beyond_the_rate_of_all_addresses_are_closed():
    limits = replace(WIDE, rate=Rate(burst=3, per_s=NEVER))
    async with serving(connections=limits) as (target, _):
        for number in range(2, 5):
            assert await status_of(target, "/", f"127.0.0.{number}") == 204
        assert await rest(await connected(target, "127.0.0.9")) == b""


@pytest.mark.parametrize(
    "limits",
    [replace(WIDE, rate_each=Rate(burst=1, per_s=NEVER)), replace(WIDE, each=1)],
    ids=["rate", "open at once"],
)
async def test_a_refused_connection_is_reported_with_its_address(limits):
    refused = list[str]()
    changes = {"connections": limits, "on_refused": refused.append}
    async with serving(**changes) as (target, _):
        first = await connected(target)
        assert await status_of(target, "/", "127.0.0.2") == 204
        assert refused == []
        assert await rest(await connected(target)) == b""
        await close(first[1])
    assert refused == ["127.0.0.1"]


async def test_a_flood_of_connections_writes_one_line(caplog):
    caplog.set_level(logging.INFO)
    limits = replace(WIDE, rate_each=Rate(burst=1, per_s=NEVER))
    async with serving(connections=limits) as (target, _):
        assert await status_of(target, "/") == 204
        for _ in range(50):
            assert await rest(await connected(target)) == b""
    lines = [each for each in caplog.messages if "refused" in each]
    assert lines == ["connection refused"]


async def test_requests_beyond_the_rate_are_refused_and_never_reach_the_application():
    requests, refused = RateLimit(Rate(burst=2, per_s=NEVER), MANY), list[str]()
    limits = {"requests": requests, "on_refused": refused.append}
    async with serving(**limits) as (target, app):
        reader, writer = await connected(target)
        for _ in range(3):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
        assert b" 429 " in head
        assert await rest((reader, writer)) == b"wait"
        assert await status_of(target, "/") == 429
        assert await status_of(target, "/", "127.0.0.2") == 204
        assert app.asked == 3
    assert refused == ["127.0.0.1", "127.0.0.1"]


async def test_a_client_beyond_the_rate_is_refused_before_its_headers_are_read():
    requests = RateLimit(Rate(burst=1, per_s=NEVER), MANY)
    async with serving(requests=requests) as (target, app):
        assert await status_of(target, "/") == 204
        reader, writer = await connected(target)
        writer.write(b"G")
        assert (await rest((reader, writer))).startswith(b"HTTP/1.1 429 ")
        assert app.asked == 1


async def test_many_requests_in_one_segment_count_one_by_one():
    requests, refused = RateLimit(Rate(burst=2, per_s=NEVER), MANY), list[str]()
    limits = {"requests": requests, "on_refused": refused.append}
    async with serving(**limits) as (target, app):
        reader, writer = await connected(target)
        writer.write(GET * 100)
        answers = await rest((reader, writer))
        assert (answers.count(b" 204 "), answers.count(b" 429 ")) == (2, 1)
        assert app.asked == 2
    assert refused == ["127.0.0.1"]


async def test_malformed_requests_write_one_line(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(http_server, "_log_limit", LogLimit(1))
    async with serving() as (target, _):
        for _ in range(3):
            reader, writer = await connected(target)
            writer.write(b"\0\r\n\r\n")
            assert await rest((reader, writer)) == b""
    lines = [each for each in caplog.messages if "malformed" in each]
    assert lines == ["connection closed for malformed input"]


async def test_a_head_that_is_too_long_is_refused():
    async with serving() as (target, app):
        reader, writer = await connected(target)
        writer.write(GET[:-2] + b"Cookie: " + b"x" * 60_000)
        assert (await rest((reader, writer)))[:12] in {b"HTTP/1.1 400", b""}
        assert app.asked == 0


async def test_a_body_without_end_is_cut_off():
    async with serving(request_s=0.05) as (target, _):
        _, writer = await connected(target)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                while True:
                    writer.write(b"1\r\nx\r\n")
                    await writer.drain()
                    await asyncio.sleep(0)
        await close(writer)


class Failing(socket.socket):
    """A listening socket whose first accept() fails; notes that it did."""

    def __init__(self, number):
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen(BACKLOG)
        self.number = number
        self.has_failed = False

    def accept(self):
        if self.has_failed:
            return super().accept()
        self.has_failed = True
        raise OSError(self.number, "as a test wants it")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.EPROTO])
async def test_an_error_of_accept_does_not_end_the_server(number, monkeypatch):
    monkeypatch.setattr(http_server, "FAILED_S", 0.1)
    listening = Failing(number)
    async with serving(listening) as (target, _):
        assert await status_of(target, "/") == 204
    assert listening.has_failed


async def test_nothing_of_a_closed_connection_stays_in_memory():
    async with serving() as (target, _):
        for _ in range(5):
            assert await status_of(target, "/") == 204
        # The server notices the end of the last connection in a later iteration.
        for _ in range(100):
            await asyncio.sleep(0)
        gc.collect()
        left = [x for x in gc.get_objects() if isinstance(x, HttpProtocol)]
        assert [x for x in left if x.transport.is_closing()] == []
