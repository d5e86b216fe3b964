"""Chat that only a hostile participant sends, without a server."""

import asyncio
import json
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

from livekit import rtc

from appliance.config import Config
from appliance.core.events import ChatMessage
from appliance.room.chat_channel import EACH, TOTAL, ChatChannel
from appliance.room.chat_format import TEXT_CHARACTERS
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
        if chunk is None:
            raise StopAsyncIteration
        return chunk

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

    def register_byte_stream_handler(self, _topic, _opened):
        pass


class Stage:
    """Chat of a session in a room that a test plays."""

    def __init__(self):
        room: Any = Room()
        self.room = room
        self.taken: list[ChatMessage] = []
        self.tasks: list[asyncio.Task[None]] = []
        nothing: Any = None
        context = SessionContext(
            self._post,
            feed=nothing,
            playback=nothing,
            spawn=self._run,
            config=Config(),
        )
        self.chat = ChatChannel(join_room(1, "", ""), room, context)

    def _post(self, event):
        self.taken.append(event.message)

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


async def test_streams_that_a_guest_never_ends_do_not_keep_others_from_being_read():
    stage = Stage()
    for number in range(100):
        stage.room.opened(Reader(f"eve{number}"), "eve")
    assert len(stage.tasks) == EACH
    honest = Reader("line")
    stage.room.opened(honest, "ann")
    honest.send("dinner is ready")
    honest.send(None)
    await asyncio.gather(*stage.tasks[EACH:])
    assert [line.text for line in stage.taken] == ["dinner is ready"]
    await stage.end()


async def test_so_many_streams_are_read_at_once_and_no_more():
    stage = Stage()
    readers = [Reader(str(number)) for number in range(TOTAL + 2)]
    for number, reader in enumerate(readers):
        stage.room.opened(reader, f"guest{number}")
    assert len(stage.tasks) == TOTAL
    assert [x.is_closed for x in readers] == [False] * TOTAL + [True] * 2
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
    stage = Stage()
    for number in range(5000):
        stage.chat.received(packet("eve", {"text": str(number)}))
        stage.chat.received(packet("ann", {"text": str(number)}, topic="telemetry"))
        stage.chat.received(packet("ann", {"x": number}, topic=""))
    stage.chat.received(packet("ann", {"text": "dinner is ready"}))
    senders = Counter(message.sender_id for message in stage.taken)
    assert senders["ann"] == 1
    assert 100 < senders["eve"] < 1000
    assert stage.room.looks < 1000


def packet(identity, shape, topic="chat"):
    return rtc.DataPacket(
        data=json.dumps(shape).encode(),
        kind=rtc.DataPacketKind.KIND_RELIABLE,
        participant=cast("rtc.RemoteParticipant", SimpleNamespace(identity=identity)),
        topic=topic,
    )


async def test_of_a_text_without_end_no_more_is_read_than_may_be_shown():
    stage = Stage()
    reader = Reader()
    stage.room.opened(reader, "ann")
    for _ in range(3):
        reader.send("x" * TEXT_CHARACTERS)
    await asyncio.gather(*stage.tasks)
    assert reader.is_closed
    assert stage.taken == []


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
    stage.chat.received(packet("ann", {"text": "bye"}))
    stage.room.people.clear()
    reader.send("bye")
    reader.send(None)
    await asyncio.gather(*stage.tasks)
    assert [line.sender_name for line in stage.taken] == ["Ann", "Ann"]


async def test_two_streams_of_unknown_senders_are_two_lines_whatever_their_ids():
    stage = Stage()
    await stage.line("line", "")
    await stage.line("line", "")
    assert {line.sender_name for line in stage.taken} == {"unknown"}
    assert len({"line", *(line.id for line in stage.taken)}) == 3
