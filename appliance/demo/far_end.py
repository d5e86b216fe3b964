"""The companion's process, seen from the demo."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from appliance.demo.report import LONGEST_LINE, Lost, Order, Report, decoded

GOODBYE_S: Final = 2.0
"""It leaves the room in 0.1 s; after that it is ended without asking."""
LAST_WORDS: Final = 5
"""Lines of its standard error that are shown when it ended by itself."""


class FarEnd:
    """Starts the companion, passes on what it tells, and ends it."""

    def __init__(self, order: Order, told: Callable[[Report], None]) -> None:
        """Prepare.

        Args:
            order: where the companion is to go.
            told: takes each report, on the loop's thread.
        """
        self._order = order
        self._told = told
        self._process: Process | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._is_ending = False

    async def __aenter__(self) -> Self:
        """Start the process; its first report tells when it has joined."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "appliance.demo.companion",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=LONGEST_LINE,
            # The terminal's signals are for the demo, which says goodbye in order.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(self._order) + b"\n")
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._tasks.create_task(self._listen(self._process))
        self._tasks.create_task(self._overhear(self._process))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process, politely if it goes on its own."""
        tasks, self._tasks = self._tasks, None
        if tasks is None or self._process is None:
            return
        self._is_ending = True
        await _end(self._process)
        await tasks.__aexit__(kind, error, trace)

    @property
    def pid(self) -> int | None:
        """The companion's process."""
        return self._process.pid if self._process else None

    @property
    def is_over(self) -> bool:
        """Whether the companion has ended."""
        return self._process is not None and self._process.returncode is not None

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._told(decoded(line))
        await process.wait()
        if not self._is_ending:
            words = "\n".join(self._words) or "it said nothing"
            self._told(Lost(f"the companion ended: {words}"))

    async def _overhear(self, process: Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self._words.append(line.decode(errors="replace").rstrip())


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await process.wait()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
