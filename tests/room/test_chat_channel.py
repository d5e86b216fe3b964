"""Chat as it is sent and received in a real room."""

import asyncio
import inspect
import json
import logging

import pytest

from appliance.config import ChatConfig, Config
from appliance.core.commands import SendChat
from appliance.core.events import ChatReceived, ChatSent
from appliance.process.logs import LINES
from appliance.room.chat_channel import TextStreams
from tests.room.conftest import open_box
from tests.room.fakes import DEADLINE_S

PACKET = "lk-chat-topic"
EDIT = "lk-chat-update-topic"


async def packet(friend, topic, shape):
    payload = shape if isinstance(shape, bytes) else json.dumps(shape)
    await friend.room.local_participant.publish_data(payload, topic=topic)


async def sent_like_livekit(friend, text):
    """Send as components-core does: a stream, and a packet for older receivers."""
    info = await friend.room.local_participant.send_text(text, topic="lk.chat")
    shape = {"id": info.stream_id, "timestamp": info.timestamp, "message": text}
    await packet(friend, PACKET, shape | {"ignoreLegacy": True})
    return info


async def received(box):
    return (await box.until(ChatReceived)).message


def received_so_far(box):
    return [event for event in box.events if isinstance(event, ChatReceived)]


async def test_a_message_sent_by_stream_and_packet_appears_once(server, box):
    async with server.friend("ann", name="Ann") as friend:
        await box.join(server)
        info = await sent_like_livekit(friend, "hello")
        first = await received(box)
        await sent_like_livekit(friend, "bye")
        second = await received(box)
    assert (first.id, first.text, first.ts_ms) == (
        info.stream_id,
        "hello",
        info.timestamp,
    )
    assert (first.sender_id, first.sender_name) == ("ann", "Ann")
    assert second.text == "bye"
    assert len(received_so_far(box)) == 2


