"""Appliance with simulated pins: `python -m tests.bench.simulated_pins`.

Everything but the pins is as in `ptt-appliance run`. Each line on standard input,
`press` or `release`, moves the talk button's contact; the moment is written to standard
output. With `--screen` there is a simulated screen, too, and the moment of each picture
is written.
"""

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

from appliance.app import App, appliance
from appliance.assembly import Hardware
from appliance.config import ScreenConfig
from appliance.config.load import load
from appliance.core.events import Button
from appliance.panel.oled import Oled, open_oled
from appliance.panel.pins import SimulatedPins
from appliance.process.logs import start_logging


def main() -> None:
    """Run with the configuration file that the command line names."""
    config = load(Path(sys.argv[1]), [], os.environ).config
    start_logging(config.log.level)
    pins = SimulatedPins(config.buttons, config.lamps)
    threading.Thread(target=press, args=(pins,), daemon=True).start()
    open_display = Screen if "--screen" in sys.argv else open_oled
    hardware = Hardware(pins=pins.source, open_display=open_display)
    asyncio.run(appliance(config, App(), hardware))


class Screen(Oled):
    """Display that writes when it is given a picture; drawing takes no time."""

    def __init__(self, _config: ScreenConfig) -> None:
        """Open it, which always succeeds."""

    def show(self, _picture: object, /) -> None:
        """Write the moment."""
        print(f"picture at_ns={time.monotonic_ns()}", flush=True)

    def check(self) -> bool:
        """Return that the picture is still there."""
        return True

    def dim(self, *, is_dim: bool) -> None:
        """Ignore it."""

    def light(self, *, is_lit: bool) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Do nothing."""


def press(pins: SimulatedPins) -> None:
    """Move the contact for each line of standard input."""
    for line in sys.stdin:
        word = line.strip()
        at_ns = time.monotonic_ns()
        move = pins.press if word == "press" else pins.release
        move(Button.TALK)
        print(f"{word} at_ns={at_ns}", flush=True)


if __name__ == "__main__":
    main()
