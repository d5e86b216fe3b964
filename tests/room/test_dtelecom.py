"""A box in a room of dTelecom: a real LiveKit server that answers as a node does.

This proves what the box does with a node's messages; it does not prove dTelecom's SFU.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from livekit import rtc
from playwright.async_api import async_playwright

from appliance.core.commands import SendChat
from appliance.core.events import (
    Cause,
    ChatReceived,
    ChatSent,
    RoomFailed,
    RoomJoined,
    RoomLost,
    RoomPaused,
    RoomResumed,
)
from appliance.dtelecom import relay
from appliance.dtelecom.relay import SignalFilter
from appliance.room import connection
from tests.dtelecom import keys
from tests.dtelecom.conftest import NPM
from tests.dtelecom.fake_node import FakeNode
from tests.dtelecom.real_node import ROOM_KEY, Node, answer, response_of_fork
from tests.npm import installed
from tests.room.conftest import join_room, open_box
from tests.room.fakes import DEADLINE_S
from tests.room.livekit_js import SWITCHES
from tests.room.test_browser import is_heard
from tests.room.test_permissions import permissions_are, permit
from tests.room.test_sound import comes, heard, listened


@pytest.fixture
async def node(server):
    async with Node(server) as running:
        yield running


@asynccontextmanager
async def joined_box(node, config=None):
    async with open_box(config) as box:
        box.room.do(join_room(1, node.url, keys.token("box"), is_dtelecom=True))
        box.joined = await box.until(RoomJoined)
        yield box


async def test_the_sdk_alone_still_cannot_join_a_node(node):
    """If this fails, the SDK understands nodes: the relay can be removed."""
    join = [sys.executable, "-m", "tests.dtelecom.join_alone", node.url]
    process = await asyncio.create_subprocess_exec(
        *join, keys.token("alone"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    async with asyncio.timeout(DEADLINE_S):
        # Some versions of the SDK abort the process in place of an error.
        assert await process.wait() in {3, -6}
    assert any(ROOM_KEY.encode() in message for message in node.sent)


async def test_a_box_on_a_node_hears_and_is_heard(server, node):
    async with server.friend("ann", name="Ann") as friend, joined_box(node) as box:
        assert box.joined.room == "kitchen"
        assert [person.name for person in box.joined.people] == ["Ann"]
        await friend.say(700)
        assert await comes(heard, box, 700)
        assert await comes(listened, friend, 440)
    assert any(ROOM_KEY.encode() in message for message in node.sent)


async def test_chat_on_a_node_is_one_packet_that_everybody_reads(server, node):
    async with server.friend("ann", name="Ann") as friend, joined_box(node) as box:
        box.room.do(SendChat(1, "line-1", "good morning", 5))
        await box.until(ChatSent)
        packet = await asyncio.wait_for(friend.packets.get(), DEADLINE_S)
        assert packet.topic == "lk-chat-topic"
        # Boxes and LiveKit's own chat drop packets with the flag `ignoreLegacy`.
        assert json.loads(packet.data) == {
            "id": "line-1",
            "timestamp": 5,
            "message": "good morning",
            "type": "text",
        }
        assert friend.streams.empty()


@pytest.mark.parametrize("more", [{}, {"id": "x", "ignoreLegacy": True}])
async def test_a_packet_on_a_node_is_read_whatever_flag_it_has(server, node, more):
    async with server.friend("ann", name="Ann") as friend, joined_box(node) as box:
        ts_ms = time.time_ns() // 1_000_000
        shape = {"timestamp": ts_ms, "message": "hello", "type": "text"} | more
        payload = json.dumps(shape).encode()
        await friend.room.local_participant.publish_data(
            payload, reliable=True, topic="lk-chat-topic"
        )
        message = (await box.until(ChatReceived)).message
        assert (message.sender_name, message.text) == ("Ann", "hello")
        assert message.ts_ms == ts_ms


async def test_captions_on_a_node_are_shown(server, node):
    async with server.friend("ann", name="Ann") as friend, joined_box(node) as box:
        ts_ms = time.time_ns() // 1_000_000
        words = {"transcription": "good night", "language": "en"}
        caption = words | {"timestamp": ts_ms}
        for payload in (b"{", b"[]", json.dumps(caption).encode()):
            await friend.room.local_participant.publish_data(
                payload, reliable=True, topic="lk-transcription-topic"
            )
        message = (await box.until(ChatReceived)).message
        assert (message.sender_id, message.sender_name) == ("ann", "Ann")
        assert (message.text, message.ts_ms) == ("good night", ts_ms)


async def test_a_box_returns_to_a_node_that_was_restarted(server, node):
    async with server.friend("ann") as friend, joined_box(node) as box:
        await node.stop()
        await box.until(RoomPaused)
        await node.start()
        await box.until(RoomResumed)
        assert await comes(listened, friend, 440)


class ExpiringNode(Node):
    """Node that can be told to accept no session any more."""

    is_expired = False

    async def _answer(self, connection, request):
        if self.is_expired and "upgrade" in request.headers:
            return answer(401, b"invalid token: token is expired")
        return await super()._answer(connection, request)


async def test_a_session_whose_token_has_expired_is_lost_with_the_connection(server):
    """The core then joins again with a new token; the SDK would try for 30 s."""
    async with ExpiringNode(server) as node, joined_box(node) as box:
        await node.stop()
        await box.until(RoomPaused)
        node.is_expired = True
        await node.start()
        lost = (await box.until(RoomLost)).failure
    assert lost.cause is Cause.SERVER_LOST
    assert "token" in lost.reason


async def test_a_dead_node_is_named(server, node):
    await node.stop()
    async with open_box() as box:
        box.room.do(join_room(1, node.url, keys.token("box"), is_dtelecom=True))
        failed = (await box.until(RoomFailed)).failure
    assert failed.cause == Cause.SERVER_LOST
    assert "no node of dTelecom" in failed.reason


async def test_a_node_that_drops_packets_is_named(monkeypatch):
    monkeypatch.setattr(connection, "JOIN_S", 1.0)
    async with FakeNode({"/rtc": b""}, keeps=True) as silent, open_box() as box:
        box.room.do(join_room(1, silent.url, keys.token("box"), is_dtelecom=True))
        failed = (await box.until(RoomFailed)).failure
        assert silent.heads
    assert failed.cause == Cause.SERVER_LOST
    assert "no node of dTelecom" in failed.reason


async def test_a_dead_node_is_replaced_by_the_next_of_the_tokens_answer(server, node):
    async with Node(server) as dead, open_box() as box:
        await dead.stop()
        join = join_room(
            1,
            dead.url,
            keys.token("box"),
            is_dtelecom=True,
            fallback_urls=(node.url,),
        )
        box.room.do(join)
        await box.until(RoomJoined)


@asynccontextmanager
async def box_that_failed_to_join(broken, node):
    """Yield a box, and the command to join with which the first node failed."""
    async with open_box() as box:
        join = join_room(
            1,
            broken.url,
            keys.token("box"),
            is_dtelecom=True,
            fallback_urls=(node.url,),
        )
        box.room.do(join)
        await box.until(RoomFailed)
        yield box, replace(join, ticket=2)


async def test_a_node_that_lets_nobody_join_is_tried_last_until_another_one_does(node):
    async with (
        FakeNode(is_short=True) as broken,
        box_that_failed_to_join(broken, node) as (box, join),
    ):
        box.room.do(join)
        assert isinstance(await box.until((RoomFailed, RoomJoined)), RoomJoined)
        await box.leave(2)
        # It was perhaps the network here that failed.
        box.room.do(replace(join, ticket=3))
        assert isinstance(await box.until((RoomFailed, RoomJoined)), RoomFailed)


async def test_the_last_of_five_nodes_is_tried_within_one_attempt(node, monkeypatch):
    monkeypatch.setattr(relay, "NODE_S", 1.3)
    paths = [f"/{number}" for number in range(4)]
    answers = {f"{path}/rtc": b"" for path in paths}
    async with FakeNode(answers, keeps=True) as silent, open_box() as box:
        first, *others = [f"{silent.url}{path}" for path in paths]
        urls = (*others, node.url)
        token = keys.token("box")
        join = join_room(1, first, token, is_dtelecom=True, fallback_urls=urls)
        box.room.do(join)
        assert isinstance(await box.until((RoomFailed, RoomJoined)), RoomJoined)
        assert len(silent.heads) == len(paths)


async def test_leaving_while_joining_a_node_that_does_not_answer_leaves_nothing(box):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}"
        box.room.do(join_room(1, url, keys.token("box"), is_dtelecom=True))
        await asyncio.sleep(0)
        await box.leave()


async def test_audio_on_a_node_is_encrypted_and_chat_is_not(
    server, node, encrypted, tmp_path
):
    """The SDK's encryption of data would lose every packet there."""
    key_file = tmp_path / "key"
    key_file.write_bytes(b"secret")
    key = rtc.KeyProviderOptions(shared_key=b"secret")
    options = rtc.RoomOptions(encryption=rtc.E2EEOptions(key))
    async with (
        server.friend("ann", options) as friend,
        server.friend("eve") as without_key,
        joined_box(node, encrypted(str(key_file))) as box,
    ):
        assert await comes(listened, friend, 440)
        box.room.do(SendChat(1, "line-1", "hello", 5))
        packet = await asyncio.wait_for(without_key.packets.get(), DEADLINE_S)
        assert json.loads(packet.data)["message"] == "hello"


