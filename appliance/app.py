"""The control road: one inbox, one decision at a time, commands out, views out.

Everything that happens is posted from any thread, stepped on the loop's thread and
answered by commands. Nobody else holds the state.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from appliance.core.commands import Command, DropToken, Exit, FetchToken
from appliance.core.events import Event, Started, Ticked
from appliance.core.state import State
from appliance.core.step import step, wake_at_s
from appliance.core.view import View, view
from appliance.ports import Adapters, Tokens, Viewer

TICK_S = 1.0
"""Banners count down in whole seconds."""

Observe = Callable[[Event, State, State, float], None]

_log = logging.getLogger(__name__)


class App:
    """Runs the box until `Exit`."""

    def __init__(self) -> None:
        """Prepare; `run` begins. Adapters may be given `post` before that."""
        self._state: State | None = None
        self._observe: Observe = _unobserved
        self._inbox: deque[tuple[Event, float]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Future[None] | None = None
        self._tokens: Tokens | None = None
        self._adapters: Adapters | None = None
        self._waiting: list[Command] = []
        self._view: View | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._now_s = time.monotonic()

    def post(self, event: Event) -> None:
        """Put an event into the inbox; never blocks.

        Thread: any. What is posted before `run` waits for it, what is posted after it
        is forgotten.
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

        Args:
            state: to start from.
            tokens: opened first and set to work, so that the answer is on its way while
                everything else is made. Half of what a start takes is spent on that.
            make: returns the others, which open nothing before they are entered. What
                they are to do meanwhile waits for them, in order.
            observe: told each event with the state before and after it, for metrics.

        Raises:
            BaseExceptionGroup: an adapter's task died; systemd starts us again.
        """
        self._state = state
        self._observe = observe
        self._tokens = tokens
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()
        self._loop.set_exception_handler(self._on_loop_error)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(tokens)
            self.post(Started())
            adapters = await make()
            # It may be over already: a box that is told to stop while it starts.
            if not self._is_done():
                await adapters.enter(stack)
                self._catch_up(adapters)
            await self._done
            self._stop_timer()

    def _catch_up(self, adapters: Adapters) -> None:
        """Have them do what has waited for them, and show them the box."""
        self._adapters = adapters
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            self._give(command)
        self._drain()

    def _on_loop_error(
        self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """Take what asyncio would only log: a callback that raised."""
        self._fail(context.get("exception") or RuntimeError(context["message"]))

    def _fail(self, exc: BaseException) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc)

    def _drain(self) -> None:
        """Step through everything that was posted, then show the outcome once."""
        if self._state is None or self._is_done():
            return
        try:
            while self._inbox:
                event, posted_s = self._inbox.popleft()
                self._state = self._step(self._state, event, posted_s)
            if self._adapters is not None:
                self._show(view(self._state, self._now_s), self._adapters.viewers)
        except Exception as exc:
            # asyncio would log it and go on with half a decision.
            self._fail(exc)
            return
        self._set_timer(wake_at_s(self._state))

    def _step(self, before: State, event: Event, posted_s: float) -> State:
        # Two threads may post in another order than they looked at the clock.
        self._now_s = max(self._now_s, posted_s)
        after, commands = step(before, event, self._now_s)
        self._observe(event, before, after, self._now_s)
        _log.debug("%r -> %r", event, commands)
        for command in commands:
            self._give(command)
        return after

    def _give(self, command: Command) -> None:
        """Hand the command to the one adapter that owns it."""
        match command:
            case Exit():
                self._finish()
            case FetchToken() | DropToken():
                if self._tokens is not None:
                    self._tokens.do(command)
            case _ if self._adapters is None:
                self._waiting.append(command)
            case _:
                self._adapters.do(command)

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _is_done(self) -> bool:
        return self._done is None or self._done.done()

    def _show(self, newest: View, viewers: tuple[Viewer, ...]) -> None:
        """Give everybody the new view, if it is another one."""
        if newest == self._view:
            return
        self._view = newest
        for viewer in viewers:
            viewer.show(newest)

    def _set_timer(self, wake_at_s: float) -> None:
        """Tick at the next deadline, at the latest in a second."""
        self._stop_timer()
        if self._loop is None or self._is_done():
            return
        wait_s = min(TICK_S, max(0.0, wake_at_s - time.monotonic()))
        self._timer = self._loop.call_later(wait_s, self.post, Ticked())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _unobserved(_event: Event, _before: State, _after: State, _now_s: float) -> None:
    """Count nothing."""
