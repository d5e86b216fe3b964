"""Chat that only a hostile participant sends, without a server."""

import asyncio
import json
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc

from appliance.config import Config
from appliance.core.events import ChatMessage
from appliance.room.chat_channel import ChatChannel, ChatStreams
from appliance.room.chat_format import TEXT_CHARACTERS, Dropped
from appliance.room.connection import SessionContext
from tests.room.conftest import join_room


class Reader:
    """Stream that sends a chunk whenever the test says so."""

    def __init__(self, stream_id="s1"):
        info = SimpleNamespace(stream_id=stream_id, timestamp=None, attachments=[])
        self.info = info
        self.is_closed = False
        self._chunks: asyncio.Queue[str | None] = asyncio.Queue()

    def send(self, chunk):
        self._chunks.put_nowait(chunk)

    async def __anext__(self):
        chunk = await self._chunks.get()
        self._chunks.task_done()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def all_read(self):
        await self._chunks.join()
        # The text is read in the same turn of the loop as the chunk.
        await asyncio.sleep(0)

    def close(self):
        self.is_closed = True


class Room:
    """Room that counts how often a text was read, by the look-ups of its sender."""

    local_participant = SimpleNamespace(identity="box", name="")

    def __init__(self):
        self.opened: Any = None
        self.people: dict[str, Any] = {}
        self.looks = 0

    @property
    def remote_participants(self):
        self.looks += 1
        return self.people

    def register_text_stream_handler(self, _topic, opened):
        self.opened = opened

    def register_byte_stream_handler(self, _topic, opened):
        pass


def chat_of(room, post):
    """Return the chat of a session in this room, which a test plays."""
    nothing: Any = None
    context = SessionContext(
        post,
        feed=nothing,
        playback=nothing,
        spawn=asyncio.get_running_loop().create_task,
        pending={},
        config=Config(),
    )
    return ChatChannel(join_room(1, "", ""), room, context)


class Stage:
    """Chat of a room whose streams a test opens."""

    def __init__(self):
        room: Any = Room()
        self.room = room
        self.taken: list[Any] = []
        self.tasks: list[asyncio.Task[None]] = []
        ChatStreams(room, lambda line, _: self.taken.append(line), self._run)

    def _run(self, work):
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]

    async def line(self, stream_id, sender):
        """Send a whole line, and wait until it is read."""
        reader = Reader(stream_id)
        reader.send("dinner is ready")
        reader.send(None)
        before = len(self.tasks)
        self.room.opened(reader, sender)
        await asyncio.gather(*self.tasks[before:])

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_streams_that_guests_never_end_do_not_keep_others_from_being_read():
    stage = Stage()
    for guest in ("eve", "mallory", "trudy"):
        for number in range(100):
            stage.room.opened(Reader(f"{guest}{number}"), guest)
    stage.taken.clear()
    honest = Reader("line")
    stage.room.opened(honest, "ann")
    honest.send("dinner is ready")
    honest.send(None)
    await honest.all_read()
    await asyncio.sleep(0)
    texts = [line.text for line in stage.taken if isinstance(line, ChatMessage)]
    assert texts == ["dinner is ready"]
    assert len([task for task in stage.tasks if not task.done()]) <= 64
    await stage.end()


async def test_a_stream_that_makes_place_for_another_at_once_is_closed():
    """Its task has not run yet: the SDK would keep the reader for ever."""
    stage = Stage()
    readers = [Reader(f"eve{number}") for number in range(24)]
    for guest in ("eve", "mallory", "trudy"):
        for number in range(24):
            reader = readers[number] if guest == "eve" else Reader(f"{guest}{number}")
            stage.room.opened(reader, guest)
    assert [reader.is_closed for reader in readers].count(True) == 3
    await stage.end()


