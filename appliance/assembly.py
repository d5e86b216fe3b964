"""Assembly of the adapters: builds all of them and connects them.

Adapters that are disabled in the configuration are not imported.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from appliance.audio.adapter import AudioAdapter
from appliance.audio.driver import Driver
from appliance.audio.echo_cancellation import CaptureProcessing
from appliance.audio.portaudio import PortAudio
from appliance.config import Config
from appliance.metrics.counters import AudioFigures, Counters
from appliance.net.network_monitor import NetworkMonitor
from appliance.panel.buttons import Buttons
from appliance.panel.lamps import Lamps
from appliance.panel.oled import open_oled, size_px
from appliance.panel.pins import PINS, PinSource
from appliance.ports import Adapters, Post, Viewer
from appliance.process.state_files import SettingsStore, state_folder
from appliance.process.systemd import SystemdNotifier
from appliance.room.adapter import LiveKitRoom
from appliance.room.apm import echo_canceller, voice_cleaner

if TYPE_CHECKING:
    from appliance.panel.screen import OpenDisplay


@dataclass(frozen=True, slots=True)
class Hardware:
    """Hardware behind the adapters; the demo replaces it by simulations."""

    sound_library: Callable[[], Driver] = PortAudio
    """Creates the driver of PortAudio, or its replacement."""
    pins: PinSource = PINS
    open_display: "OpenDisplay" = open_oled
    viewers: tuple[Viewer, ...] = ()
    """Additional viewers."""
    pin_hint: str = ""
    """Sentence that says where the PIN is shown when there is no screen."""


def adapters(
    config: Config,
    post: Post,
    hardware: Hardware,
    store: SettingsStore,
    counts: Counters,
) -> Adapters:
    """Return all adapters except the token source, not yet opened. Thread: any."""
    sound, folder = config.sound, state_folder(os.environ)
    processing = CaptureProcessing(echo_canceller(sound), voice_cleaner(sound))
    audio = AudioAdapter(config, post, hardware.sound_library, processing, folder)
    metrics = partial(metrics_text, counts, audio.figures)
    return Adapters(
        store=store,
        sound=audio,
        room=LiveKitRoom(config, post, audio.encoder_feed, audio.mixer),
        event_sources=(
            NetworkMonitor(post),
            Buttons(config.buttons, post, hardware.pins),
        ),
        viewers=(
            Lamps(config.lamps, post, hardware.pins),
            *_optional_viewers(config, post, hardware, counts, metrics),
            SystemdNotifier(audio.is_alive),
            *hardware.viewers,
        ),
    )


async def metrics_text(counts: Counters, figures: Callable[[], AudioFigures]) -> str:
    """Return the answer to `GET /metrics`.

    The first call imports prometheus-client, in a thread so as not to block the loop.
    """
    await asyncio.to_thread(import_module, "appliance.metrics.exposition")
    from appliance.metrics.exposition import prometheus_text

    return prometheus_text(counts, figures())


def _optional_viewers(
    config: Config,
    post: Post,
    hardware: Hardware,
    counts: Counters,
    metrics: Callable[[], Awaitable[str]],
) -> Iterator[Viewer]:
    if config.screen.driver != "none":
        from appliance.panel.screen import Screen

        yield Screen(config.screen, post, hardware.open_display)
    if config.page.enabled:
        from appliance.page.adapter import Page, PageSettings

        settings = PageSettings(
            name=config.name or "",
            state_directory=state_folder(os.environ),
            metrics=metrics,
            screen_px=size_px(config.screen),
            pin_hint=hardware.pin_hint,
        )
        yield Page(config.page, post, settings)
    if config.metrics.post_url:
        from appliance.metrics.push import MetricsPush

        yield MetricsPush(config.metrics.post_url, config.name or "", counts)