async def test_a_track_is_not_published_twice_on_a_node(server, node):
    """A new session publishes it instead: the core joins again."""
    async with joined_box(node) as box:
        await permit(server, can_publish=False)
        await permissions_are(box, may_publish=False)
        await permit(server)
        lost = (await box.until(RoomLost)).failure
        assert "only once" in lost.reason


async def test_a_track_that_was_not_permitted_is_published_later_on_a_node(
    server, node
):
    token = server.token("box", canPublish=False)
    async with open_box() as box:
        box.room.do(join_room(1, node.url, token, is_dtelecom=True))
        await box.until(RoomJoined)
        await permit(server)
        await permissions_are(box)


async def test_a_room_of_livekit_can_be_joined_as_one_of_dtelecom(server):
    join = join_room(1, server.url, server.token("box"), is_dtelecom=True)
    async with server.friend("ann") as friend, open_box() as box:
        box.room.do(join)
        await box.until(RoomJoined)
        assert await comes(listened, friend, 440)


async def test_real_messages_of_livekit_pass_unchanged(server):
    """Everything that a server sends while two join, speak, write and leave."""
    async with (
        Node(server, changed=lambda message: message) as plain,
        server.friend("ann") as friend,
        joined_box(plain) as box,
    ):
        await friend.say(700)
        await box.talker()
        await box.leave()
    livekit, fork = SignalFilter(), SignalFilter()
    assert len(plain.sent) > 5
    for message in plain.sent:
        assert livekit.filtered(message) is message
        assert fork.filtered(response_of_fork(message)) == message