async def test_a_flood_of_streams_does_not_keep_others_from_being_read():
    stage = Stage()
    for number in range(1000):
        await stage.line(f"eve{number}", "eve")
    await stage.line("line", "ann")
    senders = Counter(line.sender_id for line in stage.taken)
    assert senders["ann"] == 1
    # 120 at once and 20 a second, however slow this machine is.
    assert 100 < senders["eve"] < 900


async def test_a_flood_of_packets_costs_little_and_hides_nobody_s_chat():
    room: Any = Room()
    posted: list[Any] = []
    chat = chat_of(room, posted.append)
    for number in range(5000):
        chat.received(packet("eve", {"text": str(number)}))
        chat.received(packet("ann", {"text": str(number)}, topic="telemetry"))
        chat.received(packet("ann", {"x": number}, topic=""))
    chat.received(packet("ann", {"text": "dinner is ready"}))
    await asyncio.sleep(0)
    senders = Counter(event.message.sender_id for event in posted)
    assert senders["ann"] == 1
    assert 100 < senders["eve"] < 1000
    # Nothing was read that is not posted: ann's other packets are not for people.
    assert room.looks < 1000
    chat.close()


def packet(identity, shape, topic="chat"):
    return rtc.DataPacket(
        data=json.dumps(shape).encode(),
        kind=rtc.DataPacketKind.KIND_RELIABLE,
        participant=cast("rtc.RemoteParticipant", SimpleNamespace(identity=identity)),
        topic=topic,
    )


@pytest.mark.parametrize("sign", ["x", "\u202e"])
async def test_a_text_that_is_too_long_is_not_read_again_while_it_grows(sign):
    stage = Stage()
    room, taken, tasks = stage.room, stage.taken, stage.tasks
    reader = Reader()
    room.opened(reader, "ann")
    room.looks = 0
    reader.send(sign * (TEXT_CHARACTERS + 1))
    reader.send("x")
    reader.send(sign * 8000)
    await reader.all_read()
    assert room.looks == 0
    reader.send(None)
    await asyncio.gather(*tasks)
    assert room.looks == 1
    assert taken == [Dropped("too long")]


ANN = SimpleNamespace(
    identity="ann",
    name="Ann",
    kind=rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
)


async def test_who_writes_and_leaves_at_once_is_named():
    stage = Stage()
    stage.room.people["ann"] = ANN
    reader = Reader()
    stage.room.opened(reader, "ann")
    chat = chat_of(
        cast("rtc.Room", stage.room),
        lambda event: stage.taken.append(cast("Any", event).message),
    )
    chat.received(packet("ann", {"text": "bye"}))
    stage.room.people.clear()
    reader.send("bye")
    reader.send(None)
    await asyncio.gather(*stage.tasks)
    assert [line.sender_name for line in stage.taken] == ["Ann", "Ann"]
    chat.close()


async def test_who_is_announced_while_writing_is_named_from_then_on():
    stage = Stage()
    reader = Reader()
    stage.room.opened(reader, "ann")
    stage.room.people["ann"] = ANN
    reader.send("hello")
    reader.send(None)
    await asyncio.gather(*stage.tasks)
    assert {line.sender_name for line in stage.taken} == {"Ann"}


async def test_two_streams_of_unknown_senders_are_two_lines_whatever_their_ids():
    stage = Stage()
    await stage.line("line", "")
    await stage.line("line", "")
    assert {line.sender_name for line in stage.taken} == {"unknown"}
    assert len({"line", *(line.id for line in stage.taken)}) == 3


async def test_nothing_is_taken_after_the_session_was_left():
    room: Any = Room()
    posted: list[Any] = []
    chat = chat_of(room, posted.append)
    chat.received(packet("ann", {"text": "one"}))
    await asyncio.sleep(0)
    chat.received(packet("ann", {"text": "two"}))
    chat.close()
    chat.received(packet("ann", {"text": "three"}))
    late = Reader()
    room.opened(late, "ann")
    await asyncio.sleep(0)
    assert [event.message.text for event in posted] == ["one"]
    assert late.is_closed
