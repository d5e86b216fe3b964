"""Stalls of the machine itself, to tell them from faults of a client."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.bench.client import together_with_us
from tests.bench.report import Row
from tests.bench.spread import one

LEAST_MS = 10.0
"""10 ms, the buffer of our box at its card; a packet is twice as long."""
WATCH = """
import os, sys, time
processor = int(sys.argv[1])
os.sched_setaffinity(0, {processor})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(90))
except PermissionError:
    pass
before = time.monotonic()
while True:
    # The delay of the return is measured.
    time.sleep(0.005)
    now = time.monotonic()
    late_ms = (now - before - 0.005) * 1000
    before = now
    if late_ms >= float(sys.argv[2]):
        print(late_ms, flush=True)
"""


@dataclass(slots=True)
class Pauses:
    """Stalls recorded by the watchers."""

    since_s: float
    late_ms: list[float] = field(default_factory=list)
    """Delay of each stall, on all processors."""
    watchers: list[int] = field(default_factory=list)
    """Process ids of the watchers."""

    def row(self) -> Row:
        """Return a line for the table, without a goal."""
        minutes = (time.monotonic() - self.since_s) / 60
        longest = f"longest {max(self.late_ms):.0f} ms" if self.late_ms else ""
        return Row(
            name=f"meanwhile, pauses of a processor of {LEAST_MS:.0f} ms or more",
            unit="/min",
            ours=one(len(self.late_ms) / minutes),
            note=longest,
        )


@asynccontextmanager
async def watched() -> AsyncIterator[Pauses]:
    """Run a process of highest priority on each processor that checks the clock.

    As root it is delayed only by the kernel and the host, otherwise also by other
    processes.
    """
    pauses = Pauses(time.monotonic())
    watchers = [
        await asyncio.create_subprocess_exec(
            *together_with_us(),
            *(sys.executable, "-c", WATCH, str(processor), str(LEAST_MS)),
            stdout=PIPE,
        )
        for processor in sorted(os.sched_getaffinity(0))
    ]
    pauses.watchers += [watcher.pid for watcher in watchers]
    readers = [asyncio.create_task(_read(each, pauses)) for each in watchers]
    try:
        yield pauses
    finally:
        for watcher in watchers:
            watcher.kill()
        await asyncio.gather(*readers, *(watcher.wait() for watcher in watchers))


async def _read(watcher: asyncio.subprocess.Process, pauses: Pauses) -> None:
    assert watcher.stdout is not None
    async for line in watcher.stdout:
        pauses.late_ms.append(float(line))
