"""Box with a simulated panel: `python -m tests.card.simulated_box CONFIG [FAULT …]`.

Sound card, room, page and store are those of `ptt-appliance run`. Pins, I²C bus and
screen are simulated, and `/proc/asound` is the folder `asound` beside the configuration
file. The faults of `FAULTS` that the command line names begin before the start. Lines
on standard input begin and end others, and move the talk button's contact:

    begin oled-silent
    end oled-silent
    press
    release

Each change of what a person sees is a line on standard output, `SEEN` and JSON.
"""

import asyncio
import dataclasses
import errno
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from appliance.app import App, appliance
from appliance.assembly import Hardware
from appliance.audio import adapter, supervisor
from appliance.config import Config, ScreenConfig
from appliance.config.load import load
from appliance.core.events import Button
from appliance.core.view import View
from appliance.panel import pins
from appliance.panel.oled import Oled, open_oled, size_px
from appliance.panel.pins import SimulatedPins
from appliance.process.logs import start_logging
from appliance.sound_cards.devices import AlsaCards, listed
from appliance.sound_cards.selected_devices import SelectedDevices
from tests.panel.fakes import FakeBus, FakeKernel

if TYPE_CHECKING:
    from PIL.Image import Image
SEEN: Final = "seen "
LOOK_S: Final = 0.1
HELD_S: Final = 0.1
"""Shortest time between two moves of the contact. It passes in the box: one that is
late would make both at once, which is bounce."""
LATE_S: Final = 1.0
"""Time after the start at which a late I²C bus appears."""
LOST_EVERY: Final = 1000
"""Transfers of which one is lost on a bus with a bad contact."""
HUM_S: Final = 0.01
"""Half a period of mains hum."""
BOUNCES_S: Final = (0.001, 0.002, 0.004, 0.003, 0.002, 0.001)
"""Times between the edges of a contact that bounces."""
HEADER_CHIP: Final = "pinctrl-bcm2835"
SPARE: Final = Button.NEXT_PAGE
"""Button that disturbs nothing else when its pin is faulty."""


