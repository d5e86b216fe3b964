"""OLED screen, kept up to date by a thread of its own."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from appliance.config import ScreenConfig
from appliance.core.view import View
from appliance.panel.display import DisplaySupervisor, OpenDisplay
from appliance.panel.oled import open_oled
from appliance.panel.screen_saver import activity
from appliance.ports import Post
from appliance.process.background import Background

PAUSE_S = 0.05
"""Time between two pictures; the bus needs 25 ms for one."""


class Screen:
    """Viewer that shows the newest view; a missing or slow screen delays no other."""

    def __init__(
        self,
        config: ScreenConfig,
        post: Post,
        open_display: OpenDisplay = open_oled,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the configuration; the screen is opened after entering."""
        self._is_wanted = config.driver != "none"
        self._supervisor = DisplaySupervisor(config, post, open_display)
        self._clock = clock
        self._view: View | None = None
        self._active_at_s = clock()
        self._changed = asyncio.Event()
        self._background = Background()
        self._thread = ThreadPoolExecutor(1, "screen")

    async def __aenter__(self) -> Self:
        """Start the task that finds and updates the screen."""
        if self._is_wanted:
            await self._background.open(self._run())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Switch the screen off, after the picture that is being sent."""
        try:
            await self._background.close(*failure)
        finally:
            await self._close()

    def show(self, view: View) -> None:
        """Show the newest view."""
        # Level meters change all the time and are not on the screen.
        view = replace(view, microphone_dbfs=0, speaker_dbfs=0, is_voice=False)
        if view == self._view:
            return
        if self._view is None or activity(view) != activity(self._view):
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
            await self._wait(wait_s)

    async def _wait(self, wait_s: float) -> None:
        """Wait for a newer view, for `wait_s` at most."""
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _close(self) -> None:
        if not self._is_wanted:
            return
        self._is_wanted = False
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._supervisor.close)
        self._thread.shutdown()