async def test_older_and_plain_senders_are_understood(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await packet(friend, PACKET, {"timestamp": 1, "message": "old"})
        assert (await received(box)).text == "old"
        await packet(friend, "", {"id": "a", "sender": "x", "text": "plain", "ts": 1})
        assert (await received(box)).text == "plain"
        await packet(friend, "chat", {"id": "b", "text": "topical", "ts": 1})
        assert (await received(box)).text == "topical"
        await packet(friend, EDIT, {"id": "a", "timestamp": 2, "message": "edited"})
        edit = await received(box)
    assert (edit.text, edit.is_edit) == ("edited", True)


async def test_a_guest_whom_the_server_does_not_name_cannot_pass_for_another(
    server, box
):
    """The SDK gives no identity: neither of a hidden guest nor of one just come."""
    claim = {"id": "a", "sender": "ann", "senderName": "Ann", "text": "x", "ts": 1}
    async with server.friend("ann", name="Ann") as friend:
        await box.join(server)
        await packet(friend, "chat", claim)
        line = await received(box)
        assert (line.sender_id, line.sender_name) == ("ann", "Ann")
        async with (
            server.friend("spy", hidden=True) as spy,
            server.friend("eve") as eve,
        ):
            for guest in (spy, eve):
                await packet(guest, "chat", claim)
                other = await received(box)
                assert other.sender_name == "unknown"
                assert (other.sender_id, other.id) != (line.sender_id, line.id)
            await spy.room.local_participant.send_text("hello", topic="lk.chat")
            assert (await received(box)).sender_name == "unknown"


async def test_our_message_is_sent_by_stream_and_packet(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        box.room.do(SendChat(1, "line-1", "hello", 5))
        assert await box.until(ChatSent) == ChatSent(1, "line-1")
        identity, info, text = await friend.streams.get()
        legacy = await friend.packets.get()
    assert (identity, info.stream_id, text) == ("box", "line-1", "hello")
    assert legacy.topic == PACKET
    assert json.loads(legacy.data) == {
        "id": "line-1",
        "timestamp": info.timestamp,
        "message": "hello",
        "ignoreLegacy": True,
        "type": "text",
    }


async def test_plain_rooms_get_plain_packets(server):
    config = Config(chat=ChatConfig(format="plain"))
    async with open_box(config) as box, server.friend("ann") as friend:
        await box.join(server, name="Kitchen")
        box.room.do(SendChat(1, "line-1", "hello", 5))
        await box.until(ChatSent)
        sent = await friend.packets.get()
        assert friend.streams.empty()
    assert sent.topic == "chat"
    assert json.loads(sent.data) == {
        "id": "line-1",
        "sender": "box",
        "senderId": "box",
        "senderName": "Kitchen",
        "text": "hello",
        "ts": 5,
    }


async def test_hostile_messages_are_dropped_with_few_lines(server, box, caplog):
    async with server.friend("ann") as friend:
        await box.join(server)
        caplog.clear()
        await packet(friend, PACKET, b"\xff\x00\xfe")
        await packet(friend, PACKET, b"not json, secretly")
        await packet(friend, PACKET, {"message": "x" * 5000})
        await packet(friend, PACKET, b"[" * 14_000)
        me = friend.room.local_participant
        await me.send_text("secretly " * 20_000, topic="lk.chat", compress=False)
        await me.send_text("z" * 5000, topic="lk.chat")
        await sent_like_livekit(friend, "good")
        assert (await received(box)).text == "good"
    assert len(received_so_far(box)) == 1
    warnings = [x for x in caplog.records if x.levelno >= logging.WARNING]
    kinds = [x.getMessage().split("  ")[0] for x in warnings]
    assert kinds == ["chat message dropped"] * LINES
    assert "secretly" not in caplog.text


async def grown(box, text):
    """Wait until a line has grown to this text, and return it."""
    return (await box.until(ChatReceived, lambda x: x.message.text == text)).message


async def test_a_line_that_is_written_slowly_grows(server, box, monkeypatch):
    monkeypatch.setattr("appliance.room.chat_channel.SILENCE_S", 1.0)
    words = ["once", " upon", " a", " time", " there", " was"]
    async with server.friend("ann") as friend:
        await box.join(server)
        stream = await friend.room.local_participant.stream_text(topic="lk.chat")
        text = ""
        for word in words:
            text += word
            await stream.write(word)
            line = await grown(box, text)
            # Longer than the time-out in total, and shorter each time.
            await asyncio.sleep(0.3)
        await stream.aclose()
        await sent_like_livekit(friend, "bye")
        assert (await received(box)).text == "bye"
    ids = {event.message.id for event in received_so_far(box)[:-1]}
    assert ids == {line.id} == {stream.info.stream_id}


async def test_a_line_that_grows_fast_is_posted_a_few_times_a_second(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        stream = await friend.room.local_participant.stream_text(topic="lk.chat")
        for _ in range(200):
            await stream.write("x")
        await stream.aclose()
        await grown(box, "x" * 200)
    assert len(received_so_far(box)) < 20


def receivers():
    """Return the tasks that read chat streams."""
    return [
        task
        for task in asyncio.all_tasks()
        if inspect.iscoroutine(coroutine := task.get_coro())
        and coroutine.__qualname__.startswith(TextStreams.__name__)
    ]


@pytest.mark.parametrize("end", ["silence", "leaving", "too long"])
async def test_what_came_of_an_incomplete_line_is_kept(
    server, box, monkeypatch, caplog, end
):
    monkeypatch.setattr("appliance.room.chat_channel.SILENCE_S", 1.0)
    async with server.friend("ann") as friend, server.friend("bob") as bob:
        await box.join(server)
        stream = await friend.room.local_participant.stream_text(topic="lk.chat")
        await stream.write("half a")
        await grown(box, "half a")
        await stream.write(" line")
        await grown(box, "half a line")
        if end == "leaving":
            await friend.room.disconnect()
        elif end == "too long":
            await stream.write("x" * 5000)
            await stream.aclose()
        else:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.wait(receivers())
        await sent_like_livekit(bob, "bye")
        assert (await received(box)).text == "bye"
    dropped = [x for x in caplog.records if "dropped" in x.getMessage()]
    assert len(dropped) == (end == "too long")


async def test_twenty_lines_of_one_sender_at_once_are_all_shown_in_order(server, box):
    typed = [f"line {number}" for number in range(20)]
    async with server.friend("ann") as friend:
        await box.join(server)
        for text in typed:
            await friend.room.local_participant.send_text(text, topic="lk.chat")
        assert [(await received(box)).text for _ in typed] == typed


async def test_lines_without_end_do_not_keep_others_from_chatting(server, box, caplog):
    async with server.friend("ann") as ann, server.friend("bob") as bob:
        await box.join(server)
        for _ in range(30):
            stream = await ann.room.local_participant.stream_text(topic="lk.chat")
            await stream.write("on and on")
        await sent_like_livekit(bob, "good")
        await grown(box, "good")
        async with asyncio.timeout(DEADLINE_S):
            while len({event.message.id for event in received_so_far(box)}) < 24 + 1:
                await asyncio.sleep(0.01)
    assert "too many at once" in caplog.text


async def test_a_file_alone_is_shown_and_not_received(server, box):
    async with server.friend("ann", name="Ann") as friend:
        await box.join(server)
        writer = await friend.room.local_participant.stream_bytes(
            "photo.jpg", topic="lk.chat"
        )
        await writer.write(b"x" * 100_000)
        await writer.aclose()
        line = await received(box)
        await sent_like_livekit(friend, "bye")
        assert (await received(box)).text == "bye"
    assert (line.text, line.sender_name) == ("sent a file", "Ann")
    assert line.id == writer.info.stream_id


async def test_messages_of_one_sender_keep_their_order(server, box, monkeypatch):
    monkeypatch.setattr("appliance.room.chat_channel.ORDER_S", 5.0)
    async with server.friend("ann") as friend:
        await box.join(server)
        me = friend.room.local_participant
        first = await me.stream_text(topic="lk.chat")
        await first.write("first")
        await me.send_text("second", topic="lk.chat")
        await me.send_text("third", topic="lk.chat")
        await first.aclose()
        texts = [(await received(box)).text for _ in range(3)]
    assert texts == ["first", "second", "third"]


async def test_messages_sent_at_once_arrive_in_order(server, box):
    typed = [f"line {number}" for number in range(20)]
    async with server.friend("ann") as friend:
        await box.join(server)
        for number, text in enumerate(typed):
            box.room.do(SendChat(1, f"line-{number}", text, 5))
        sent = [(await box.until(ChatSent)).id for _ in typed]
        legacy = [await friend.packets.get() for _ in typed]
    assert sent == [f"line-{number}" for number in range(20)]
    assert [json.loads(packet.data)["message"] for packet in legacy] == typed


async def test_leaving_while_streams_are_open_is_clean(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        stream = await friend.room.local_participant.stream_text(topic="lk.chat")
        await stream.write("on and on")
        await sent_like_livekit(friend, "good")
        await received(box)
        await box.leave()
