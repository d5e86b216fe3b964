"""SSD1306 and SH1106 screens on the I²C bus, driven by luma.oled.

A picture is sent one memory page at a time: eight rows of the chip's memory.
"""

import errno
import logging
import time
from collections.abc import Callable, Iterator, Sequence
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
from appliance.panel.pins import import_errors

TRIES: Final = 4
"""Attempts for one command or one memory page.

Our choice: with one failed transfer in a thousand a page of five transfers fails four
times in a row once in 100 days of continuous pictures.
"""
RESTART_S: Final = 60.0
"""Time between two restarts of a lit chip that cannot be read, in case that it was
without power; our choice, with a flicker of a few milliseconds."""
COLUMNS: Final = 132
"""Columns in the memory of an SH1106; an SSD1306 has 128 and starts again at 0."""

_PAGE_MODE: Final = (0x20, 0x02)
"""Page addressing of an SSD1306. To an SH1106 it is another command: column 2.

Source: SSD1306 data sheet rev 1.1, 10.1.3; SH1106 data sheet V2.3, commands 1 and 2: it
has no command 0x20 and takes 0x02 for the lower half of a column number.
"""
_FIRST_COLUMN: Final = (0x00, 0x10)
_PAGE: Final = 0xB0
_WINDOW: Final = 0x21
"""First command of luma's horizontal addressing."""

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
_log = logging.getLogger(__name__)


class Interface(Protocol):
    """Serial interface as luma's devices use it; errors are those of `bus_errors`."""

    def command(self, *codes: int) -> None:
        """Send command bytes."""

    def data(self, data: Sequence[int]) -> None:
        """Send bytes for the memory of the chip."""

    def cleanup(self) -> None:
        """Release the interface."""


class PageInterface:
    """Interface that converts a picture to memory pages of eight rows."""

    def __init__(self, wire: Interface, width_px: int, column: int | None) -> None:
        """Keep the wire; nothing is sent.

        Args:
            wire: luma's I²C interface.
            width_px: width of the picture.
            column: first visible column of the chip's memory. None: 0 of an SSD1306, 2
                of an SH1106, without knowing which of the two it is.
        """
        self._wire = wire
        self._width_px = width_px
        self._column = column
        self.keeps_picture = False
        """Whether pictures are discarded, so that the chip's memory stays as it is."""

    def command(self, *codes: int) -> None:
        """Send command bytes; those of horizontal addressing are left out."""
        if codes[0] != _WINDOW:
            self._repeat(lambda: self._wire.command(*codes))

    def data(self, data: Sequence[int]) -> None:
        """Send a picture, eight rows for each page."""
        if self.keeps_picture:
            return
        at = self._start()
        free = COLUMNS - (self._column or 0)
        for page, first in enumerate(range(0, len(data), self._width_px)):
            row = data[first : first + self._width_px]
            self._send_page(page, at, row[:free])

    def clear(self, pages: int) -> None:
        """Clear every column, also those beside the picture."""
        for page in range(pages):
            self._send_page(page, _FIRST_COLUMN, bytes(COLUMNS))

    def cleanup(self) -> None:
        """Release the wire."""
        self._wire.cleanup()

    def _start(self) -> tuple[int, ...]:
        """Return the commands that select the first column."""
        if self._column is None:
            # An SSD1306 stays at column 0, an SH1106 goes to 2.
            return (*_FIRST_COLUMN, *_PAGE_MODE)
        return (self._column & 0x0F, 0x10 | self._column >> 4)

    def _send_page(self, page: int, start: tuple[int, ...], row: Sequence[int]) -> None:
        def send() -> None:
            # The page comes last, in case that a mode command changes it.
            self._wire.command(*_PAGE_MODE, *start, _PAGE | page)
            self._wire.data(row)

        self._repeat(send)

    def _repeat(self, send: Callable[[], None]) -> None:
        """Try several times: one lost byte does not mean that the chip is unplugged."""
        for _ in range(TRIES - 1):
            try:
                send()
            except bus_errors() as exc:
                if getattr(exc, "errno", None) == errno.ETIMEDOUT:
                    # Each attempt on a blocked bus takes a second.
                    raise
                self._flush()
            else:
                return
        send()

    def _flush(self) -> None:
        """End a command whose argument got lost, so that it takes no other byte."""
        try:
            self._wire.command(NOTHING)
        except bus_errors():
            return


