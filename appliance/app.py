"""Start of the appliance, and its control loop.

`run` is the command `ptt-appliance run`; the demo calls `appliance` with simulated
hardware. Both set up signals, log and initial state, and run `App`: one inbox of
events, one `step` at a time, commands and views out. The adapters are imported late, so
that the token request goes out first.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import fields
from enum import Enum
from secrets import randbelow
from typing import TYPE_CHECKING, Any, Final

from appliance.config import Config
from appliance.core.commands import (
    Command,
    Exit,
    FetchToken,
    RoomCommand,
    StoreVolumeAndGain,
)
from appliance.core.events import (
    ConnectionDetails,
    Event,
    Failure,
    Reception,
    Started,
    StopAsked,
    Ticked,
)
from appliance.core.state import State
from appliance.core.step import step, wake_at_s
from appliance.core.view import View, view
from appliance.metrics.counters import Counters
from appliance.ports import Adapters, Tokens, Viewer
from appliance.process.logs import start_logging
from appliance.process.state_files import (
    SettingsStore,
    VolumeAndGain,
    machine_identity,
    state_folder,
)
from appliance.tokens.adapter import TokenAdapter, secrets

if TYPE_CHECKING:
    from appliance.assembly import Hardware

STOP_S: Final = 2.8
"""The process ends within 3 s of SIGTERM, even if something hangs."""
TICK_S: Final = 1.0
"""Longest time between two events: the banner counts down in whole seconds."""
STDERR: Final = 2

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
        for command in commands:
            self._dispatch(command)
        self._observe(event, before, after, self._now_s)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s -> %s", summary(event), ", ".join(map(summary, commands)))
        return after

    def _dispatch(self, command: Command) -> None:
        """Hand the command to the one adapter that owns it."""
        if isinstance(command, Exit):
            self._done.set()
        elif isinstance(command, FetchToken):
            assert self._tokens is not None
            self._tokens.do(command)
        elif self._adapters is None:
            self._queued.append(command)
        elif isinstance(command, StoreVolumeAndGain):
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
    shown = []
    for item in fields(message):
        value = getattr(message, item.name)
        if isinstance(value, int | float | Enum):
            shown.append(f"{item.name}={value}")
        elif isinstance(value, ConnectionDetails | Failure | Reception):
            shown.append(f"{item.name}={summary(value)}")
    return f"{type(message).__name__}({', '.join(shown)})"


def run(config: Config, origin: str) -> int:
    """Run the appliance until SIGTERM or Ctrl-C; return the exit status.

    `origin` is the path of the configuration file, for the log.
    """
    # Print the stacks when a native library crashes.
    faulthandler.enable(STDERR)
    # The kernel sends it at the unit's LimitRTTIME.
    faulthandler.register(signal.SIGXCPU, STDERR, chain=True)
    start_logging(config.log.level, secrets(config))
    _log.info("started  pid=%d config=%s", os.getpid(), origin)
    asyncio.run(appliance(config, App(), last_resort_s=STOP_S))
    _log.info("stopped")
    return 0


async def appliance(
    config: Config,
    app: App,
    hardware: "Hardware | None" = None,
    last_resort_s: float | None = None,
) -> None:
    """Run the appliance until it is asked to stop.

    Events can be posted to `app`, a new one, before and meanwhile. After a signal the
    process is killed when `last_resort_s` has passed; None: never.
    """
    _stop_on_signals(app, last_resort_s)
    _fail_with_threads(app)
    folder = state_folder(os.environ)
    identity = machine_identity(folder)
    store = SettingsStore(folder, app.post)
    kept = store.read()
    counts = Counters()
    tokens = TokenAdapter(config, identity=identity, post=app.post)

    def build() -> Adapters:
        from appliance.assembly import Hardware, adapters

        return adapters(config, app.post, hardware or Hardware(), store, counts)

    async def make() -> Adapters:
        await tokens.asked()
        # In a thread, because importing takes long and a token is fetched meanwhile.
        made = await asyncio.to_thread(build)
        # Objects that exist now live until the end: exclude them from collections.
        gc.collect()
        gc.freeze()
        return made

    state = _initial_state(config, identity, kept)
    await app.run(state, tokens, make, counts.observe)


def _initial_state(config: Config, identity: str, kept: VolumeAndGain) -> State:
    sound = config.sound
    volume, gain_db = kept.volume, kept.microphone_gain_db
    return State(
        config=config,
        jitter=randbelow(1000) / 1000,
        identity=config.room.identity or identity,
        volume_percent=sound.volume if volume is None else volume,
        microphone_gain_db=sound.microphone_gain_db if gain_db is None else gain_db,
    )


def _stop_on_signals(app: App, last_resort_s: float | None) -> None:
    def stop() -> None:
        app.post(StopAsked())
        if last_resort_s is not None:
            # Native code may hang: a name look-up, the closing of a sound card.
            timer = threading.Timer(last_resort_s, os._exit, [0])
            timer.daemon = True
            timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _fail_with_threads(app: App) -> None:
    """End the process when a thread raises, so that systemd restarts it."""
    original = threading.excepthook

    def fail(args: threading.ExceptHookArgs) -> None:
        original(args)
        app.fail(args.exc_value or RuntimeError("a thread ended"))

    threading.excepthook = fail
