"""Start-up time from the start of the process to joining."""

import asyncio
from functools import partial

from tests.bench.bench_run import BenchRun
from tests.bench.client_start import Kind, MediaDevices, Ours
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import spread
from tests.bench.token_source import RecordingTokenSource

ATTEMPT_S = 0.5
JOINED_S = 1.0


async def measure(run: BenchRun) -> Section:
    """Start boxes one after the other, with a token source that records the time."""
    asked, answered = [], []
    ours, rivals = [], []
    # The first start reads files that are cached for all others.
    for number in range(run.plan.cold_starts + 1):
        start = await _start(run)
        if number:
            asked.append(start[0])
            answered.append(start[1])
            ours.append(await _joined(run, Ours(mode="hybrid")))
            rivals.append(await _joined(run, MediaDevices()))
    return Section(
        "Start",
        (
            Row(
                name="process start to token request",
                unit="s",
                ours=spread(asked),
                goal=Goal(ATTEMPT_S),
            ),
            Row(
                name="token answer to joined",
                unit="s",
                ours=spread(answered),
                goal=Goal(JOINED_S),
            ),
            Row(
                name="process start to joined, token at hand",
                unit="s",
                ours=spread(ours),
                rival=spread(rivals),
                goal=Goal(ATTEMPT_S + JOINED_S),
            ),
        ),
    )


async def _start(run: BenchRun) -> tuple[float, float]:
    """Return seconds from start to token request, and from response to joined."""
    room = run.fresh_room()
    seat = run.seat(room, 0)
    token = partial(run.token, room, seat.name)
    async with RecordingTokenSource(run.server.url, token) as source:
        kind = Ours(mode="hybrid", token_url=source.address)
        client = await kind.start(seat)
        try:
            joined_s = await client.says("joined  ticket")
        finally:
            await client.stop()
        asked_s, answered_s = source.asked_s[0], source.answered_s[0]
    return asked_s - client.started_s, joined_s - answered_s


async def _joined(run: BenchRun, kind: Kind) -> float:
    """Return seconds from process start to joined."""
    client = await kind.start(run.seat(run.fresh_room(), 0))
    try:
        joined_s = await client.says("joined")
        # A process ended during start-up exits differently from a running one.
        await asyncio.sleep(0.3)
    finally:
        await client.stop()
    return joined_s - client.started_s
