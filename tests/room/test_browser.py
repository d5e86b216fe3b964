"""Audio and chat with LiveKit's own client in a real browser."""

import asyncio
import json
import threading
from typing import Any

import pytest
from playwright.async_api import async_playwright

from appliance.core.commands import SendChat
from appliance.core.events import ChatReceived, ChatSent, Participant
from appliance.room.encryption import ENCRYPTED, NOT_ENCRYPTED, OTHER_KEY
from tests.room.conftest import open_box
from tests.room.fakes import DEADLINE_S, amplitude, strongest_hz
from tests.room.livekit_js import HERE, SWITCHES, chromium, livekit_js
from tests.room.test_encryption import all_faults, faults, faults_are, key_file
from tests.room.test_sound import heard

QUIET = 100


@pytest.fixture(scope="session")
def client():
    return livekit_js()


class Friend:
    """Page with a client in the room; its browser runs on a loop of its own."""

    def __init__(self, browser):
        self._browser = browser
        self._page: Any = None

    async def join(self, server, client, identity, key):
        await self._run(self._join(server, client, identity, key))

    async def evaluate(self, code, argument=None):
        return await self._run(self._page.evaluate(code, argument))

    async def until(self, condition):
        await self._run(self._page.wait_for_function(condition))

    async def close(self):
        await self._run(self._page.close())

    async def _run(self, work):
        loop = self._browser.loop
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    async def _join(self, server, client, identity, key):
        self._page = page = await self._browser.running.new_page()
        await page.route(
            "**/worker.js",
            lambda route: route.fulfill(
                path=client.with_name("livekit-client.e2ee.worker.js"),
                content_type="text/javascript",
            ),
        )
        # Any page of a loopback server is a secure context, which WebRTC requires.
        await page.goto(server.url.replace("ws://", "http://"))
        await page.add_script_tag(path=client)
        await page.add_script_tag(path=HERE / "friend.js")
        token = server.token(identity, name=identity.title())
        facts = [server.url, token, key]
        await page.evaluate("([url, token, key]) => join(url, token, key)", facts)


class Browser:
    """Chromium that is started once: each test has a loop of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.running = None
        self._is_up = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(
            target=self.loop.run_until_complete, args=[self._run()]
        )

    def __enter__(self):
        self._thread.start()
        assert self._is_up.wait(DEADLINE_S)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self.loop.close()

    async def _run(self):
        async with async_playwright() as playwright:
            self.running = await playwright.chromium.launch(
                executable_path=chromium(), args=SWITCHES
            )
            self._is_up.set()
            await self._end.wait()
            await self.running.close()


@pytest.fixture(scope="module")
def browser():
    with Browser() as running:
        yield running


@pytest.fixture
async def join(server, client, browser):
    """Function that adds a page with a client to the room."""
    friends = []

    async def join(identity, key=None):
        friends.append(Friend(browser))
        await friends[-1].join(server, client, identity, key)
        return friends[-1]

    yield join
    for friend in friends:
        await friend.close()


@pytest.fixture
async def friend(join):
    return await join("ann")


async def is_heard(box, hz):
    """Wait until the box plays this tone."""
    async with asyncio.timeout(DEADLINE_S):
        while abs(strongest_hz(await heard(box)) - hz) > 10:
            pass


async def test_a_browser_and_the_box_hear_each_other(server, box, friend):
    await friend.evaluate("say(700)")
    joined = await box.join(server)
    assert joined.people == (Participant("ann", "Ann"),)
    await is_heard(box, 700)
    await friend.until("Math.abs(strongestHz() - 440) < 10")


async def test_a_browser_and_the_box_read_each_other_once(server, box, friend):
    await box.join(server)
    first = await friend.evaluate("write('hello')")
    await friend.evaluate("write('again')")
    messages = [(await box.until(ChatReceived)).message for _ in range(2)]
    assert [message.text for message in messages] == ["hello", "again"]
    assert (messages[0].id, messages[0].sender_name) == (first, "Ann")

    box.room.do(SendChat(1, "line-1", "good morning", 5))
    await box.until(ChatSent)
    await friend.until("heard.packets.length && heard.streams.length")
    heard = await friend.evaluate("({streams: heard.streams, packets: heard.packets})")
    assert heard["streams"] == [{"from": "box", "id": "line-1", "text": "good morning"}]
    (packet,) = heard["packets"]
    assert (packet["from"], packet["topic"]) == ("box", "lk-chat-topic")
    shape = json.loads(packet["text"])
    assert (shape["id"], shape["message"]) == ("line-1", "good morning")
    # The flag by which LiveKit's own chat ignores the second copy.
    assert shape["ignoreLegacy"] is True
    received = [event for event in box.events if isinstance(event, ChatReceived)]
    assert len(received) == 2


async def test_files_from_a_browser_are_mentioned_once(server, box, friend):
    await box.join(server)
    for text, expected in ("", "sent a file"), ("look", "look\nsent a file"):
        await friend.evaluate("text => writeWithFile(text)", text)
        assert (await box.until(ChatReceived)).message.text == expected
    await friend.evaluate("write('bye')")
    assert (await box.until(ChatReceived)).message.text == "bye"


async def test_a_browser_with_the_same_key_and_the_box_hear_and_read_each_other(
    server, join, tmp_path, encrypted
):
    async with open_box(encrypted(key_file(tmp_path, "swordfish"))) as box:
        friend = await join("ann", "swordfish")
        await friend.evaluate("say(700)")
        await box.join(server)
        await is_heard(box, 700)
        await friend.until("Math.abs(strongestHz() - 440) < 10")
        await friend.evaluate("write('hello')")
        assert (await box.until(ChatReceived)).message.text == "hello"
        box.room.do(SendChat(1, "line-1", "good morning", 5))
        await friend.until("heard.streams.length")
        (line,) = await friend.evaluate("heard.streams")
        assert line["text"] == "good morning"
        assert all_faults(box) == []


async def test_a_browser_with_another_key_is_silent_and_named_until_it_has_ours(
    server, join, tmp_path, encrypted
):
    async with open_box(encrypted(key_file(tmp_path, "swordfish"))) as box:
        friend = await join("ann", "tuna")
        await box.join(server)
        # Not before: who speaks steadily then is not named by the server.
        await friend.evaluate("say(700)")
        await faults_are(box, {"ann": OTHER_KEY})
        assert amplitude(await heard(box)) < QUIET
        assert await friend.evaluate("strongestHz()") == 0
        await friend.evaluate("keys.setKey('swordfish')")
        await faults_are(box, {})
        await is_heard(box, 700)
        await friend.until("Math.abs(strongestHz() - 440) < 10")


async def test_a_browser_that_encrypts_is_named_and_not_played_by_a_box_without_a_key(
    server, join, box
):
    friend = await join("ann", "swordfish")
    other = await join("bob")
    await friend.evaluate("say(700)")
    await other.evaluate("say(1100)")
    joined = await box.join(server)
    assert faults(joined) == {"ann": ENCRYPTED}
    await is_heard(box, 1100)


async def test_a_browser_without_a_key_in_an_encrypted_room_is_named(
    server, join, tmp_path, encrypted
):
    async with open_box(encrypted(key_file(tmp_path, "swordfish"))) as box:
        friend = await join("ann")
        await friend.evaluate("say(700)")
        assert faults(await box.join(server)) == {"ann": NOT_ENCRYPTED}
        await friend.evaluate("room.disconnect()")
        await faults_are(box, {})
