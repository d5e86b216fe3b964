"""Silent participants: what many of them cost a box that only listens.

`python -m tests.bench.crowd URL TOKEN...` joins one silent participant per token: every
second one is muted, the others publish silence. They receive nothing.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from livekit import rtc

from tests.bench.bench_run import BenchRun
from tests.bench.client import Client
from tests.bench.client_start import Ours
from tests.bench.delay import BEFORE_S
from tests.bench.process import cpu_s, wake_ups
from tests.bench.report import Goal, Row, Section
from tests.bench.speech_signal import BLOCK, RATE_HZ
from tests.bench.spread import Spread, spread

PEOPLE = 16
SLICES = 4
"""Number of readings, to show their variation."""
LOOK_S = 0.1
SUBSCRIBED = "the box receives everybody"
MORE_PERCENT = 1.0
"""CPU that they may cost all together."""


async def measure(run: BenchRun) -> Section:
    """Stay in a room with one silent participant, and with many."""
    few = await _stay(run, 1)
    many = await _stay(run, PEOPLE)
    rows = []
    for name, unit, place, goal in (
        ("CPU of one core", "%", 0, MORE_PERCENT),
        ("wake-ups of all threads", "/s", 1, None),
    ):
        before, after = few[place], many[place]
        most = goal and Goal(before.median + goal, words="of one, and a little")
        rows += [
            Row(name=f"{name}, one silent participant", unit=unit, ours=before),
            Row(name=f"{name}, {PEOPLE}", unit=unit, ours=after, goal=most or None),
        ]
    return Section("A box that only listens among silent participants", tuple(rows))


async def _stay(run: BenchRun, people: int) -> tuple[Spread, Spread]:
    """Return CPU time in per cent and wake-ups per second of the box."""
    async with joined(run, Ours(mode="hybrid", has_page=False), people) as box:
        await asyncio.sleep(BEFORE_S)
        used, woken = [], []
        seconds = run.plan.cpu_s / SLICES
        for _ in range(SLICES):
            before = cpu_s(box.pid), wake_ups(box.pid)
            await asyncio.sleep(seconds)
            used.append(100 * (cpu_s(box.pid) - before[0]) / seconds)
            woken.append((wake_ups(box.pid) - before[1]) / seconds)
    both = spread(used), spread(woken)
    assert both[0] is not None
    assert both[1] is not None
    return both[0], both[1]


@asynccontextmanager
async def joined(run: BenchRun, kind: Ours, people: int) -> AsyncIterator[Client]:
    """Join a box and silent participants, and wait until it receives all of them."""
    room = run.fresh_room()
    seat = run.seat(room, 0)
    box = await kind.start(seat)
    crowd: Client | None = None
    try:
        await box.says("joined")
        tokens = [run.token(room, f"silent-{n}") for n in range(people)]
        command = [sys.executable, "-m", "tests.bench.crowd", seat.url, *tokens]
        crowd = await Client.start("the crowd", seat.card, command, {})
        await crowd.says(SUBSCRIBED)
        yield box
    finally:
        await box.stop()
        if crowd is not None:
            await crowd.stop()


async def be_silent(url: str, tokens: Sequence[str]) -> None:
    """Join with every token and be silent until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    rooms, sources = [], []
    received: set[str] = set()
    for number, token in enumerate(tokens):
        room = rtc.Room()
        room.on("local_track_subscribed", lambda track: received.add(track.sid))
        await room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
        source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        published = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, published)
        rooms.append(room)
        if number % 2:
            track.mute()
        else:
            sources.append(source)
    speaking = [asyncio.create_task(_send_silence(source)) for source in sources]
    while len(received) < len(tokens):
        await asyncio.sleep(LOOK_S)
    print(SUBSCRIBED, flush=True)
    await over.wait()
    for task in speaking:
        task.cancel()
    await asyncio.gather(*(room.disconnect() for room in rooms))


async def _send_silence(source: rtc.AudioSource) -> None:
    frame = rtc.AudioFrame(bytes(2 * BLOCK), RATE_HZ, 1, BLOCK)
    while True:
        await source.capture_frame(frame)


if __name__ == "__main__":
    asyncio.run(be_silent(sys.argv[1], sys.argv[2:]))
