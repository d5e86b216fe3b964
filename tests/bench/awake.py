"""Processors that do not sleep."""

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
    """Keep every processor busy with something that makes way for anything else.

    A virtual machine's processor that has nothing to do is given away by its host, and
    is back late: measured here, a thread that sleeps for 5 ms at a time wakes more than
    5 ms late ten times in 20 s (18 ms at worst), and once with this (6 ms). A Pi has no
    host.

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
