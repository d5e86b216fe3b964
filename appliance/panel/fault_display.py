"""Faults of the configuration on the OLED, for a box that cannot run with it."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from appliance.config import Config, ScreenConfig
from appliance.config.load import screen_of
from appliance.core.state import ScreenPage, State
from appliance.core.view import view
from appliance.display.rendering import picture
from appliance.errors import Fault, PanelError
from appliance.panel.i2c import NAME
from appliance.panel.oled import Oled, open_oled, size_px
from appliance.panel.pins import import_errors
from appliance.process.logs import is_run_by_systemd

TRIES: Final = 10
"""Attempts to open the screen: its bus may be some seconds late at boot."""
RETRY_S: Final = 0.5


def show_faults_of_service(
    path: Path | None, settings: Sequence[str], faults: tuple[Fault, ...]
) -> None:
    """Show the faults of a configuration, unless a person sees them in a terminal."""
    if is_run_by_systemd(os.environ):
        show_faults(screen_of(path, settings, os.environ), faults)


def show_faults(
    config: ScreenConfig,
    faults: tuple[Fault, ...],
    open_display: Callable[[ScreenConfig], Oled] = open_oled,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Show the faults, dimmed and lasting; return False if there is no screen."""
    if config.driver == "none":
        return False
    for attempt in range(TRIES):
        try:
            _show(open_display(config), config, faults)
        except PanelError:
            if attempt < TRIES - 1:
                sleep(RETRY_S)
        else:
            return True
    return False


def _show(display: Oled, config: ScreenConfig, faults: tuple[Fault, ...]) -> None:
    # Only the name of the file: its path would fill two lines.
    sentences = tuple(
        str(replace(fault, source=Path(fault.source).name)) for fault in faults
    )
    shown = view(State(config=Config(screen=config)), 0.0)
    fault_view = replace(shown, screen_page=ScreenPage.HEALTH, faults=sentences)
    try:
        with import_errors(NAME):
            display.show(picture(fault_view, size_px(config)))
        # It stays for days, perhaps: protect the OLED from burn-in.
        display.dim(is_dim=True)
    finally:
        display.release()