def test_a_livekit_room_imports_nothing_of_dtelecom():
    code = (
        "import sys, appliance.assembly\n"
        "from appliance.tokens.token_parser import read_claims\n"
        "assert read_claims(sys.argv[1])\n"
        "found = [name for name in sys.modules if 'dtelecom' in name]\n"
        "assert not found, found\n"
    )
    usual = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2ln"
    environment = os.environ | {"PYTHONPATH": "."}
    subprocess.run([sys.executable, "-c", code, usual], check=True, env=environment)


@pytest.fixture
async def browser(server, node):
    """Page with dTelecom's own client, which has joined the room on the node."""
    modules = installed(NPM / "package-lock.json")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium, args=SWITCHES
        )
        page = await started.new_page()
        # Any page of a loopback server is a secure context, which WebRTC requires.
        await page.goto(server.url.replace("ws://", "http://"))
        script = modules / "@dtelecom/livekit-client/dist/livekit-client.umd.js"
        await page.add_script_tag(path=script)
        await page.add_script_tag(path=NPM / "friend.js")
        token = keys.token("ann", "Ann")
        await page.evaluate("([url, token]) => join(url, token)", [node.url, token])
        yield page
        await started.close()


async def test_dtelecoms_own_client_and_the_box_hear_and_read_each_other(node, browser):
    await browser.evaluate("say(700)")
    async with joined_box(node) as box:
        await is_heard(box, 700)
        await browser.wait_for_function("Math.abs(strongestHz() - 440) < 10")

        await browser.evaluate("write('hello')")
        message = (await box.until(ChatReceived)).message
        assert (message.sender_name, message.text) == ("Ann", "hello")
        box.room.do(SendChat(1, "line-1", "good morning", 5))
        await box.until(ChatSent)
        await browser.wait_for_function("heard.packets.length")
        (packet,) = await browser.evaluate("heard.packets")
        assert (packet["from"], packet["topic"]) == ("box", "lk-chat-topic")
        assert json.loads(packet["text"])["message"] == "good morning"
