"""Keeps the OLED's picture up to date, in a thread of its own (R4.3)."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from appliance.config import ScreenConfig
from appliance.core.events import Event
from appliance.core.view import View
from appliance.panel.display import DisplaySupervisor, OpenDisplay
from appliance.panel.oled import open_oled
from appliance.panel.screen_saver import stirring
from appliance.process.background import Background

PAUSE_S = 0.05
"""Between two pictures: eyes are no faster, and the bus needs 25 ms for one."""


class Screen:
    """Shows the newest view; a screen that is missing or slow delays nobody."""

    def __init__(
        self,
        config: ScreenConfig,
        post: Callable[[Event], None],
        open_display: OpenDisplay = open_oled,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember which screen is wanted; it is looked for after opening."""
        self._is_wanted = config.driver != "none"
        self._glass = DisplaySupervisor(config, post, open_display)
        self._clock = clock
        self._view: View | None = None
        self._stirred_at_s = clock()
        self._changed = asyncio.Event()
        self._background = Background()
        self._thread = ThreadPoolExecutor(1, "screen")

    async def __aenter__(self) -> Self:
        """Start looking for the screen."""
        if self._is_wanted:
            await self._background.open(self._run())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Go dark, after a picture that is on its way."""
        try:
            await self._background.close(*failure)
        finally:
            await self._close()

    def show(self, view: View) -> None:
        """Take the newest view."""
        # Meters move all the time, and are not on the screen.
        view = replace(view, microphone_dbfs=0, speaker_dbfs=0, is_voice=False)
        if view == self._view:
            return
        if self._view is None or stirring(view) != stirring(self._view):
            self._stirred_at_s = self._clock()
        self._view = view
        self._changed.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now_s = self._clock()
            idle_s = now_s - self._stirred_at_s
            wait_s = await loop.run_in_executor(
                self._thread, self._glass.refresh, self._view, now_s, idle_s
            )
            await asyncio.sleep(PAUSE_S)
            await self._wait(wait_s)

    async def _wait(self, wait_s: float) -> None:
        """Return when there is a newer view, or something else is due."""
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
        await loop.run_in_executor(self._thread, self._glass.close)
        self._thread.shutdown()
