"""Audio and chat with LiveKit's own client in a real browser."""

import asyncio
import json

import pytest
from playwright.async_api import async_playwright

from appliance.core.commands import SendChat
from appliance.core.events import ChatReceived, ChatSent, Participant
from tests.room.fakes import strongest_hz
from tests.room.livekit_js import HERE, SWITCHES, chromium, livekit_js


@pytest.fixture(scope="session")
def client():
    return livekit_js()


@pytest.fixture
async def friend(server, client):
    """Page with a client that has joined the room."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=SWITCHES
        )
        page = await browser.new_page()
        # Any page of a loopback server is a secure context, which WebRTC requires.
        await page.goto(server.url.replace("ws://", "http://"))
        await page.add_script_tag(path=client)
        await page.add_script_tag(path=HERE / "friend.js")
        token = server.token("ann", name="Ann")
        await page.evaluate("([url, token]) => join(url, token)", [server.url, token])
        yield page
        await browser.close()


async def test_a_browser_and_the_box_hear_each_other(server, box, friend):
    await friend.evaluate("say(700)")
    joined = await box.join(server)
    assert joined.people == (Participant("ann", "Ann"),)
    talker = await box.talker()
    await asyncio.to_thread(box.playback.sound, talker, 1.0)
    sound = await asyncio.to_thread(box.playback.sound, talker, 1.0)
    assert abs(strongest_hz(sound) - 700) < 10
    await friend.wait_for_function("Math.abs(strongestHz() - 440) < 10")


async def test_a_browser_and_the_box_read_each_other_once(server, box, friend):
    await box.join(server)
    first = await friend.evaluate("write('hello')")
    await friend.evaluate("write('again')")
    messages = [(await box.until(ChatReceived)).message for _ in range(2)]
    assert [message.text for message in messages] == ["hello", "again"]
    assert (messages[0].id, messages[0].sender_name) == (first, "Ann")

    box.room.do(SendChat(1, "line-1", "good morning", 5))
    await box.until(ChatSent)
    await friend.wait_for_function("heard.packets.length && heard.streams.length")
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
