"""Runs a page with few file descriptors until stdin closes; prints its address."""

import asyncio
import resource
import sys
from pathlib import Path

from tests.page.test_hostile import running, wide

FREE_DESCRIPTORS = 25
"""Descriptors left once the page is served; idle connections need more."""


async def main() -> None:
    loop = asyncio.get_running_loop()
    async with running(Path(sys.argv[1]), wide()) as (target, task):
        used = len(tuple(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (used + FREE_DESCRIPTORS, used + FREE_DESCRIPTORS)
        )
        sys.stdout.write(f"{target.host} {target.port}\n")
        sys.stdout.flush()
        ended = loop.run_in_executor(None, sys.stdin.read)
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        sys.stdout.write("ended early\n" if task.done() else "still running\n")


asyncio.run(main())
