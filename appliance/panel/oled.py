"""SSD1306 and SH1106 screens on the I²C bus, driven by luma.oled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal, Protocol

from appliance.config import ScreenConfig
from appliance.core import fault_table
from appliance.display.line import Size
from appliance.errors import PanelError
from appliance.panel.i2c import (
    COMMAND,
    NAME,
    NOTHING,
    Bus,
    OpenBus,
    found_address,
    open_smbus,
    opened,
)
from appliance.panel.pins import import_errors

if TYPE_CHECKING:
    from PIL.Image import Image

Chip = Literal["ssd1306", "sh1106"]

BRIGHT: Final = {"ssd1306": 0xCF, "sh1106": 0x7F}
"""Default contrast of luma.oled."""
DIM: Final = 0x01

_CHIPS: Final[dict[int, Chip]] = {
    0x3: "ssd1306",
    0x6: "ssd1306",
    0x7: "ssd1306",
    0x8: "sh1106",
}
"""Chip by the low four bits of the status byte; not specified by the data sheets.

Source: OneBitDisplay (bitbank2), `obdI2CInit`.
"""
_PAGE_ADDRESSING: Final = (0x20, 0x02)
"""Command that switches an SSD1306 to the page addressing of an SH1106.

Source: SSD1306 data sheet rev 1.1, 10.1.3. An SH1106 ignores the first byte; the second
selects a column, which every picture sets again.
"""
_IS_OFF: Final = 0x40
_HALF_TURN: Final = 2
"""luma counts quarter turns."""


class _Device(Protocol):
    """Used part of luma's devices; errors are those of `_failures`."""

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
        chip = self._known_chip()
        self._is_known_chip = chip is not None
        self._chip: Chip = chip or "sh1106"
        self._device = self._started()

    def show(self, picture: "Image") -> None:
        """Send the picture; the panel is lit."""
        self._send(self._device.display, picture)
        if not self._is_known_lit:
            self._is_known_lit = not self._is_off()

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
        self._send(self._device.contrast, DIM if is_dim else BRIGHT[self._chip])

    def light(self, *, is_lit: bool) -> None:
        """Switch the panel on or off; the chip keeps its picture."""
        self._send(self._device.show if is_lit else self._device.hide)
        self._is_known_lit = is_lit and not self._is_off()

    def close(self) -> None:
        """Switch the panel off and close the bus."""
        try:
            self.light(is_lit=False)
        finally:
            self._bus.close()

    def _send(self, action: Callable[..., object], *arguments: object) -> None:
        """Try twice: one lost byte does not mean that the screen is unplugged.

        A picture is sent again from its first pixel, because the position in the chip's
        memory is unknown then.
        """
        with _named():
            try:
                action(*arguments)
            except _failures():
                action(*arguments)

    def _started(self) -> _Device:
        """Return luma's device for this chip, after its start commands."""
        from luma.core.interface.serial import i2c

        width, height = size_px(self._config)
        device, start = _device(self._chip)
        with _named():
            start(
                device,
                i2c(bus=self._bus, address=self._address),
                width,
                height,
                _HALF_TURN if self._config.rotate else 0,
                page_address_offset=self._config.column_offset,
            )
            if not self._is_known_chip:
                device.command(*_PAGE_ADDRESSING)
        # Disables luma's exit handler; `close` switches the panel off.
        device.persist = True
        return device

    def _known_chip(self) -> Chip | None:
        """Return the configured or detected chip; None: it may be either.

        Unknown ones are driven as an SH1106 with page addressing, which both support:
        on an SSD1306 the picture is 2 px further right, where it has a margin. Screens
        of 128x32 exist with an SSD1306 only.
        """
        if self._config.driver in {"ssd1306", "sh1106"}:
            return "sh1106" if self._config.driver == "sh1106" else "ssd1306"
        status = self._status()
        chip = None if status is None else detected(status)
        is_flat = self._config.size == "128x32"
        return "ssd1306" if chip is None and is_flat else chip

    def _is_off(self) -> bool:
        """Return True if the panel is off, as it is after a power cut.

        Source: SSD1306 data sheet rev 1.1, table 9-2 (read status: D6); SH1106 too.
        """
        status = self._status()
        return status is None or bool(status & _IS_OFF)

    def _status(self) -> int | None:
        """Return the status byte; None: this board cannot be read."""
        try:
            return self._bus.read_byte_data(self._address, COMMAND)
        except OSError:
            return None


def size_px(config: ScreenConfig) -> Size:
    """Return width and height in pixels."""
    width, height = config.size.split("x")
    return int(width), int(height)


def detected(status: int) -> Chip | None:
    """Return the chip with this status byte; None: unknown."""
    return _CHIPS.get(status & 0x0F)


@cache
def _device(chip: Chip) -> tuple[_Device, Callable[..., None]]:
    """Return luma's device for this chip, and the initialiser that starts it.

    One object is initialised again for each connection: luma registers an exit handler
    for a device, so that it and its 130 kB are never freed.
    """
    kind = getattr(import_module("luma.oled.device"), chip)
    return kind.__new__(kind), kind.__init__


@cache
def _failures() -> tuple[type[Exception], ...]:
    """Return the errors of the bus; luma turns some error numbers into its own."""
    from luma.core.error import Error

    return OSError, Error


@contextmanager
def _named() -> Iterator[None]:
    """Convert an error of the bus to a `PanelError` of the screen."""
    try:
        yield
    except _failures() as exc:
        reason = fault_table.SCREEN_STOPPED.text(error=exc)
        raise PanelError(NAME, reason) from exc