class Panel:
    """Simulated parts and their faults. Thread: any."""

    def __init__(self, config: Config, folder: Path) -> None:
        """Make parts without faults.

        Args:
            config: its pins are wired.
            folder: an empty one for the devices of GPIO chips.
        """
        self._config = config
        self._bus = FakeBus()
        self._has_bus = True
        self._picture: Image | None = None
        folder.mkdir(exist_ok=True)
        self._kernel = FakeKernel(folder, gpiochip0=HEADER_CHIP)
        self._pins = SimulatedPins(config.buttons, config.lamps)
        self._busy: set[int] = set()
        self._pin = self._pins.factory.pin
        self._pins.factory.pin = self._free_pin
        self._is_bouncing = False
        self._floats = threading.Event()
        self.source = pins.PinSource(self._open_factory, self._kernel.chips)
        spare = config.buttons.next_page
        assert isinstance(spare, int)
        self._spare = spare

    def _open_factory(self) -> pins.Factory:
        """Return the pins of the chip with the header."""
        chip = self._kernel.chips.header()
        with pins.pin_errors("GPIO"):
            if chip is None:
                raise OSError(errno.ENODEV, "no chip with the header's pins")
            self._pins.factory.chip = chip
        return self._pins.factory

    def open_display(self, config: ScreenConfig) -> "WatchedScreen":
        """Open the screen as usual, and keep each picture that it is to show."""
        return WatchedScreen(open_oled(config, self._open_bus), self._keep)

    def is_right(self) -> bool:
        """Whether the screen shows the newest picture."""
        _, height = size_px(self._config.screen)
        wanted, shown = self._picture, self._bus.picture(height)
        is_equal = wanted is not None and wanted.tobytes() == shown.tobytes()
        return self._bus.is_on and is_equal

    def lit(self) -> list[str]:
        """Return the lamps that are lit."""
        return sorted(self._pins.lit())

    def press(self) -> None:
        """Close the talk button's contact."""
        self._move(self._pins.press, self._pins.release)

    def release(self) -> None:
        """Open it."""
        self._move(self._pins.release, self._pins.press)

    def begin(self, fault: str) -> None:
        """Let a fault begin."""
        FAULTS[fault][0](self)

    def end(self, fault: str) -> None:
        """Remove its cause."""
        FAULTS[fault][1](self)

    def set_bus_error(self, number: int) -> None:
        """Let every transfer fail with this error; 0: none does."""
        self._bus.error = OSError(number, os.strerror(number)) if number else None

    def cut_power(self) -> None:
        """Unplug the screen, which forgets everything."""
        self.set_bus_error(errno.ENXIO)
        self._bus.cut_power()

    def set_bus(self, *, is_there: bool) -> None:
        """Add or remove the bus."""
        self._has_bus = is_there

    def delay_bus(self) -> None:
        """Let the bus appear a second late."""
        self._has_bus = False
        threading.Timer(LATE_S, self.set_bus, kwargs={"is_there": True}).start()

    def lose_transfers(self) -> None:
        """Lose one transfer in a thousand."""
        self._bus.is_lost = lambda: self._bus.transfers % LOST_EVERY == 0

    def hold_screen(self, *, is_held: bool) -> None:
        """Let a kernel driver hold the screen's address, or let it go."""
        self._bus.busy = {self._bus.address} if is_held else set()

    def hold_pin(self, *, is_held: bool) -> None:
        """Let a kernel driver hold the spare button's pin, or let it go."""
        self._busy = {self._spare} if is_held else set()
        used = (1, b"spi0 CS0") if is_held else (0, b"")
        self._kernel.lines[self._spare] = used

    def set_chips(self, **labels: str) -> None:
        """Replace the GPIO chips."""
        for name in self._kernel.labels:
            (self._kernel.folder / name).unlink()
        self._kernel.labels = labels
        for name in labels:
            (self._kernel.folder / name).touch()

    def set_bouncing(self) -> None:
        """Let the talk button's contact bounce."""
        self._is_bouncing = True

    def float_spare(self, *, is_floating: bool) -> None:
        """Let the spare button's wire pick up mains hum, or not."""
        if is_floating:
            self._floats.set()
            threading.Thread(target=self._hum, daemon=True).start()
        else:
            self._floats.clear()

    def _keep(self, picture: "Image") -> None:
        self._picture = picture

    def _open_bus(self, number: int) -> FakeBus:
        if not self._has_bus:
            raise FileNotFoundError(errno.ENOENT, f"/dev/i2c-{number}")
        return self._bus(number)

    def _free_pin(self, number: int) -> Any:
        if number in self._busy:
            raise OSError(errno.EBUSY, "GPIO busy")
        return self._pin(number)

    def _move(
        self, there: Callable[[Button], None], back: Callable[[Button], None]
    ) -> None:
        there(Button.TALK)
        for place, wait_s in enumerate(BOUNCES_S if self._is_bouncing else ()):
            time.sleep(wait_s)
            move = there if place % 2 else back
            move(Button.TALK)

    def _hum(self) -> None:
        while self._floats.is_set():
            self._pins.press(SPARE)
            time.sleep(HUM_S)
            self._pins.release(SPARE)
            time.sleep(HUM_S)


class WatchedScreen(Oled):
    """Screen that reports each picture before it shows it."""

    def __init__(self, screen: Oled, report: Callable[["Image"], None]) -> None:
        """Take over the open screen."""
        vars(self).update(vars(screen))
        self._report = report

    def show(self, picture: "Image", /) -> None:
        """Show a picture."""
        self._report(picture)
        super().show(picture)


