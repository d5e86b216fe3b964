"""Start of the appliance: signals, log, initial state and control loop.

`run` is the command `ptt-appliance run`; the demo calls `appliance` with simulated
hardware. The adapters are imported late, so that the token request goes out first.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import threading
from secrets import randbelow
from typing import TYPE_CHECKING, Final

from appliance.app import App
from appliance.config import Config
from appliance.core.events import StopAsked
from appliance.core.state import State
from appliance.metrics.counters import Counters
from appliance.ports import Adapters
from appliance.process.logs import start_logging
from appliance.process.settings_store import SettingsStore, VolumeAndGain
from appliance.process.state_files import machine_identity, state_folder
from appliance.tokens.adapter import TokenAdapter, secrets

if TYPE_CHECKING:
    from appliance.assembly import Hardware

STOP_S: Final = 2.8
"""The process ends within 3 s of SIGTERM, even if something hangs."""

STDERR: Final = 2

_log = logging.getLogger(__name__)


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
