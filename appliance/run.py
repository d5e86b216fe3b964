"""Starts the box: signals, log, control road; everything else comes by `assembly`.

The demo comes in by `appliance`, with other hardware and otherwise the same box.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import threading
from secrets import randbelow
from typing import TYPE_CHECKING

from appliance.app import App
from appliance.config import Config
from appliance.config.secrets import secrets
from appliance.core.events import StopAsked
from appliance.core.state import State
from appliance.core.talk import initial_talk
from appliance.metrics.counters import Counters
from appliance.ports import Adapters
from appliance.process.logs import is_run_by_systemd, start_logging
from appliance.process.native_stderr import limit_native_stderr
from appliance.process.state_files import state_folder
from appliance.process.store import Store, StoredState
from appliance.tokens.source import TokenSource

if TYPE_CHECKING:
    from appliance.assembly import Hardware

STOP_S = 2.8
"""R1.4: out within 3 s, whatever hangs."""

_log = logging.getLogger(__name__)


def run(config: Config, origin: str) -> int:
    """Run the appliance until SIGTERM or Ctrl-C; return the exit status.

    Args:
        config: checked.
        origin: where it came from, for the journal.
    """
    hidden = secrets(config)
    is_journal = is_run_by_systemd(os.environ)
    stderr = limit_native_stderr(hidden, has_priority=is_journal)
    # A native library that crashes would say nothing: not even where.
    faulthandler.enable(stderr)
    # Of the unit's LimitRTTIME.
    faulthandler.register(signal.SIGXCPU, stderr, chain=True)
    start_logging(config.log.level, hidden, stderr)
    _log.info("started  pid=%d config=%s", os.getpid(), origin)
    box = appliance(config, App(), last_resort_s=STOP_S)
    asyncio.run(box)
    _log.info("stopped")
    return 0


async def appliance(
    config: Config,
    app: App,
    hardware: "Hardware | None" = None,
    last_resort_s: float | None = None,
) -> None:
    """Be the appliance until it is asked to stop.

    Args:
        config: checked.
        app: new; it can be posted to from now on.
        hardware: what the box is made of; None: the real one.
        last_resort_s: how long after a signal the process is ended, whatever hangs;
            None: it is not.
    """
    _stop_on_signals(app, last_resort_s)
    _die_with_threads(app)
    store = Store(state_folder(os.environ), app.post)
    kept = store.read()
    counts = Counters()
    tokens = TokenSource(config, identity=kept.identity, post=app.post)

    async def make() -> Adapters:
        await tokens.asked()
        made = await asyncio.to_thread(_made, config, app, hardware, store, counts)
        # What lives now lives for ever: no use looking at it in each collection.
        gc.collect()
        gc.freeze()
        return made

    await app.run(_first_state(config, kept), tokens, make, counts.observe)


def _made(
    config: Config,
    app: App,
    hardware: "Hardware | None",
    store: Store,
    counts: Counters,
) -> Adapters:
    """Return everything else; most of the time goes into the import.

    Thread: any, while the loop asks for a token.
    """
    from appliance.assembly import Hardware, adapters

    return adapters(config, app, hardware or Hardware(), store, counts)


def _first_state(config: Config, kept: StoredState) -> State:
    levels = kept.levels
    return State(
        config=config,
        jitter=randbelow(1000) / 1000,
        identity=config.room.identity or kept.identity,
        talk=initial_talk(config.talk.mode),
        volume_percent=levels.volume if levels else config.sound.volume,
        microphone_gain_db=(
            levels.microphone_gain_db if levels else config.sound.microphone_gain_db
        ),
    )


def _stop_on_signals(app: App, last_resort_s: float | None) -> None:
    def stop() -> None:
        app.post(StopAsked())
        if last_resort_s is not None:
            # Something native may hang: a name that is looked up, a card that closes.
            timer = threading.Timer(last_resort_s, os._exit, [0])
            timer.daemon = True
            timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _die_with_threads(app: App) -> None:
    """End the process when a thread of ours dies: systemd starts a whole one."""
    before = threading.excepthook

    def end(what: threading.ExceptHookArgs) -> None:
        before(what)
        app.fail(what.exc_value or RuntimeError("a thread ended"))

    threading.excepthook = end
