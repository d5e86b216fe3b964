"""Token server under load: throughput, response time and memory, on one core."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.dtelecom.tokens import encode_base58
from tests.bench.bench_run import BenchRun
from tests.bench.client import ROOT, inherited, together_with_us
from tests.bench.process import memory
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, one

PER_S = 1000
CONNECTIONS = 100
TOKEN_MS = 1.0
RESPONSE_MS = 20.0
GROWN_MB = 1.0
WARM = 5000
"""Requests before the memory is read for the first time."""
SEED = bytes(range(32))
PUBLIC = (
    Ed25519PrivateKey.from_private_bytes(SEED)
    .public_key()
    .public_bytes(Encoding.Raw, PublicFormat.Raw)
)
MANY = {
    f"TOKEN_SERVER_{name}": "10000"
    for name in (
        *("REQUESTS_PER_S", "REQUESTS_PER_S_EACH"),
        *("CONNECTIONS", "CONNECTIONS_EACH"),
    )
}
KINDS: dict[str, dict[str, str]] = {
    "LiveKit": {
        "LIVEKIT_URL": "wss://lk.example.com",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "0123456789abcdef0123456789abcdef",
    },
    "dTelecom": {
        "TOKEN_SERVER_KIND": "dtelecom",
        "TOKEN_SERVER_DTELECOM__NODES": "[a.example.com, b.example.com]",
        "API_KEY": encode_base58(PUBLIC),
        "API_SECRET": encode_base58(SEED + PUBLIC),
    },
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a load measured."""

    seconds: float
    times_ms: list[float]
    failed: int


@dataclass(frozen=True, slots=True)
class Server:
    """A running token server."""

    pid: int
    listen: str

    async def load(
        self, requests: int, per_s: float = 0.0, *, reconnects: bool = False
    ) -> Result:
        """Send requests over all connections; `per_s` 0: as fast as it responds."""
        options = ["--requests", str(requests), "--per-s", str(per_s)]
        options += ["--connections", str(CONNECTIONS)]
        options += ["--reconnect"] if reconnects else []
        client = await asyncio.create_subprocess_exec(
            *(
                *together_with_us(),
                sys.executable,
                "-m",
                "tests.bench.token_server_load",
            ),
            *(self.listen, *options),
            env=inherited(),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await client.communicate()
        return Result(**json.loads(told))

    def memory_mb(self) -> float:
        """Return the resident memory."""
        return memory(self.pid).rss


async def measure(run: BenchRun) -> Section:
    """Load a token server for each kind of room."""
    rows: list[Row] = []
    for kind, variables in KINDS.items():
        async with serving(variables) as server:
            rows += await _rows(server, kind, run.plan.token_requests)
    return Section(f"Token server, {CONNECTIONS} connections", tuple(rows))


async def _rows(server: Server, kind: str, requests: int) -> list[Row]:
    await server.load(min(WARM, requests))
    before_mb = server.memory_mb()
    fast = await server.load(requests)
    after_mb = server.memory_mb()
    even = await server.load(requests // 5, PER_S)
    closing = await server.load(requests // 5, reconnects=True)
    closed_mb = server.memory_mb()
    each_ms = 1000 * fast.seconds / max(1, len(fast.times_ms))
    return [
        Row(
            name=f"time per token, {kind}",
            unit="ms",
            ours=one(each_ms),
            goal=Goal(TOKEN_MS),
            note=f"{1000 / each_ms:.0f} a second on one core",
        ),
        Row(
            name=f"response at {PER_S:,} a second, 99 %, {kind}",
            unit="ms",
            ours=_percentile(even, 99),
            goal=Goal(RESPONSE_MS),
            note=f"half of them within {np.median(even.times_ms or [0]):.1f} ms",
        ),
        Row(
            name=f"response while every connection is busy, 99 %, {kind}",
            unit="ms",
            ours=_percentile(fast, 99),
            is_asked=False,
        ),
        Row(
            name=f"connections reset or requests refused, {kind}",
            unit="",
            ours=one(fast.failed + even.failed + closing.failed),
            goal=Goal(0.0),
        ),
        Row(
            name=f"memory grown in {requests:,} requests, {kind}",
            unit="MB",
            ours=one(after_mb - before_mb),
            goal=Goal(GROWN_MB),
            note=f"{after_mb:.0f} MB in all",
        ),
        Row(
            name=f"memory grown in {requests // 5:,} closed connections, {kind}",
            unit="MB",
            ours=one(closed_mb - after_mb),
            goal=Goal(GROWN_MB),
        ),
    ]


def _percentile(result: Result, percent: float) -> Spread | None:
    if not result.times_ms:
        return None
    return one(float(np.percentile(result.times_ms, percent)))


@asynccontextmanager
async def serving(variables: Mapping[str, str]) -> AsyncIterator[Server]:
    """Run the program on one core, and the load on the others."""
    cores = sorted(os.sched_getaffinity(0))
    program = await asyncio.create_subprocess_exec(
        *(*together_with_us(), "taskset", "--cpu-list", str(cores[0])),
        *(sys.executable, "-m", "appliance", "token-server"),
        *("--listen", "127.0.0.1:0"),
        env={**inherited(), **MANY, **variables, "TOKEN_SERVER_ROOMS": "[kitchen]"},
        cwd=Path(ROOT),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert program.stderr is not None
        line = (await program.stderr.readline()).decode()
        reading = asyncio.ensure_future(program.stderr.read())
        yield Server(program.pid, f"127.0.0.1:{line.rpartition('port=')[2].strip()}")
    finally:
        program.terminate()
        await program.wait()
    await reading
