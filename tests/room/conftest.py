"""A real LiveKit server, friends in its room, and a box."""

import asyncio
import time
from contextlib import asynccontextmanager

import jwt
import pytest
from livekit import rtc

from appliance.config import ChatConfig, Config, RoomConfig
from appliance.core.commands import JoinRoom, LeaveRoom
from appliance.core.events import ConnectionDetails, RoomJoined, RoomLeft
from appliance.demo.livekit_server import LocalServer, find_or_build
from appliance.room.adapter import LiveKitRoom
from tests.loopback import http_client
from tests.room.fakes import DEADLINE_S, FakeFeed, FakePlayback
from tests.room.friend import Friend


@pytest.fixture(scope="session")
def binary():
    return find_or_build(print)


class Server(LocalServer):
    def token(self, identity, *, key=None, secret=None, name="", kind=None, **grants):
        now_s = int(time.time())
        claims = {
            "iss": key or self.api_key,
            "sub": identity,
            "name": name,
            "nbf": now_s - 10,
            "exp": now_s + 600,
            "video": {"roomJoin": True, "room": "kitchen"} | grants,
        }
        if kind is not None:
            claims["kind"] = kind
        return jwt.encode(claims, secret or self.api_secret, "HS256")

    def friend(self, identity, options=None, *, listens=True, **claims):
        token = self.token(identity, **claims)
        return Friend(self.url, token, options or rtc.RoomOptions(listens))


async def administer(server, method, **more):
    token = server.token("admin", roomAdmin=True, roomCreate=True)
    url = server.url.replace("ws://", "http://")
    async with http_client() as client:
        answer = await client.post(
            f"{url}/twirp/livekit.RoomService/{method}",
            json={"room": "kitchen"} | more,
            headers={"Authorization": f"Bearer {token}"},
        )
    assert answer.is_success, answer.text


@pytest.fixture
async def server(binary):
    async with Server(binary) as running:
        yield running


def join_room(ticket, url, token, preset=None, **facts):
    """Return the command to join with this token."""
    return JoinRoom(ticket, ConnectionDetails(url, token, "box", **facts), preset)


class RoomHarness:
    """The adapter and everything it posted."""

    def __init__(self, feed, config=None, playback=None):
        self.feed = feed
        self.playback = playback or FakePlayback()
        self.events = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._seen = 0
        self.room = LiveKitRoom(
            config or Config(), self._post, self.feed, self.playback
        )

    @property
    def sdk_room(self):
        """Room object of the SDK in the current session."""
        assert self.room.session is not None
        return self.room.session.room

    def _post(self, event):
        self._loop.call_soon_threadsafe(self._note, event)

    def _note(self, event):
        self.events.append(event)
        self._changed.set()

    async def until(self, kind, is_it=lambda _: True):
        """Return the next event of this kind after the last one returned."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                while self._seen < len(self.events):
                    event = self.events[self._seen]
                    self._seen += 1
                    if isinstance(event, kind) and is_it(event):
                        return event
                self._changed.clear()
                await self._changed.wait()

    async def until_newest(self, kind, is_it):
        """Wait until the newest event of this kind is so, wherever it is in the order.

        The order of different kinds is the server's: a muted track comes 3 s late.
        """
        async with asyncio.timeout(DEADLINE_S):
            while True:
                of_kind = [event for event in self.events if isinstance(event, kind)]
                if of_kind and is_it(of_kind[-1]):
                    return
                self._changed.clear()
                await self._changed.wait()

    async def join(self, server, ticket=1, identity="box", **claims):
        token = server.token(identity, **claims)
        self.room.do(join_room(ticket, server.url, token))
        return await self.until(RoomJoined)

    async def talker(self):
        """Wait for the one talker, and return it."""
        await self.playback.count(1)
        (talker,) = self.playback.talkers
        return talker

    async def leave(self, ticket=1):
        self.room.do(LeaveRoom(ticket))
        return await self.until(RoomLeft)


@asynccontextmanager
async def open_box(config=None, hz=440, playback=None):
    with FakeFeed(hz) as feed:
        box = RoomHarness(feed, config, playback)
        async with box.room:
            yield box


@pytest.fixture
async def box():
    async with open_box() as open_:
        yield open_


@pytest.fixture
def plain():
    return lambda is_plain: Config(
        chat=ChatConfig(format="plain" if is_plain else "auto")
    )


@pytest.fixture
def encrypted():
    return lambda path: Config(room=RoomConfig(encryption_key_file=path))
