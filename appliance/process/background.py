"""One coroutine that runs for as long as its adapter is open."""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType

Work = Callable[[], Coroutine[object, object, None]]


class Background:
    """Runs the work; if it fails, whoever opened the adapter is told (R1.4)."""

    def __init__(self, work: Work) -> None:
        """Remember the work; it starts with `open`."""
        self._work = work
        self._group: asyncio.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start."""
        self._group = await asyncio.TaskGroup().__aenter__()
        self._task = self._group.create_task(self._work())

    async def close(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop and wait; closing twice is fine.

        Raises:
            ExceptionGroup: the work had failed.
        """
        if self._group is None or self._task is None:
            return
        group, self._group = self._group, None
        self._task.cancel()
        if isinstance(error, asyncio.CancelledError):
            await group.__aexit__(kind, error, traceback)
        else:
            # Any other error is not the work's, and the group would wrap it up.
            await group.__aexit__(None, None, None)
