import asyncio
from contextlib import asynccontextmanager

import pytest
import uvicorn

from appliance.tokens.connection import Connection


class Hasty(Connection):
    request_s = 0.05


class Lonely(Connection):
    most = 1


async def answer(_scope, receive, send):
    await receive()
    head = {"type": "http.response.start", "status": 204, "headers": []}
    await send(head)
    await send({"type": "http.response.body"})


@asynccontextmanager
async def serving(protocol):
    """Take connections as the token server does; yield how to make one."""
    config = uvicorn.Config(answer, http=protocol, log_level="error", ws="none")
    config.load()
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    state = server.server_state
    listener = await loop.create_server(
        lambda: protocol(config, state, {}, loop), "127.0.0.1", 0
    )
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield lambda: asyncio.open_connection("127.0.0.1", port)


async def rest(reader):
    """Return what still comes until the other side closes."""
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("start", [b"", b"GET /api/token HTTP/1.1\r\nHost: "])
async def test_who_does_not_ask_is_shown_out(start):
    async with serving(Hasty) as connect:
        reader, writer = await connect()
        writer.write(start)
        assert await rest(reader) == b""
        writer.close()


async def test_who_asks_is_answered_before_being_shown_out():
    async with serving(Hasty) as connect:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await rest(reader)).startswith(b"HTTP/1.1 204")
        writer.close()


async def test_a_crowd_is_not_let_in():
    async with serving(Lonely) as connect:
        _, first = await connect()
        reader, second = await connect()
        assert await rest(reader) == b""
        first.close()
        second.close()
