"""SSD1306 and SH1106 screens on the I²C bus, driven by luma.oled.

A picture is sent one memory page at a time: eight rows of the chip's memory.
"""

import errno
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.config import ScreenConfig
from appliance.core import fault_table
from appliance.display.layout import Size
from appliance.errors import PanelError
from appliance.panel.pins import import_errors
from appliance.process.device_access import refusal

if TYPE_CHECKING:
    from PIL.Image import Image
    from smbus2 import SMBus

NAME: Final = "OLED"
ADDRESSES: Final = (0x3C, 0x3D)
"""Addresses of such screens, selected by a resistor on their back."""
COMMAND: Final = 0x00
"""Control byte: commands follow."""
DATA: Final = 0x40
"""Control byte: bytes for the chip's memory follow."""
NOTHING: Final = 0xE3
"""Command NOP, used to probe for a device."""
PROBES: Final = 3
"""Attempts at one address: a single lost byte does not mean that nobody is there."""
_NOBODY: Final = (errno.ENXIO, errno.EREMOTEIO)
"""No device acknowledges its address: ENXIO as in Linux, Documentation/i2c/
fault-codes.rst, or EREMOTEIO from i2c-bcm2835."""
TRIES: Final = 4
"""Attempts for one command or one memory page; our choice: a page fails once in 100
days of pictures if one transfer in a thousand does."""
TRANSFER: Final = 32
"""Longest transfer of SMBus, in bytes after the control byte."""
COLUMNS: Final = 132
"""Columns in the memory of an SH1106; an SSD1306 has 128 and starts again at 0."""
FIRST_COLUMNS: Final = {"ssd1306": 0, "sh1106": 2}
"""First visible column by chip: the glass is in the middle of an SH1106's 132."""
BRIGHT: Final = 0xCF
"""Contrast after the start; luma.oled's default."""
DIM: Final = 0x01

_PAGE: Final = 0xB0
_PAGE_MODE: Final = (0x20, 0x02)
"""Page addressing of an SSD1306. An SH1106 has no command 0x20, and takes 0x02 for the
lower half of a column number: column 2.

Source: SSD1306 data sheet rev 1.1, 10.1.3; SH1106 data sheet V2.3, commands 1 and 2.
"""
_FIRST_COLUMN: Final = (0x00, 0x10)
_WINDOW: Final = 0x21
"""First command of luma's horizontal addressing, which an SH1106 has not."""
_IS_OFF: Final = 0x40

OpenBus = Callable[[int], "SMBus"]
"""Opens the I²C bus of this number; raises `OSError`."""
LumaDevice = Any
"""luma.oled has no type annotations."""

_log = logging.getLogger(__name__)


def open_smbus(number: int) -> "SMBus":
    """Open a bus of this machine."""
    from smbus2 import SMBus

    return SMBus(number)


def opened_bus(number: int, open_bus: OpenBus) -> "SMBus":
    """Return the opened bus, or raise `PanelError`."""
    try:
        return open_bus(number)
    except FileNotFoundError as exc:
        is_usual = number == ScreenConfig().bus
        fault = fault_table.NO_BUS if is_usual else fault_table.NO_OTHER_BUS
        raise PanelError(NAME, fault.text(bus=number)) from exc
    except PermissionError as exc:
        raise PanelError(NAME, refusal(Path(f"/dev/i2c-{number}"))) from exc
    except OSError as exc:
        raise PanelError(NAME, bus_reason(exc, number)) from exc


def found_address(bus: "SMBus", config: ScreenConfig) -> int:
    """Return the first address with a device, or raise `PanelError`."""
    wanted = ADDRESSES if config.address == "auto" else (config.address,)
    tried = " or ".join(f"0x{address:02X}" for address in wanted)
    reason = fault_table.SCREEN_ABSENT.text(addresses=tried, bus=config.bus)
    for address in wanted * PROBES:
        try:
            bus.write_i2c_block_data(address, COMMAND, [NOTHING])
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                held = f"0x{address:02X}"
                reason = fault_table.SCREEN_TAKEN.text(address=held, bus=config.bus)
            elif exc.errno not in _NOBODY:
                raise PanelError(NAME, bus_reason(exc, config.bus)) from exc
        else:
            return address
    raise PanelError(NAME, reason)


def bus_reason(exc: OSError, number: int) -> str:
    """Return what is wrong with the bus, in words."""
    match exc.errno:
        case errno.ENXIO | errno.EREMOTEIO:
            return fault_table.SCREEN_STOPPED.text(bus=number)
        case errno.EBUSY:
            return fault_table.SCREEN_TAKEN.text(address="the screen", bus=number)
        case errno.ETIMEDOUT | errno.EAGAIN | errno.EIO:
            # EIO is i2c-bcm2835's error for a clock that is stretched for too long.
            return fault_table.BUS_BLOCKED.text(bus=number)
        case _:
            return fault_table.BUS_FAILED.text(bus=number, error=exc.strerror or exc)


def open_oled(config: ScreenConfig, open_bus: OpenBus = open_smbus) -> "Oled":
    """Return the first screen that responds, lit and cleared, or raise `PanelError`."""
    with import_errors(NAME):
        bus = opened_bus(config.bus, open_bus)
        try:
            return Oled(bus, found_address(bus, config), config)
        except (PanelError, ImportError):
            bus.close()
            raise


