"""Background tasks of an adapter, opened and closed in its own context manager."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Work = Coroutine[object, object, None]
Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Run a coroutine as a task, as `Background.start` does; failure ends the process."""


class Background:
    """Tasks that run while their adapter is open. Thread: the event loop's.

    A task that raises ends the `async with` block of the adapter, and the process.
    """

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether tasks can be started."""
        return self._group is not None

    async def open(self, *works: Work) -> None:
        """Start these tasks; `start` adds more later."""
        self._group = await asyncio.TaskGroup().__aenter__()
        for work in works:
            self.start(work)

    def start(self, work: Work) -> asyncio.Task[None]:
        """Start one more task."""
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait(self, timeout_s: float) -> None:
        """Wait until every task has ended, at most this long; none is cancelled."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def close(self, *failure: object) -> None:
        """Cancel all tasks and wait for their end; a second call does nothing.

        `failure` are the arguments of `__aexit__`. A task's failure is raised.
        """
        group, self._group = self._group, None
        if group is None:
            return
        for task in tuple(self._tasks):
            task.cancel()
        exc = failure[1] if len(failure) > 1 else None
        if isinstance(exc, asyncio.CancelledError):
            await group.__aexit__(type(exc), exc, exc.__traceback__)
        else:
            # Other errors come from the block itself; the group would wrap them.
            await group.__aexit__(None, None, None)
