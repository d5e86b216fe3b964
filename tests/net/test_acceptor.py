"""The acceptor, with each error of accept()."""

import asyncio
import errno
import socket
from contextlib import closing

import pytest

from appliance.net.http_server import FROM_NETWORK, NO_RESOURCE, Acceptor
from tests.net.hostile import WIDE


class Failing(socket.socket):
    """A listening socket whose first accept() fails; notes that it did."""

    def __init__(self, number):
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen()
        self.number = number
        self.has_failed = False

    def accept(self):
        if self.has_failed:
            return super().accept()
        self.has_failed = True
        raise OSError(self.number, "as a test wants it")


class Greeting(asyncio.Protocol):
    def connection_made(self, transport):
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.parametrize(
    "number", sorted(FROM_NETWORK | NO_RESOURCE), ids=errno.errorcode.get
)
async def test_an_error_of_accept_does_not_end_the_server(number):
    with Failing(number) as listening:
        with closing(Acceptor(listening, lambda _: Greeting(), WIDE)):
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection(*listening.getsockname())
                assert await reader.read() == b"hello"
        assert listening.has_failed
        writer.close()
        await writer.wait_closed()


async def test_closing_twice_and_during_a_pause_is_allowed():
    with Failing(errno.EMFILE) as listening:
        acceptor = Acceptor(listening, lambda _: Greeting(), WIDE)
        _, writer = await asyncio.open_connection(*listening.getsockname())
        while not listening.has_failed:
            await asyncio.sleep(0)
        acceptor.close()
        acceptor.close()
        writer.close()
        await writer.wait_closed()
