"""OLED screen: probed, drawn, dimmed and saved by a thread of its own.

A box that cannot run shows the faults of its configuration (`show_faults`).
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from appliance.config import Config, ScreenConfig
from appliance.config.load import screen_of
from appliance.core.events import Part
from appliance.core.state import ScreenPage, State
from appliance.core.view import ConnectionState, View
from appliance.core.view import view as view_of
from appliance.display.rendering import picture, pixel_shift
from appliance.errors import Fault, PanelError
from appliance.panel.oled import NAME, Oled, open_oled, size_px
from appliance.panel.pins import import_errors
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog, FaultReport
from appliance.process.logs import is_run_by_systemd

if TYPE_CHECKING:
    from PIL.Image import Image

SHIFT_S: Final = 60.0
"""Time between two steps of the picture's shift; as in kvmd."""
PAUSE_S: Final = 0.05
"""Time between two pictures; the bus needs 25 ms for one."""
PROBE_S: Final = 1.5
"""Time between two probes, of a missing screen and of a working one."""
PATIENCE: Final = 2
"""Probes of a missing screen that are not reported; our choice: it is to be named
within 5 s of the start."""
FAULT_TRIES: Final = 10
"""Attempts to open the screen for faults: its bus may be some seconds late at boot."""
FAULT_RETRY_S: Final = 0.5
OpenDisplay = Callable[[ScreenConfig], Oled]
"""Opens the screen; raises `PanelError` if there is none."""

_log = logging.getLogger(__name__)


def is_awake(before: View, view: View) -> bool:
    """Return whether this change of the view wakes the screen.

    Out of the room only requests and hardware faults do: countdown and attempts would
    keep the screen on for as long as an outage lasts. Presses, and losses and returns
    of the room, are counted in `View.wakes`.
    """
    is_in_room = {before.connection, view.connection} == {ConnectionState.CONNECTED}
    if is_in_room and _talk(before) != _talk(view):
        return True
    return _requests(before) != _requests(view)


def _talk(view: View) -> tuple[object, ...]:
    return view.talk, view.talkers, view.chat, view.faults


def _requests(view: View) -> tuple[object, ...]:
    settings = view.screen_page, view.volume_percent, view.preset
    return *settings, view.wakes, view.fault_ids


class Screen:
    """Viewer that shows the newest view; a missing or slow screen delays no other."""

    def __init__(
        self,
        config: ScreenConfig,
        post: Post,
        open_display: OpenDisplay = open_oled,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = DisplaySupervisor(config, post, open_display)
        self._clock = clock
        self._view: View | None = None
        self._active_at_s = clock()
        self._changed = asyncio.Event()
        self._background = Background()
        self._thread = ThreadPoolExecutor(1, "screen")

    async def __aenter__(self) -> Self:
        await self._background.open(self._run())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Switch the screen off, after the picture that is being sent."""
        if not self._background.is_open:
            return
        try:
            await self._background.close(*failure)
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._supervisor.close)
            self._thread.shutdown()

    def show(self, view: View) -> None:
        """Show the newest view."""
        # Level meters change all the time and are not on the screen.
        view = replace(view, microphone_dbfs=0, speaker_dbfs=0, is_voice=False)
        if view == self._view:
            return
        if self._view is None or is_awake(self._view, view):
            self._active_at_s = self._clock()
        self._view = view
        self._changed.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now_s = self._clock()
            idle_s = now_s - self._active_at_s
            wait_s = await loop.run_in_executor(
                self._thread, self._supervisor.refresh, self._view, now_s, idle_s
            )
            await asyncio.sleep(PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()


class DisplaySupervisor:
    """Supervisor of one screen that may be unplugged and plugged in again.

    Thread: always the same one, never the event loop's.
    """

    def __init__(
        self, config: ScreenConfig, post: Post, open_display: OpenDisplay
    ) -> None:
        self._config = config
        self._size = size_px(config)
        self._open_display = open_display
        self._display: Oled | None = None
        self._probe_at_s = -inf
        log = FaultLog(_log, "screen lost", "screen found")
        self._report = FaultReport(post, Part.SCREEN, NAME, log, PATIENCE)
        self._shown: Image | None = None
        self._is_lit = True
        self._is_dim: bool | None = None
        """None: not yet set."""

    def refresh(self, view: View | None, now_s: float, idle_s: float) -> float:
        """Do everything that is due, and return the seconds until the next probe.

        `now_s` is the time on a monotonic clock, `idle_s` that without activity.
        """
        is_due = now_s >= self._probe_at_s
        if is_due:
            self._probe_at_s = now_s + PROBE_S
        try:
            if is_due:
                self._probe()
            if self._display is not None:
                if view is not None:
                    self._update(self._display, view, now_s, idle_s)
                self._report.found()
        except PanelError as exc:
            self.close()
            self._report.lost(exc.reason)
        return self._probe_at_s - now_s

    def close(self) -> None:
        """Switch the screen off."""
        display, self._display = self._display, None
        if display is None:
            return
        try:
            display.close()
        except PanelError as exc:
            _log.debug("screen failed while closing  reason=%r", exc.reason)

    def _probe(self) -> None:
        """Open the screen, or check whether it lost its picture."""
        if self._display is None:
            self._display = self._open_display(self._config)
        elif self._display.check():
            return
        self._shown, self._is_lit, self._is_dim = None, True, None

    def _update(self, display: Oled, view: View, now_s: float, idle_s: float) -> None:
        """Show the view, dimmed or dark after a while to protect the OLED."""
        is_lit = not 0 < self._config.sleep_after_s <= idle_s
        is_dim = 0 < self._config.dim_after_s <= idle_s
        if is_lit != self._is_lit:
            display.light(is_lit=is_lit)
            self._shown, self._is_lit, self._is_dim = None, is_lit, None
        if not is_lit:
            return
        with import_errors(NAME):
            shown = picture(view, self._size, pixel_shift(int(now_s // SHIFT_S)))
        if shown != self._shown:
            display.show(shown)
            self._shown = shown
        if is_dim != self._is_dim:
            display.dim(is_dim=is_dim)
            self._is_dim = is_dim


def show_faults_of_service(
    path: Path | None, settings: Sequence[str], faults: tuple[Fault, ...]
) -> None:
    """Show the faults of a configuration, unless a person sees them in a terminal."""
    if is_run_by_systemd(os.environ):
        show_faults(screen_of(path, settings, os.environ), faults)


def show_faults(
    config: ScreenConfig,
    faults: tuple[Fault, ...],
    open_display: OpenDisplay = open_oled,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the faults, dimmed and lasting, if there is a screen."""
    if config.driver == "none":
        return
    for _ in range(FAULT_TRIES):
        with suppress(PanelError):
            _show_faults(open_display(config), config, faults)
            return
        sleep(FAULT_RETRY_S)


def _show_faults(
    display: Oled, config: ScreenConfig, faults: tuple[Fault, ...]
) -> None:
    # Only the name of the file: its path would fill two lines.
    sentences = tuple(
        str(replace(fault, source=Path(fault.source).name)) for fault in faults
    )
    shown = view_of(State(config=Config(screen=config)), 0.0)
    fault_view = replace(shown, screen_page=ScreenPage.HEALTH, faults=sentences)
    try:
        with import_errors(NAME):
            display.show(picture(fault_view, size_px(config)))
        # It stays for days, perhaps: protect the OLED from burn-in.
        display.dim(is_dim=True)
    finally:
        display.release()
