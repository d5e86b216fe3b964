"""Busy loop of lowest priority that keeps the processors awake."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.client import together_with_us

SPIN = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True:
    pass
"""


@asynccontextmanager
async def awake() -> AsyncIterator[None]:
    """Keep every processor busy with a process that yields to any other.

    The host of a virtual machine reassigns an idle processor, which then returns
    late: measured here, a thread that sleeps for 5 ms at a time wakes more than
    5 ms late ten times in 20 s (18 ms at worst), and once with this (6 ms). A
    Raspberry Pi has no host.

    Source: sched(7), `SCHED_IDLE`: extremely low priority, lower even than nice 19.
    """
    command = (*together_with_us(), sys.executable, "-c", SPIN)
    spinners = [
        await asyncio.create_subprocess_exec(*command)
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
        await asyncio.gather(*(spinner.wait() for spinner in spinners))