Change = Callable[[Panel], object]
FAULTS: Final[dict[str, tuple[Change, Change]]] = {
    "oled-silent": (
        lambda panel: panel.set_bus_error(errno.EIO),
        lambda panel: panel.set_bus_error(0),
    ),
    "oled-no-bus": (
        lambda panel: panel.set_bus(is_there=False),
        lambda panel: panel.set_bus(is_there=True),
    ),
    "oled-bus-late": (Panel.delay_bus, lambda _: None),
    "oled-lossy": (Panel.lose_transfers, lambda _: None),
    "oled-busy": (
        lambda panel: panel.hold_screen(is_held=True),
        lambda panel: panel.hold_screen(is_held=False),
    ),
    "oled-unplugged": (Panel.cut_power, lambda panel: panel.set_bus_error(0)),
    "pin-bounces": (Panel.set_bouncing, lambda _: None),
    "pin-floats": (
        lambda panel: panel.float_spare(is_floating=True),
        lambda panel: panel.float_spare(is_floating=False),
    ),
    "pin-busy": (
        lambda panel: panel.hold_pin(is_held=True),
        lambda panel: panel.hold_pin(is_held=False),
    ),
    "chip-renumbered": (
        lambda panel: panel.set_chips(gpiochip0="raspberrypi", gpiochip4=HEADER_CHIP),
        lambda _: None,
    ),
    "chip-absent": (
        Panel.set_chips,
        lambda panel: panel.set_chips(gpiochip0=HEADER_CHIP),
    ),
}
"""What begins and what ends each fault of the panel."""


class Reporter:
    """Viewer that writes what a person sees, whenever it changes."""

    def __init__(self, panel: Panel) -> None:
        """Write nothing yet."""
        self._panel = panel
        self._view: View | None = None
        self._changed = threading.Event()
        self._written = ""

    async def __aenter__(self) -> Self:
        """Look at the panel from now on."""
        threading.Thread(target=self._run, daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the thread to the end of the process."""

    def show(self, view: View) -> None:
        """Keep the view."""
        self._view = view
        self._changed.set()

    def _run(self) -> None:
        while True:
            self._changed.wait(LOOK_S)
            self._changed.clear()
            self._write()

    def _write(self) -> None:
        view = self._view
        if view is None:
            return
        seen = {
            "connection": view.connection,
            "people": len(view.people),
            "faults": view.faults,
            "chat": [{"text": x.text} for x in view.chat],
            "is_muted": view.is_muted_at_box,
            "volume": view.volume_percent,
            "lamps": self._panel.lit(),
            "screen": self._panel.is_right(),
        }
        written = json.dumps(seen)
        if written != self._written:
            self._written = written
            print(SEEN + written, flush=True)


def obey(panel: Panel) -> None:
    """Do what the lines of standard input say."""
    for line in sys.stdin:
        match line.split():
            case ["begin", fault]:
                panel.begin(fault)
            case ["end", fault]:
                panel.end(fault)
            case ["press"]:
                panel.press()
                time.sleep(HELD_S)
            case ["release"]:
                panel.release()
                time.sleep(HELD_S)
            case words:
                raise ValueError(words)


def main() -> None:
    """Run with the configuration file and the faults that the command line names."""
    file, *faults = sys.argv[1:]
    folder = Path(file).parent
    config = load(Path(file), [], os.environ).config
    start_logging(config.log.level)
    cards = folder / "asound"
    # Nothing else tells them where the kernel's list is.
    vars(adapter)["SelectedDevices"] = partial(SelectedDevices, alsa=AlsaCards(cards))
    vars(supervisor)["listed"] = partial(listed, cards=cards)
    panel = Panel(config, folder / "gpio")
    for fault in faults:
        panel.begin(fault)
    threading.Thread(target=obey, args=(panel,), daemon=True).start()
    hardware = dataclasses.replace(
        Hardware(),
        pins=panel.source,
        open_display=panel.open_display,
        viewers=(Reporter(panel),),
    )
    asyncio.run(appliance(config, App(), hardware))


if __name__ == "__main__":
    main()
