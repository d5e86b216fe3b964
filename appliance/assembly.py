"""Makes the parts of a box: the one place that knows them all.

What is switched off is not imported.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from appliance.app import App
from appliance.audio.adapter import AudioAdapter
from appliance.audio.driver import Driver
from appliance.audio.portaudio import PortAudio
from appliance.audio.processing import CaptureProcessing
from appliance.config import Config
from appliance.metrics.audio import AudioFigures
from appliance.metrics.counters import Counters
from appliance.net.monitor import NetworkMonitor
from appliance.panel.buttons import Buttons
from appliance.panel.display import OpenDisplay
from appliance.panel.lamps import Lamps
from appliance.panel.oled import open_oled, size_px
from appliance.panel.pins import OpenFactory, open_factory
from appliance.ports import Adapters, Viewer
from appliance.process.state_files import state_folder
from appliance.process.store import Store
from appliance.process.systemd import SystemdNotifier
from appliance.room.adapter import LiveKitRoom
from appliance.room.apm import echo_canceller, voice_cleaner

if TYPE_CHECKING:
    from appliance.metrics.registry import Registry


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a box is made of; the demo puts other things in these places."""

    sound_library: Callable[[], Driver] = PortAudio
    """Imports PortAudio, or what stands in for it."""
    open_factory: OpenFactory = open_factory
    """Opens gpiozero's pins."""
    open_display: OpenDisplay = open_oled
    viewers: tuple[Viewer, ...] = ()
    """Further eyes on the box."""
    pin_hint: str = ""
    """Sentence that says where a person finds the PIN, where no screen shows it."""


def adapters(
    config: Config, app: App, hardware: Hardware, store: Store, counts: Counters
) -> Adapters:
    """Return everything but the token source; nothing is opened yet.

    Thread: any.
    """
    processing = CaptureProcessing(
        echo_canceller(config.sound), voice_cleaner(config.sound)
    )
    driver = hardware.sound_library
    road = AudioAdapter(config.sound, config.talk, app.post, driver, processing)

    post, open_pins = app.post, hardware.open_factory
    return Adapters(
        store=store,
        sound=road,
        room=LiveKitRoom(config, post, road.encoder_feed, road.mixer),
        parts=(NetworkMonitor(post), Buttons(config.buttons, post, open_pins)),
        viewers=(
            Lamps(config.lamps, post, open_pins),
            *_screen(config, app, hardware),
            *_page(config, app, metrics_text(counts, road.figures), hardware.pin_hint),
            *_report(config, counts),
            SystemdNotifier(road.is_alive),
            *hardware.viewers,
        ),
    )


def _screen(config: Config, app: App, hardware: Hardware) -> Iterator[Viewer]:
    if config.screen.driver == "none":
        return
    from appliance.panel.screen import Screen

    yield Screen(config.screen, app.post, hardware.open_display)


def metrics_text(
    counts: Counters, figures: Callable[[], AudioFigures]
) -> Callable[[], Awaitable[str]]:
    """Return the function that answers `GET /metrics`.

    Its first call imports prometheus-client, in a thread: the event loop goes on.
    """

    @cache
    def registry() -> "Registry":
        from appliance.metrics.registry import Registry

        return Registry(counts, figures)

    async def text() -> str:
        return (await asyncio.to_thread(registry)).text()

    return text


def _page(
    config: Config,
    app: App,
    metrics: Callable[[], Awaitable[str]],
    pin_hint: str,
) -> Iterator[Viewer]:
    if not config.page.enabled:
        return
    from appliance.page.adapter import Page
    from appliance.page.settings import PageSettings

    site = PageSettings(
        name=config.name or "",
        state_directory=state_folder(os.environ),
        metrics=metrics,
        screen_px=size_px(config.screen),
        pin_hint=pin_hint,
    )
    yield Page(config.page, app.post, site)


def _report(config: Config, counts: Counters) -> Iterator[Viewer]:
    url = config.metrics.post_url
    if not url:
        return
    from appliance.metrics.push import MetricsPush

    is_insecure_fine = config.room.allow_insecure
    yield MetricsPush(url, config.name or "", counts, is_insecure_fine)
