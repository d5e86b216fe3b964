"""Control loop: one inbox of events, one `step` at a time, commands and views out."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import fields
from enum import Enum
from typing import Any, Final

from appliance.core.commands import (
    Command,
    Exit,
    RoomCommand,
    StoreCommand,
    TokenCommand,
)
from appliance.core.events import (
    ConnectionDetails,
    Event,
    Failure,
    Reception,
    Started,
    Ticked,
)
from appliance.core.state import State
from appliance.core.step import step, wake_at_s
from appliance.core.view import View, view
from appliance.ports import Adapters, Tokens, Viewer

TICK_S: Final = 1.0
"""Longest time between two events: the banner counts down in whole seconds."""

Observe = Callable[[Event, State, State, float], None]
"""Called with each event, the state before and after it, and the time."""

_log = logging.getLogger(__name__)


class App:
    """Control loop of the appliance; ends with the command `Exit`."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._observe: Observe = lambda *_: None
        self._inbox: deque[tuple[Event, float]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done = asyncio.Event()
        self._failure: BaseException | None = None
        self._tokens: Tokens | None = None
        self._adapters: Adapters | None = None
        self._queued: list[Command] = []
        self._view: View | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._now_s = time.monotonic()

    def post(self, event: Event) -> None:
        """Put an event into the inbox, which `run` handles; never blocks.

        Thread: any.
        """
        self._inbox.append((event, time.monotonic()))
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._drain)

    def fail(self, exc: BaseException) -> None:
        """End the process with this unexpected exception.

        Thread: any.
        """
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._fail, exc)

    async def run(
        self,
        state: State,
        tokens: Tokens,
        make: Callable[[], Awaitable[Adapters]],
        observe: Observe,
    ) -> None:
        """Open every adapter, run until `Exit`, close them all.

        The token source is opened first, so that the first request runs while `make`
        creates the other adapters; commands for them are queued meanwhile.

        Raises:
            BaseExceptionGroup: a task of an adapter failed; systemd restarts the
                process.
        """
        self._state = state
        self._observe = observe
        self._tokens = tokens
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._on_loop_error)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(tokens)
            self.post(Started())
            adapters = await make()
            # A stop during start-up may have ended the run already.
            if not self._done.is_set():
                await adapters.enter(stack)
                self._adapters = adapters
                queued, self._queued = self._queued, []
                for command in queued:
                    self._dispatch(command)
                self._drain()
            await self._done.wait()
            self._stop_timer()
            if self._failure is not None:
                raise self._failure

    def _on_loop_error(
        self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """End the process if a callback raises, which asyncio would only log."""
        self._fail(context.get("exception") or RuntimeError(context["message"]))

    def _fail(self, exc: BaseException) -> None:
        if not self._done.is_set():
            self._failure = exc
            self._done.set()

    def _drain(self) -> None:
        """Handle every event in the inbox, then show the view."""
        if self._state is None or self._done.is_set():
            return
        try:
            while self._inbox:
                event, posted_s = self._inbox.popleft()
                self._state = self._step(self._state, event, posted_s)
            if self._adapters is not None:
                self._show(view(self._state, self._now_s), self._adapters.viewers)
        except Exception as exc:
            # asyncio would log it and continue with the event half handled.
            self._fail(exc)
            return
        self._set_timer(wake_at_s(self._state))

    def _step(self, before: State, event: Event, posted_s: float) -> State:
        # Threads may post in another order than they read the clock.
        self._now_s = max(self._now_s, posted_s)
        after, commands = step(before, event, self._now_s)
        self._observe(event, before, after, self._now_s)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s -> %s", summary(event), ", ".join(map(summary, commands)))
        for command in commands:
            self._dispatch(command)
        return after

    def _dispatch(self, command: Command) -> None:
        """Hand the command to the one adapter that owns it."""
        if isinstance(command, Exit):
            self._done.set()
        elif isinstance(command, TokenCommand):
            assert self._tokens is not None
            self._tokens.do(command)
        elif self._adapters is None:
            self._queued.append(command)
        elif isinstance(command, StoreCommand):
            self._adapters.store.do(command)
        elif isinstance(command, RoomCommand):
            self._adapters.room.do(command)
        else:
            self._adapters.sound.do(command)

    def _show(self, newest: View, viewers: tuple[Viewer, ...]) -> None:
        if newest == self._view:
            return
        self._view = newest
        for viewer in viewers:
            viewer.show(newest)

    def _set_timer(self, wake_at_s: float) -> None:
        """Post `Ticked` at the next deadline, at the latest in a second."""
        self._stop_timer()
        if self._loop is None or self._done.is_set():
            return
        wait_s = min(TICK_S, max(0.0, wake_at_s - time.monotonic()))
        self._timer = self._loop.call_later(wait_s, self.post, Ticked())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def summary(message: Event | Command | ConnectionDetails | Failure | Reception) -> str:
    """Return an event or a command for the log, without texts: some name people."""
    values = {item.name: getattr(message, item.name) for item in fields(message)}
    shown = []
    for name, value in values.items():
        if isinstance(value, int | float | Enum):
            shown.append(f"{name}={value}")
        elif isinstance(value, ConnectionDetails | Failure | Reception):
            shown.append(f"{name}={summary(value)}")
    return f"{type(message).__name__}({', '.join(shown)})"
