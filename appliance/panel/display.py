"""Supervisor of the screen: probing, drawing, dimming. Time is an argument."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from appliance.config import ScreenConfig
from appliance.core.events import Part
from appliance.core.view import View
from appliance.display.rendering import drift, picture
from appliance.errors import PanelError
from appliance.panel.i2c import NAME, needed_modules
from appliance.panel.oled import size_px
from appliance.panel.screen_saver import (
    ScreenSaverState,
    brightness,
    drift_step,
    next_change_s,
)
from appliance.ports import Post
from appliance.process.fault_report import FaultLog, FaultReport

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger(__name__)

PROBE_S = 2.0
"""Time between two probes, of a missing screen and of a working one."""


class Display(Protocol):
    """Opened screen; every call may raise `PanelError`, and then it is unusable."""

    def show(self, picture: "Image", /) -> None:
        """Show a picture, and switch the panel on the first time."""

    def check(self) -> bool:
        """Return False if the picture was lost by a power cut."""

    def dim(self, *, is_dim: bool) -> None:
        """Dim the panel, or end dimming."""

    def light(self, *, is_lit: bool) -> None:
        """Switch the panel on or off."""

    def close(self) -> None:
        """Switch the panel off and release the bus."""


OpenDisplay = Callable[[ScreenConfig], Display]
"""Opens the screen; raises `PanelError` if there is none."""


class DisplaySupervisor:
    """Supervisor of one screen that may be unplugged and plugged in again.

    Thread: always the same one, never the event loop's.
    """

    def __init__(
        self,
        config: ScreenConfig,
        post: Post,
        open_display: OpenDisplay,
    ) -> None:
        """Keep the configuration; nothing is opened yet."""
        self._config = config
        self._size = size_px(config)
        self._open_display = open_display
        self._display: Display | None = None
        self._probe_at_s = float("-inf")
        """Time of the next probe."""
        log = FaultLog(_log, "screen lost", "screen found")
        self._report = FaultReport(post, Part.SCREEN, NAME, log)
        self._shown: Image | None = None
        self._brightness: ScreenSaverState | None = None

    def refresh(self, view: View | None, now_s: float, idle_s: float) -> float:
        """Do everything that is due.

        Args:
            view: what to show; None: nothing yet.
            now_s: time on a monotonic clock.
            idle_s: time without activity.

        Returns:
            Seconds until something is due again if the view does not change.
        """
        is_due = now_s >= self._probe_at_s
        if is_due:
            self._probe_at_s = now_s + PROBE_S
        if is_due and self._display is None:
            self._find()
        if self._display is not None:
            self._use(self._display, view, now_s, idle_s, is_due=is_due)
        next_probe_s = self._probe_at_s - now_s
        return min(next_probe_s, next_change_s(now_s, idle_s, self._config))

    def close(self) -> None:
        """Switch the screen off."""
        display, self._display = self._display, None
        if display is None:
            return
        try:
            display.close()
        except PanelError as exc:
            _log.debug("screen failed while closing  reason=%r", exc.reason)

    def _find(self) -> None:
        try:
            self._display = self._open_display(self._config)
        except PanelError as exc:
            self._report.lost(exc.reason)
            return
        self._shown = self._brightness = None

    def _use(
        self,
        display: Display,
        view: View | None,
        now_s: float,
        idle_s: float,
        *,
        is_due: bool,
    ) -> None:
        try:
            if is_due and not display.check():
                _log.info("screen was without power")
                self._shown = self._brightness = None
            if view is not None:
                self._update(display, view, now_s, idle_s)
        except PanelError as exc:
            self.close()
            self._report.lost(exc.reason)
            return
        self._report.found()

    def _update(
        self, display: Display, view: View, now_s: float, idle_s: float
    ) -> None:
        wanted = brightness(idle_s, self._config)
        if wanted is not ScreenSaverState.DARK:
            with needed_modules():
                shown = picture(view, self._size, drift(drift_step(now_s)))
            self._draw(display, shown)
        if wanted is not self._brightness:
            self._set_brightness(display, wanted)

    def _draw(self, display: Display, wanted: "Image") -> None:
        if wanted != self._shown:
            display.show(wanted)
            self._shown = wanted

    def _set_brightness(self, display: Display, wanted: ScreenSaverState) -> None:
        if wanted is not ScreenSaverState.DARK:
            display.dim(is_dim=wanted is ScreenSaverState.DIM)
        if ScreenSaverState.DARK in {wanted, self._brightness}:
            display.light(is_lit=wanted is not ScreenSaverState.DARK)
        self._brightness = wanted
