"""Puts the parts together: the one place that knows them all.

The demo comes in by `appliance`, with other hardware and otherwise the same box.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from secrets import randbelow
from typing import TYPE_CHECKING

from appliance.app import Adapters, App
from appliance.config import Config, ScreenConfig
from appliance.config.secret import secrets
from appliance.core.canvas import Size
from appliance.core.events import StopAsked
from appliance.core.state import State
from appliance.core.talk import at_rest
from appliance.metrics import Metrics
from appliance.panel.glass import OpenDisplay
from appliance.panel.oled import open_oled
from appliance.panel.pins import OpenFactory, open_factory
from appliance.ports import Part, Viewer
from appliance.sound.library import Library
from appliance.sound.portaudio import PortAudio
from appliance.sound.road import SoundRoad
from appliance.system.folder import state_folder
from appliance.system.journal import start_logging
from appliance.system.link import Link
from appliance.system.service import Service
from appliance.system.store import Kept, Store
from appliance.tokens.source import TokenSource

if TYPE_CHECKING:
    from appliance.room.adapter import LiveKitRoom

STOP_S = 2.8
"""R1.4: out within 3 s, whatever hangs."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a box is made of; the demo puts other things in these places."""

    sound_library: Callable[[], Library] = PortAudio
    """Imports PortAudio, or what stands in for it."""
    open_factory: OpenFactory = open_factory
    """Opens gpiozero's pins."""
    open_display: OpenDisplay = open_oled
    viewers: tuple[Viewer, ...] = ()
    """Further eyes on the box."""


def run(config: Config, origin: str) -> int:
    """Run the appliance until SIGTERM or Ctrl-C; return the exit status.

    Args:
        config: checked.
        origin: where it came from, for the journal.
    """
    # A native library that crashes would say nothing: not even where.
    faulthandler.enable()
    # Of the unit's LimitRTTIME.
    faulthandler.register(signal.SIGXCPU, chain=True)
    start_logging(config.log.level, secrets(config))
    _log.info("started  pid=%d config=%s", os.getpid(), origin)
    box = appliance(config, App(), Hardware(), last_resort_s=STOP_S)
    asyncio.run(box)
    _log.info("stopped")
    return 0


async def appliance(
    config: Config, app: App, hardware: Hardware, last_resort_s: float | None = None
) -> None:
    """Be the appliance until it is asked to stop.

    Args:
        config: checked.
        app: new; it can be posted to from now on.
        hardware: what the box is made of.
        last_resort_s: how long after a signal the process is ended, whatever hangs;
            None: it is not.
    """
    _stop_on_signals(app, last_resort_s)
    _die_with_threads(app)
    folder = state_folder(os.environ)
    store = Store(folder, app.post)
    kept = store.read()
    road = _road(config, app, hardware)
    state = _first_state(config, kept)
    metrics = Metrics(road.figures)
    adapters = Adapters(
        store=store,
        sound=road,
        room=_room(config, app, road),
        tokens=TokenSource(config, identity=kept.identity, post=app.post),
        parts=_parts(config, app, hardware),
        viewers=(
            *_viewers(config, app, hardware, metrics),
            Service(road.is_alive),
            *hardware.viewers,
        ),
    )
    # What lives now lives for ever: no use looking at it in each collection.
    gc.collect()
    gc.freeze()
    await app.run(state, adapters, metrics.observe)


def _first_state(config: Config, kept: Kept) -> State:
    levels = kept.levels
    return State(
        config=config,
        jitter=randbelow(1000) / 1000,
        identity=config.room.identity or kept.identity,
        talk=at_rest(config.talk.mode),
        volume_percent=levels.volume if levels else config.sound.volume,
        microphone_gain_db=(
            levels.microphone_gain_db if levels else config.sound.microphone_gain_db
        ),
    )


def _road(config: Config, app: App, hardware: Hardware) -> SoundRoad:
    from appliance.room.processing import processing

    processor = processing(config.sound)
    library = hardware.sound_library
    return SoundRoad(config.sound, config.talk, app.post, library, processor)


def _room(config: Config, app: App, road: SoundRoad) -> "LiveKitRoom":
    from appliance.room.adapter import LiveKitRoom

    return LiveKitRoom(config, app.post, road.outlet, road.playout)


def _parts(config: Config, app: App, hardware: Hardware) -> tuple[Part, ...]:
    from appliance.panel.buttons import Buttons

    return (Link(app.post), Buttons(config.buttons, app.post, hardware.open_factory))


def _viewers(
    config: Config, app: App, hardware: Hardware, metrics: Metrics
) -> tuple[Viewer, ...]:
    """Return everybody who shows the box; what is switched off is not imported."""
    from appliance.panel.lamps import Lamps

    viewers: list[Viewer] = [Lamps(config.lamps, app.post, hardware.open_factory)]
    if config.screen.driver != "none":
        from appliance.panel.screen import Screen

        viewers.append(Screen(config.screen, app.post, hardware.open_display))
    if config.page.enabled:
        viewers.append(_page(config, app, metrics))
    if config.metrics.post_url:
        from appliance.system.report import Report

        url, name = config.metrics.post_url, _name(config)
        viewers.append(Report(url, name, metrics.counts, config.room.allow_insecure))
    return tuple(viewers)


def _page(config: Config, app: App, metrics: Metrics) -> Viewer:
    from appliance.page.server import Page
    from appliance.page.site import Site

    site = Site(
        name=_name(config),
        state_directory=state_folder(os.environ),
        metrics=metrics.text,
        screen_px=_size(config.screen),
    )
    return Page(config.page, app.post, site)


def _name(config: Config) -> str:
    return config.name or socket.gethostname()


def _size(config: ScreenConfig) -> Size:
    width, _, height = config.size.partition("x")
    return int(width), int(height)


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
