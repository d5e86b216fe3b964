"""The companion: a process of its own at the far end, on the SDK's public API only.

It repeats what it heard after each talk and answers chat. `python -m
appliance.demo.companion` reads an `Order` from its input, tells what happens on its
output as `report` describes, and ends when its input ends.
"""

import asyncio
import ctypes
import signal
import sys
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
import numpy as np
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ
from appliance.demo.companion_words import answer
from appliance.demo.listener import Listener, Talk
from appliance.demo.measure import TimedBlock, joined
from appliance.demo.phrase import Samples
from appliance.demo.report import (
    Answered,
    Heard,
    Joined,
    Lost,
    Order,
    Report,
    Said,
    encoded,
)
from appliance.pcm import SILENCE
from appliance.process.exit import end_process
from appliance.room import chat_format

BLOCK_S: Final = BLOCK_FRAMES / RATE_HZ
MOST_WAITING: Final = 3
"""Talks that wait to be repeated; more would be an echo of long ago."""
_DIE_WITH_PARENT: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class Companion:
    """One visit to the room."""

    def __init__(self, room: rtc.Room, group: asyncio.TaskGroup) -> None:
        """Listen to the room, which is not connected yet."""
        self._room = room
        self._group = group
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=0)
        self._waiting: deque[tuple[int, Talk]] = deque(maxlen=MOST_WAITING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = 0
        self._listeners: dict[str, Listener] = {}
        room.register_text_stream_handler(chat_format.STREAM_TOPIC, self._line_begun)
        room.on("track_subscribed", self._track_begun)
        room.on("data_received", self._packet_came)

    async def join(self, order: Order) -> None:
        """Go there and begin to speak, silence at first.

        Raises:
            rtc.ConnectError: the room cannot be joined.
            PublishTrackError: nobody may speak in it.
        """
        await self._room.connect(order.url, order.token)
        track = rtc.LocalAudioTrack.create_audio_track("companion", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)
        self._do(self._speak())

    def stop(self) -> None:
        """Stop speaking, listening and answering."""
        for task in self._tasks:
            task.cancel()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # speaking

    async def _speak(self) -> None:
        """Send one block per 10 ms for ever: the next of a talk, or silence."""
        due_s = time.monotonic()
        while True:
            if self._waiting and not self._is_anybody_speaking():
                due_s = await self._repeat(*self._waiting.popleft(), due_s)
            due_s = await self._send(SILENCE, due_s)

    async def _repeat(self, number: int, talk: Talk, due_s: float) -> float:
        samples = talk.sound.samples[talk.first : talk.last]
        sent: list[TimedBlock] = []
        for start in range(0, len(samples), BLOCK_FRAMES):
            block = samples[start : start + BLOCK_FRAMES]
            block = np.pad(block, (0, BLOCK_FRAMES - len(block)))
            due_s = await self._send(block, due_s)
            # Sent when its last sample was spoken.
            sent.append((time.monotonic() - BLOCK_S, block))
        _tell(Said(number, joined(sent).at_s, talk.first, len(samples)))
        return due_s

    async def _send(self, block: Samples, due_s: float) -> float:
        """Send a block when it is due; return when the next one is."""
        await asyncio.sleep(due_s - time.monotonic())
        frame = rtc.AudioFrame(block.tobytes(), RATE_HZ, 1, BLOCK_FRAMES)
        await self._source.capture_frame(frame)
        return due_s + BLOCK_S

    def _is_anybody_speaking(self) -> bool:
        return any(listener.is_in_talk for listener in self._listeners.values())

    # listening

    def _track_begun(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        _participant: rtc.RemoteParticipant,
    ) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._do(self._listen(track, publication.sid))

    async def _listen(self, track: rtc.Track, sid: str) -> None:
        listener = self._listeners[sid] = Listener()
        stream = rtc.AudioStream(
            track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10
        )
        try:
            async for event in stream:
                block = np.array(event.frame.data, np.int16)
                if talk := listener.take(block, time.monotonic()):
                    self._note(talk)
        finally:
            del self._listeners[sid]
            await stream.aclose()

    def _note(self, talk: Talk) -> None:
        self._heard += 1
        sound = talk.sound
        _tell(Heard(self._heard, sound.at_s, sound.samples.tobytes()))
        self._waiting.append((self._heard, talk))

    # chat

    def _line_begun(self, reader: rtc.TextStreamReader, _identity: str) -> None:
        self._do(self._read(reader))

    async def _read(self, reader: rtc.TextStreamReader) -> None:
        await self._answer(await reader.read_all())

    def _packet_came(self, packet: rtc.DataPacket) -> None:
        """Take a line from a client that knows no streams."""
        identity = packet.participant.identity if packet.participant else ""
        message = chat_format.read_packet(
            packet.topic or "",
            packet.data,
            chat_format.ChatSender(identity, identity),
            now_ms=time.time_ns() // 1_000_000,
            takes_streams=True,
        )
        if message is not None and not isinstance(message, chat_format.Dropped):
            self._do(self._answer(message.text))

    async def _answer(self, text: str) -> None:
        me = self._room.local_participant
        await me.send_text(answer(text), topic=chat_format.STREAM_TOPIC)
        _tell(Answered())


async def visit(order: Order) -> None:
    """Be in the room until the input ends or the room is over."""
    room = rtc.Room()
    over = asyncio.Event()
    room.on("disconnected", lambda _: over.set())
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), over.set)
    async with asyncio.TaskGroup() as group:
        companion = Companion(room, group)
        try:
            await companion.join(order)
            _tell(Joined())
            await over.wait()
        except (rtc.ConnectError, PublishTrackError) as exc:
            _tell(Lost(f"the companion cannot join: {exc}"))
        loop.remove_reader(sys.stdin.fileno())
        companion.stop()
    await room.disconnect()


def main() -> None:
    """Go where the first line of the input says."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    # The terminal's Ctrl-C is meant for the demo, which then ends our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if line:
        asyncio.run(visit(msgspec.json.decode(line, type=Order)))


def _tell(report: Report) -> None:
    sys.stdout.buffer.write(encoded(report))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
    end_process(0)
