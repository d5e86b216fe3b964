"""Relay to dTelecom's servers: joining through it, its latency and its CPU time."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from livekit import rtc
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from appliance.dtelecom.relay import Relay
from tests.bench.bench_run import BenchRun
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, one, spread
from tests.dtelecom.real_node import Node, response_of_fork
from tests.dtelecom.wire import field

JOINS = 10
JOIN_GOAL_S = 0.4
LATENCY_GOAL_MS = 1.0
CPU_GOAL_PERCENT = 1.0
ROUNDS = 500
RATE_HZ = 20
"""Messages a second; a room where several people talk sends about ten."""

_PERSON = field(1, "PA_xxxxxxxxxxxx") + field(2, "ann") + field(9, "Ann" * 5)
MESSAGE = response_of_fork(field(5, field(1, _PERSON) * 2))
"""Change of two participants, as a node sends it; the relay has to rewrite it."""


async def measure(run: BenchRun) -> Section:
    """Measure joins on a real server that answers as a node, and echoed messages."""
    direct = await _echoed(is_relayed=False)
    relayed = await _echoed(is_relayed=True)
    cost_ms = max(0.0, relayed.cpu_ms - direct.cpu_ms)
    return Section(
        "Relay to dTelecom",
        (
            Row(
                name="joining through the relay",
                unit="s",
                ours=await _joins(run),
                goal=Goal(JOIN_GOAL_S, "high"),
            ),
            Row(
                name="latency that the relay adds",
                unit="ms",
                ours=_less(relayed.ways_ms, direct.ways_ms),
                goal=Goal(LATENCY_GOAL_MS),
            ),
            Row(
                name=f"CPU time at {RATE_HZ} messages a second",
                unit="%",
                ours=one(cost_ms * RATE_HZ / 1000 * 100),
                goal=Goal(CPU_GOAL_PERCENT),
            ),
        ),
    )


async def _joins(run: BenchRun) -> Spread | None:
    seconds = []
    async with Node(run.server) as node:
        for _ in range(JOINS):
            token = run.token(run.fresh_room(), "box")
            async with _relay(node.url) as url:
                room = rtc.Room()
                options = rtc.RoomOptions(single_peer_connection=False)
                since_s = time.monotonic()
                await room.connect(url, token, options)
                seconds.append(time.monotonic() - since_s)
                await room.disconnect()
    return spread(seconds)


@dataclass(frozen=True, slots=True)
class _Echo:
    """Times of messages that a server sent back."""

    ways_ms: list[float]
    """Half of each round trip."""
    cpu_ms: float
    """CPU time of this process per message."""


async def _echoed(*, is_relayed: bool) -> _Echo:
    async with serve(_echo, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if not is_relayed:
            return await _round_trips(url)
        async with _relay(url) as relay_url:
            return await _round_trips(relay_url)


async def _round_trips(url: str) -> _Echo:
    ways_ms = []
    async with connect(f"{url}/rtc", compression=None, proxy=None) as client:
        began_s = time.process_time()
        for _ in range(ROUNDS):
            since_s = time.perf_counter()
            await client.send(MESSAGE)
            await client.recv()
            ways_ms.append((time.perf_counter() - since_s) * 500)
        cpu_ms = (time.process_time() - began_s) * 1000 / ROUNDS
    return _Echo(ways_ms, cpu_ms)


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def _relay(url: str) -> AsyncIterator[str]:
    relay = Relay((url,))
    await relay.open()
    yield relay.url
    await relay.close()


def _less(times_ms: list[float], without_ms: list[float]) -> Spread | None:
    base = spread(without_ms)
    assert base is not None
    return spread([x - base.median for x in times_ms])