class PageInterface:
    """Interface of luma's device to the bus; every method may raise `PanelError`."""

    def __init__(self, bus: "SMBus", address: int, config: ScreenConfig) -> None:
        """Keep the open bus; nothing is sent."""
        self._bus = bus
        self._address = address
        self._number = config.bus
        self._width_px = size_px(config)[0]
        column = FIRST_COLUMNS.get(config.driver)
        if config.column_offset != "auto":
            column = config.column_offset
        self._free = COLUMNS - (column or 0)
        # Without a known column an SSD1306 stays at 0, an SH1106 goes to 2.
        self._first: tuple[int, ...] = (*_FIRST_COLUMN, *_PAGE_MODE)
        if column is not None:
            self._first = (column & 0x0F, 0x10 | column >> 4)

    def command(self, *codes: int) -> None:
        """Send command bytes; those of horizontal addressing are left out."""
        if codes[0] != _WINDOW:
            self._repeat(lambda: self._write(COMMAND, codes))

    def data(self, data: Sequence[int]) -> None:
        """Send a picture."""
        for page, first in enumerate(range(0, len(data), self._width_px)):
            row = data[first : first + self._width_px]
            self._send_page(page, self._first, row[: self._free])

    def clear(self, pages: int) -> None:
        """Clear every column, also those beside the picture."""
        for page in range(pages):
            self._send_page(page, _FIRST_COLUMN, bytes(COLUMNS))

    def _send_page(self, page: int, start: tuple[int, ...], row: Sequence[int]) -> None:
        def send() -> None:
            # The page comes last, in case that a mode command changes it.
            self._write(COMMAND, (*_PAGE_MODE, *start, _PAGE | page))
            for first in range(0, len(row), TRANSFER):
                self._write(DATA, row[first : first + TRANSFER])

        self._repeat(send)

    def _repeat(self, send: Callable[[], None]) -> None:
        """Try several times: one lost byte does not mean that the chip is unplugged."""
        for tries_left in reversed(range(TRIES)):
            try:
                send()
            except OSError as exc:
                # Each attempt on a blocked bus takes a second.
                if exc.errno == errno.ETIMEDOUT or not tries_left:
                    reason = bus_reason(exc, self._number)
                    raise PanelError(NAME, reason) from exc
                with suppress(OSError):
                    # End a command whose argument got lost: it must take no other byte.
                    self._write(COMMAND, (NOTHING,))
            else:
                return

    def _write(self, control: int, data: Sequence[int]) -> None:
        self._bus.write_i2c_block_data(self._address, control, list(data))

    def cleanup(self) -> None:
        """Do nothing: the bus belongs to `Oled`."""


class Oled:
    """Opened screen; every method may raise `PanelError`, and then it is unusable."""

    def __init__(self, bus: "SMBus", address: int, config: ScreenConfig) -> None:
        """Send the start commands and clear its memory."""
        self._bus = bus
        self._address = address
        self._config = config
        self._start()

    def show(self, picture: "Image", /) -> None:
        """Send the picture; the panel stays lit or dark."""
        self._device.display(picture)

    def check(self) -> bool:
        """Return False if the chip was without power; it is then as just opened."""
        self._device.command(NOTHING)
        if not self._says_power or self._is_on():
            return True
        _log.info("screen was without power")
        self._start()
        return False

    def dim(self, *, is_dim: bool) -> None:
        """Dim the panel, or end dimming."""
        self._device.contrast(DIM if is_dim else BRIGHT)

    def light(self, *, is_lit: bool) -> None:
        """Switch the panel off, or on as if just opened.

        Start commands are sent in case that the dark chip was without power.
        """
        if is_lit:
            self._start()
        else:
            self._device.hide()
            self._says_power = False

    def close(self) -> None:
        """Switch the panel off and close the bus."""
        try:
            self.light(is_lit=False)
        finally:
            self.release()

    def release(self) -> None:
        """Close the bus; the panel keeps its picture."""
        self._bus.close()

    def _start(self) -> None:
        """Send the start commands of an SSD1306, which are those of an SH1106, too.

        Source: u8g2, `u8x8_d_ssd1306_128x64_noname.c`: one sequence for both chips.
        """
        width, height = size_px(self._config)
        self._device = _device()
        pages = PageInterface(self._bus, self._address, self._config)
        pages.clear(height // 8)
        self._device.__init__(pages, width, height, self._config.rotate // 90)
        # Disables luma's exit handler; `close` switches the panel off.
        self._device.persist = True
        self._says_power = self._is_on()
        """False: its status tells nothing, because it is off, or says so while on."""

    def _is_on(self) -> bool:
        """Return False if the panel is off, as after a power cut; True: or unreadable.

        Source: SSD1306 data sheet rev 1.1, table 9-2 (read status: D6); SH1106 too.
        """
        try:
            status = self._bus.read_byte_data(self._address, COMMAND)
        except OSError:
            return True
        return not status & _IS_OFF


def size_px(config: ScreenConfig) -> Size:
    """Return width and height in pixels."""
    width, height = config.size.split("x")
    return int(width), int(height)


@cache
def _device() -> LumaDevice:
    """Return luma's device, not started: one, because its exit handler keeps each."""
    kind = import_module("luma.oled.device").ssd1306
    return kind.__new__(kind)
