"""Compilers on every processor, as when somebody builds software on the machine."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.client import UnmeasurableError

LINES = 400
"""Functions in the compiled file: half a second of work for each compiler."""
LOWER = ("nice", "--adjustment=10")
"""Priority of the compilers. The appliance's unit has `Nice=-10`, so it is ten steps
above ordinary programs; here it has the ordinary priority, and they are below."""
LOOP = """
while :; do
    echo "$SOURCE" | "$COMPILER" -O2 -x c -c -o /dev/null -
done
"""


@asynccontextmanager
async def compiling() -> AsyncIterator[None]:
    """Keep a compiler at work on each processor, at a lower priority (`LOWER`).

    Raises:
        UnmeasurableError: there is no gcc.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        sentence = "gcc is missing"
        raise UnmeasurableError(sentence)
    env = {**os.environ, "COMPILER": compiler, "SOURCE": _source()}
    # Groups of their own, because each compiler has child processes.
    loops = [
        await asyncio.create_subprocess_exec(
            *LOWER, "sh", "-c", LOOP, env=env, start_new_session=True
        )
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for loop in loops:
            os.killpg(loop.pid, signal.SIGKILL)
        await asyncio.gather(*(loop.wait() for loop in loops))


def _source() -> str:
    head = "double values[4096];"
    functions = (
        f"double f{n}(int k) {{ double s = {n}; for (int i = 0; i < k; i++)"
        f" s += values[i] * values[(i * {n} + 7) & 4095] / (1 + s * s); return s; }}"
        for n in range(LINES)
    )
    return "\n".join((head, *functions))