@cache
def bus_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the bus; luma turns some error numbers into its own."""
    from luma.core.error import Error

    return OSError, Error


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


def open_oled(
    config: ScreenConfig,
    open_bus: OpenBus = open_smbus,
    now_s: Callable[[], float] = time.monotonic,
) -> "Oled":
    """Return the first screen that responds, cleared.

    Args:
        config: bus, address and size.
        open_bus: opens the bus.
        now_s: monotonic clock.

    Raises:
        PanelError: there is no bus, no device on it, or a Python module is missing.
    """
    with import_errors(NAME):
        bus = opened(config.bus, open_bus)
        try:
            return Oled(bus, found_address(bus, config), config, now_s)
        except (PanelError, ImportError):
            bus.close()
            raise


class Oled:
    """Opened screen; every method may raise `PanelError`, and then it is unusable."""

    def __init__(
        self,
        bus: Bus,
        address: int,
        config: ScreenConfig,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Send the start commands and clear its memory."""
        self._bus = bus
        self._address = address
        self._config = config
        self._now_s = now_s
        self._is_lit = True
        self._is_known_lit = False
        """Lit, and confirmed by the chip: not every board can be read."""
        self._contrast = BRIGHT
        self._restart_at_s = now_s() + RESTART_S
        self._device = self._started()

    def show(self, picture: "Image") -> None:
        """Send the picture; the panel stays lit or dark."""
        self._send(self._device.display, picture)
        if self._is_lit and not self._is_known_lit:
            self._is_known_lit = self._is_off() is False

    def check(self) -> bool:
        """Return False if the picture has to be sent again; the chip was restarted.

        That is after a power cut, and where the chip cannot be read once per
        `RESTART_S`: without power it has lost picture and settings, but responds.
        """
        self._send(self._device.command, NOTHING)
        if self._is_known_lit:
            if not self._is_off():
                return True
            _log.info("screen was without power")
        elif not self._is_lit or self._now_s() < self._restart_at_s:
            return True
        self._restart(keeps_picture=not self._is_known_lit)
        return False

    def dim(self, *, is_dim: bool) -> None:
        """Dim the panel, or end dimming."""
        self._contrast = DIM if is_dim else BRIGHT
        self._send(self._device.contrast, self._contrast)

    def light(self, *, is_lit: bool) -> None:
        """Switch the panel on or off; the chip keeps its picture.

        It is restarted when it is switched on, in case that it was without power.
        """
        if is_lit and not self._is_lit:
            self._restart(keeps_picture=True)
        self._send(self._device.show if is_lit else self._device.hide)
        self._is_lit = is_lit
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

    def _restart(self, *, keeps_picture: bool) -> None:
        """Send the start commands and the contrast again."""
        self._device = self._started(keeps_picture=keeps_picture)
        self._is_known_lit = False
        self._restart_at_s = self._now_s() + RESTART_S
        self._send(self._device.contrast, self._contrast)

    def _started(self, *, keeps_picture: bool = False) -> _Device:
        """Return luma's device after its start commands.

        Args:
            keeps_picture: leave the memory as it is; else it is cleared.

        The start commands of an SSD1306 are those of an SH1106, too.

        Source: u8g2, `u8x8_d_ssd1306_128x64_noname.c`: one sequence for both.
        """
        from luma.core.interface.serial import i2c

        width, height = size_px(self._config)
        device, start = _device()
        wire = i2c(bus=self._bus, address=self._address)
        pages = PageInterface(wire, width, first_column(self._config))
        pages.keeps_picture = keeps_picture
        with _named(self._config):
            if not keeps_picture:
                pages.clear(height // 8)
            start(
                device, pages, width, height, _HALF_TURN if self._config.rotate else 0
            )
        pages.keeps_picture = False
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
