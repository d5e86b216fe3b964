"""Chat streams that only a hostile participant sends, without a server."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.core.events import ChatMessage
from appliance.room.chat_channel import ChatStreams
from appliance.room.chat_format import TEXT_CHARACTERS, Dropped


class Reader:
    """Stream that sends a chunk whenever the test says so."""

    def __init__(self, stream_id="s1"):
        info = SimpleNamespace(stream_id=stream_id, timestamp=None, attachments=[])
        self.info = info
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
        pass


class Room:
    """Room that counts how often a text was read, by the look-ups of its sender."""

    def __init__(self):
        self.opened: Any = None
        self.looks = 0

    @property
    def remote_participants(self):
        self.looks += 1
        return {}

    def register_text_stream_handler(self, _topic, opened):
        self.opened = opened

    def register_byte_stream_handler(self, _topic, opened):
        pass


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
    for task in stage.tasks:
        task.cancel()
    await asyncio.gather(*stage.tasks, return_exceptions=True)


@pytest.mark.parametrize("sign", ["x", "\u202e"])
async def test_a_text_that_is_too_long_is_not_read_again_while_it_grows(sign):
    stage = Stage()
    room, taken, tasks = stage.room, stage.taken, stage.tasks
    reader = Reader()
    room.opened(reader, "ann")
    reader.send(sign * (TEXT_CHARACTERS + 1))
    reader.send("x")
    reader.send(sign * 8000)
    await reader.all_read()
    assert room.looks == 0
    reader.send(None)
    await asyncio.gather(*tasks)
    assert room.looks == 1
    assert taken == [Dropped("too long")]
