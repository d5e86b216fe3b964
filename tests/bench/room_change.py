"""Change of rooms: from the request to the first sound in the other room."""

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial

import numpy as np

from tests.bench import speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client, UnmeasurableError
from tests.bench.client_start import Ours, Page
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import extremes
from tests.bench.token_source import RecordingTokenSource

GOAL_S = 1.5
SPEECH_S = 5.0
LOUD_PEAK = 1000
"""Far above comfort noise, far below the speech."""
PRESET = "other"
FAR = Ours(has_processing=False, has_page=False, mode="hybrid")


async def measure(run: BenchRun) -> Section:
    """Send a box that is talking to and fro between two rooms with a listener each."""
    seconds = await _moves(run, run.plan.presses // 2)
    heard = [x for x in seconds if not np.isnan(x)]
    row = Row(
        name="request to the first sound heard in the other room",
        unit="s",
        ours=extremes(heard) if heard else None,
        goal=Goal(GOAL_S, "high"),
        note=f"{len(heard)} of {len(seconds)} changes heard",
    )
    return Section("Change of rooms", (row,))


async def _moves(run: BenchRun, count: int) -> list[float]:
    """Return the time of each change of rooms; NaN: nothing was heard."""
    rooms = run.fresh_room(), run.fresh_room()
    epoch_ns = time.monotonic_ns()
    seat = run.seat(rooms[0], 0, epoch_ns)
    async with AsyncExitStack() as stack:
        sources = [
            await stack.enter_async_context(
                RecordingTokenSource(
                    run.server.url, partial(run.token, room, seat.name)
                )
            )
            for room in rooms
        ]
        listeners = []
        for room in rooms:
            far = await FAR.start(run.seat(room, 1, epoch_ns))
            stack.push_async_callback(far.stop)
            listeners.append(far)
        page = Page(seat.folder)
        presets = ((PRESET, sources[1].address),)
        kind = Ours(has_processing=False, token_url=sources[0].address, presets=presets)
        box = await kind.start(seat)
        stack.push_async_callback(box.stop)
        for client in (*listeners, box):
            await client.says("joined  ticket")
        return [
            await _move(box, page, listeners[number % 2], (None, PRESET)[number % 2])
            for number in range(1, count + 1)
        ]


async def _move(box: Client, page: Page, listener: Client, preset: str | None) -> float:
    """Return the seconds until the listener hears the box in its room."""
    box.card.speak(
        speech_signal.talk(np.random.default_rng(1), SPEECH_S), box.card.now_s()
    )
    # The listener in the room that is left hears the box by then.
    await asyncio.sleep(1.0)
    since_s = listener.card.now_s()
    await page.join(preset)
    await asyncio.sleep(SPEECH_S - 1.0)
    heard = listener.card.heard(since_s, listener.card.now_s())
    loud = np.flatnonzero(np.abs(heard.astype(np.int32)) > LOUD_PEAK)
    if not len(loud):
        return float("nan")
    first_s = float(loud[0]) / speech_signal.RATE_HZ
    if first_s == 0.0:
        sentence = "the listener heard something before the change"
        raise UnmeasurableError(sentence)
    return first_s
