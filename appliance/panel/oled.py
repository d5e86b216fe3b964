"""SSD1306 and SH1106 screens on the I²C bus, driven by luma.oled.

A picture is sent one memory page at a time: eight rows of the chip's memory.
"""

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from appliance.config import ScreenConfig
from appliance.display.line import Size
from appliance.errors import PanelError
from appliance.panel.i2c import (
    COMMAND,
    DATA,
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
TRANSFER: Final = 32
"""Longest transfer of SMBus, in bytes after the control byte."""
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
"""Contrast after the start; luma.oled's default."""
DIM: Final = 0x01
FIRST_COLUMNS: Final = {"ssd1306": 0, "sh1106": 2}
"""First visible column by chip: the glass is in the middle of an SH1106's 132."""
_IS_OFF: Final = 0x40
_HALF_TURN: Final = 2
"""luma counts quarter turns."""
Device = Any
"""Device of luma.oled, which has no type annotations. It raises `OSError`."""
_log = logging.getLogger(__name__)


class PageInterface:
    """Interface of a device of luma's that sends memory pages of eight rows."""

    def __init__(
        self, bus: Bus, address: int, width_px: int, column: int | None
    ) -> None:
        """Keep the open bus; nothing is sent.

        `column` is the first visible one of the chip's memory. None: 0 of an SSD1306, 2
        of an SH1106, without knowing which of the two it is.
        """
        self._bus = bus
        self._address = address
        self._width_px = width_px
        self._column = column

    def command(self, *codes: int) -> None:
        """Send command bytes; those of horizontal addressing are left out."""
        if codes[0] != _WINDOW:
            self._repeat(lambda: self._write(COMMAND, codes))

    def data(self, data: Sequence[int]) -> None:
        """Send a picture, eight rows for each page."""
        at = self._column_commands()
        free = COLUMNS - (self._column or 0)
        for page, first in enumerate(range(0, len(data), self._width_px)):
            row = data[first : first + self._width_px]
            self._send_page(page, at, row[:free])

    def clear(self, pages: int) -> None:
        """Clear every column, also those beside the picture."""
        for page in range(pages):
            self._send_page(page, _FIRST_COLUMN, bytes(COLUMNS))

    def cleanup(self) -> None:
        """Do nothing: the bus belongs to `Oled`."""

    def _column_commands(self) -> tuple[int, ...]:
        """Return the commands that select the first column."""
        if self._column is None:
            # An SSD1306 stays at column 0, an SH1106 goes to 2.
            return (*_FIRST_COLUMN, *_PAGE_MODE)
        return (self._column & 0x0F, 0x10 | self._column >> 4)

    def _send_page(self, page: int, start: tuple[int, ...], row: Sequence[int]) -> None:
        def send() -> None:
            # The page comes last, in case that a mode command changes it.
            self._write(COMMAND, (*_PAGE_MODE, *start, _PAGE | page))
            for first in range(0, len(row), TRANSFER):
                self._write(DATA, row[first : first + TRANSFER])

        self._repeat(send)

    def _repeat(self, send: Callable[[], None]) -> None:
        """Try several times: one lost byte does not mean that the chip is unplugged."""
        for _ in range(TRIES - 1):
            try:
                send()
            except OSError as exc:
                if exc.errno == errno.ETIMEDOUT:
                    # Each attempt on a blocked bus takes a second.
                    raise
                self._flush()
            else:
                return
        send()

    def _flush(self) -> None:
        """End a command whose argument got lost, so that it takes no other byte."""
        with suppress(OSError):
            self._write(COMMAND, (NOTHING,))

    def _write(self, control: int, data: Sequence[int]) -> None:
        self._bus.write_i2c_block_data(self._address, control, list(data))


def open_oled(config: ScreenConfig, open_bus: OpenBus = open_smbus) -> "Oled":
    """Return the first screen that responds, lit and cleared.

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
        self._is_lit = True
        self._start()

    def show(self, picture: "Image") -> None:
        """Send the picture; the panel stays lit or dark."""
        self._send(self._device.display, picture)

    def check(self) -> bool:
        """Return False if the chip was without power; it is then as just opened."""
        self._send(self._device.command, NOTHING)
        if not (self._is_lit and self._says_power and self._is_on() is False):
            return True
        _log.info("screen was without power")
        self._start()
        return False

    def dim(self, *, is_dim: bool) -> None:
        """Dim the panel, or end dimming."""
        self._send(self._device.contrast, DIM if is_dim else BRIGHT)

    def light(self, *, is_lit: bool) -> None:
        """Switch the panel off, or on as if just opened.

        Start commands are sent in case that the dark chip was without power.
        """
        if not is_lit:
            self._send(self._device.hide)
        elif not self._is_lit:
            self._start()
        self._is_lit = is_lit

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

    def _start(self) -> None:
        """Send the start commands of an SSD1306, which are those of an SH1106, too.

        Source: u8g2, `u8x8_d_ssd1306_128x64_noname.c`: one sequence for both.
        """
        width, height = size_px(self._config)
        self._device, start = _device()
        column = first_column(self._config)
        pages = PageInterface(self._bus, self._address, width, column)
        turns = _HALF_TURN if self._config.rotate else 0
        with _named(self._config):
            pages.clear(height // 8)
            start(self._device, pages, width, height, turns)
        # Disables luma's exit handler; `close` switches the panel off.
        self._device.persist = True
        self._says_power = self._is_on() is True
        """Whether the chip can be read, and says that it is on."""

    def _is_on(self) -> bool | None:
        """Return False if the panel is off, as after a power cut; None: unknown.

        Source: SSD1306 data sheet rev 1.1, table 9-2 (read status: D6); SH1106 too.
        """
        try:
            status = self._bus.read_byte_data(self._address, COMMAND)
        except OSError:
            return None
        return not status & _IS_OFF


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
def _device() -> tuple[Device, Callable[..., None]]:
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
    except OSError as exc:
        raise PanelError(NAME, lost_reason(exc, config.bus)) from exc
