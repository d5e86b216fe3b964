"""Supervision of the screen: probing, drawing, dimming. Time is an argument."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from appliance.config import ScreenConfig
from appliance.core.events import Event, Part, PartFound, PartLost
from appliance.core.view import View
from appliance.display.rendering import drift, picture
from appliance.errors import PanelError
from appliance.panel.i2c import NAME, needed_modules
from appliance.panel.oled import size_px
from appliance.panel.screen_saver import (
    ScreenSaverState,
    drift_step,
    glow,
    next_change_s,
)

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

PROBE_S = 2.0
"""Between two probes, of a missing screen and of one that is there."""


class Display(Protocol):
    """A screen that is there; every call may raise `PanelError`: it has gone."""

    def show(self, picture: "Image", /) -> None:
        """Show a picture, and light up the first time."""

    def check(self) -> bool:
        """Return whether it still has its picture; after a power cut it has not."""

    def dim(self, *, is_dim: bool) -> None:
        """Make it dim, or bright again."""

    def light(self, *, is_lit: bool) -> None:
        """Switch it on or off."""

    def close(self) -> None:
        """Go dark and let go."""


OpenDisplay = Callable[[ScreenConfig], Display]
"""Finds the screen; raises `PanelError` where there is none."""


class DisplaySupervisor:
    """One screen that may come and go; thread: always the same, never the loop's."""

    def __init__(
        self,
        config: ScreenConfig,
        post: Callable[[Event], None],
        open_display: OpenDisplay,
    ) -> None:
        """Remember which screen is wanted."""
        self._config = config
        self._size = size_px(config)
        self._post = post
        self._open_display = open_display
        self._display: Display | None = None
        self._probe_at_s = float("-inf")
        """When to look for it, or whether it is still there."""
        self._is_lost = False
        self._shown: Image | None = None
        self._glow: ScreenSaverState | None = None

    def refresh(self, view: View | None, now_s: float, idle_s: float) -> float:
        """Do what is due.

        Args:
            view: what to show; None: nothing yet.
            now_s: time on any steady clock.
            idle_s: how long nothing has happened that is worth a look.

        Returns:
            Seconds until something is due again, if the view does not change before.
        """
        is_due = now_s >= self._probe_at_s
        if is_due:
            self._probe_at_s = now_s + PROBE_S
        if is_due and self._display is None:
            self._find()
        if self._display is not None:
            self._try(self._display, view, now_s, idle_s, is_due=is_due)
        next_probe_s = self._probe_at_s - now_s
        return min(next_probe_s, next_change_s(now_s, idle_s, self._config))

    def close(self) -> None:
        """Go dark."""
        display, self._display = self._display, None
        if display is None:
            return
        try:
            display.close()
        except PanelError as error:
            log.debug("the screen went before it was closed  reason=%r", error.reason)

    def _find(self) -> None:
        try:
            self._display = self._open_display(self._config)
        except PanelError as error:
            self._tell_lost(error)
            return
        self._shown = self._glow = None

    def _try(
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
                log.info("screen was without power")
                self._shown = self._glow = None
            if view is not None:
                self._update(display, view, now_s, idle_s)
        except PanelError as error:
            self.close()
            self._tell_lost(error)
            return
        self._tell_found()

    def _update(
        self, display: Display, view: View, now_s: float, idle_s: float
    ) -> None:
        wanted = glow(idle_s, self._config)
        if wanted is not ScreenSaverState.DARK:
            with needed_modules():
                shown = picture(view, self._size, drift(drift_step(now_s)))
            self._draw(display, shown)
        if wanted is not self._glow:
            self._shine(display, wanted)

    def _draw(self, display: Display, wanted: "Image") -> None:
        if wanted != self._shown:
            display.show(wanted)
            self._shown = wanted

    def _shine(self, display: Display, wanted: ScreenSaverState) -> None:
        if wanted is not ScreenSaverState.DARK:
            display.dim(is_dim=wanted is ScreenSaverState.DIM)
        if ScreenSaverState.DARK in {wanted, self._glow}:
            display.light(is_lit=wanted is not ScreenSaverState.DARK)
        self._glow = wanted

    def _tell_lost(self, error: PanelError) -> None:
        is_new, self._is_lost = not self._is_lost, True
        level = logging.WARNING if is_new else logging.DEBUG
        log.log(level, "screen lost  reason=%r", error.reason)
        if is_new:
            self._post(PartLost(Part.SCREEN, NAME, error.reason))

    def _tell_found(self) -> None:
        if not self._is_lost:
            return
        self._is_lost = False
        log.info("screen found")
        self._post(PartFound(Part.SCREEN, NAME))
