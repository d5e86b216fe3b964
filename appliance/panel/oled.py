"""SSD1306 and SH1106 screens on the I²C bus, driven by luma.oled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from appliance.config import ScreenConfig
from appliance.display.line import Size
from appliance.errors import PanelError
from appliance.panel.i2c import (
    COMMAND,
    NAME,
    NOTHING,
    Bus,
    OpenBus,
    found_address,
    lost_reason,
    open_smbus,
    opened,
)
from appliance.panel.paging import PageInterface, bus_errors
from appliance.panel.pins import import_errors

if TYPE_CHECKING:
    from PIL.Image import Image

BRIGHT: Final = 0xCF
"""Default contrast of luma.oled."""
DIM: Final = 0x01
FIRST_COLUMNS: Final = {"ssd1306": 0, "sh1106": 2}
"""First visible column by chip: the glass is in the middle of an SH1106's 132."""
_IS_OFF: Final = 0x40
_HALF_TURN: Final = 2
"""luma counts quarter turns."""


class _Device(Protocol):
    """Used part of luma's devices; errors are those of `bus_errors`."""

    persist: bool

    def command(self, *command: int) -> None:
        """Send command bytes."""

    def display(self, image: "Image") -> None:
        """Send a picture."""

    def contrast(self, level: int) -> None:
        """Set the brightness."""

    def show(self) -> None:
        """Switch the panel on."""

    def hide(self) -> None:
        """Switch the panel off."""


def open_oled(config: ScreenConfig, open_bus: OpenBus = open_smbus) -> "Oled":
    """Return the first screen that responds, cleared.

    Raises:
        PanelError: there is no bus, no device on it, or a Python module is missing.
    """
    with import_errors(NAME):
        bus = opened(config.bus, open_bus)
        try:
            return Oled(bus, found_address(bus, config), config)
        except (PanelError, ImportError):
            bus.close()
            raise


class Oled:
    """Opened screen; every method may raise `PanelError`, and then it is unusable."""

    def __init__(self, bus: Bus, address: int, config: ScreenConfig) -> None:
        """Send the start commands and clear its memory."""
        self._bus = bus
        self._address = address
        self._config = config
        self._is_known_lit = False
        """Lit, and confirmed by the chip: not every board can be read."""
        self._device = self._started()

    def show(self, picture: "Image") -> None:
        """Send the picture; the panel is lit."""
        self._send(self._device.display, picture)
        if not self._is_known_lit:
            self._is_known_lit = self._is_off() is False

    def check(self) -> bool:
        """Return False after a power cut, which lost the picture; restart the chip."""
        self._send(self._device.command, NOTHING)
        if not (self._is_known_lit and self._is_off()):
            return True
        self._is_known_lit = False
        self._device = self._started()
        return False

    def dim(self, *, is_dim: bool) -> None:
        """Dim the panel, or end dimming."""
        self._send(self._device.contrast, DIM if is_dim else BRIGHT)

    def light(self, *, is_lit: bool) -> None:
        """Switch the panel on or off; the chip keeps its picture."""
        self._send(self._device.show if is_lit else self._device.hide)
        self._is_known_lit = is_lit and self._is_off() is False

    def close(self) -> None:
        """Switch the panel off and close the bus."""
        try:
            self.light(is_lit=False)
        finally:
            self.release()

    def release(self) -> None:
        """Close the bus; the panel keeps its picture."""
        self._bus.close()

    def _send(self, action: Callable[..., object], *arguments: object) -> None:
        with _named(self._config):
            action(*arguments)

    def _started(self) -> _Device:
        """Return luma's device after its start commands; the memory is cleared.

        The start commands of an SSD1306 are those of an SH1106, too.

        Source: u8g2, `u8x8_d_ssd1306_128x64_noname.c`: one sequence for both.
        """
        from luma.core.interface.serial import i2c

        width, height = size_px(self._config)
        device, start = _device()
        wire = i2c(bus=self._bus, address=self._address)
        pages = PageInterface(wire, width, first_column(self._config))
        with _named(self._config):
            pages.clear(height // 8)
            start(
                device, pages, width, height, _HALF_TURN if self._config.rotate else 0
            )
        # Disables luma's exit handler; `close` switches the panel off.
        device.persist = True
        return device

    def _is_off(self) -> bool | None:
        """Return True if the panel is off, as it is after a power cut; None: unknown.

        Source: SSD1306 data sheet rev 1.1, table 9-2 (read status: D6); SH1106 too.
        """
        try:
            status = self._bus.read_byte_data(self._address, COMMAND)
        except OSError:
            return None
        return bool(status & _IS_OFF)


def size_px(config: ScreenConfig) -> Size:
    """Return width and height in pixels."""
    width, height = config.size.split("x")
    return int(width), int(height)


def first_column(config: ScreenConfig) -> int | None:
    """Return the first visible column; None: that of either chip."""
    if config.column_offset != "auto":
        return config.column_offset
    return FIRST_COLUMNS.get(config.driver)


@cache
def _device() -> tuple[_Device, Callable[..., None]]:
    """Return luma's device, and the initialiser that starts it.

    One object is initialised again for each connection: luma registers an exit handler
    for a device, so that it and its 130 kB are never freed.
    """
    kind = import_module("luma.oled.device").ssd1306
    return kind.__new__(kind), kind.__init__


@contextmanager
def _named(config: ScreenConfig) -> Iterator[None]:
    """Convert an error of the bus to a `PanelError` of the screen."""
    try:
        yield
    except bus_errors() as exc:
        raise PanelError(NAME, lost_reason(exc, config.bus)) from exc
