"""Fakes for the tests of the front panel."""

import asyncio
import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gpiozero.pins.mock import MockPin

from appliance.core.events import Event
from appliance.errors import PanelError
from appliance.panel.pins import Factory

if TYPE_CHECKING:
    from PIL.Image import Image

WAIT_S = 10.0
"""Longer than anything here takes; a test that waits so long has failed."""
NO_PINS = PanelError("GPIO", "this is no Pi")
RESET_CONTRAST = 0x7F


class Inbox:
    """Queue of posted events."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def post(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def next(self) -> Event:
        async with asyncio.timeout(WAIT_S):
            return await self._events.get()

    async def take(self, count: int) -> list[Event]:
        return [await self.next() for _ in range(count)]


class MissingPins:
    """Machine without pins, on which one thread looks for them."""

    def __init__(self) -> None:
        self.calls = 0
        executor = ThreadPoolExecutor(1, "asyncio_")
        asyncio.get_running_loop().set_default_executor(executor)

    def open_factory(self) -> Factory:
        self.calls += 1
        raise NO_PINS

    async def had_time(self) -> None:
        """Return after the calls of the tasks that are running now."""
        await asyncio.sleep(0)
        await asyncio.to_thread(int)


def failing_pin(failure: list[Exception]) -> type:
    """Return a mock pin that can be read and written only while there is no failure."""

    def check() -> None:
        if failure:
            raise failure[0]

    def read(self: object) -> bool:
        check()
        return bool(MockPin.state.fget(self))

    def write(self: object, value: int) -> None:
        check()
        MockPin.state.fset(self, value)

    return type("FailingPin", (MockPin,), {"state": property(read, write)})


def empty_memory() -> list[bytearray]:
    """Return the pages of a chip after its reset."""
    return [bytearray(132) for _ in range(8)]


class FakeBus:
    """An I²C bus with one screen on it, which keeps pixels as the real chips do.

    It replaces smbus2's `SMBus`, below luma.core's `i2c`.

    Source: SSD1306 data sheet rev 1.1, tables 9-1 and 10.1.3 (horizontal and page
    addressing); SH1106 data sheet V2.3, commands 1, 2 and 13 (page addressing, 132
    columns).
    """

    ARGUMENTS = {0x20: 1, 0x21: 2, 0x22: 2, 0x81: 1, 0x8D: 1} | dict.fromkeys(
        (0xA8, 0xD3, 0xD5, 0xD9, 0xDA, 0xDB), 1
    )

    def __init__(
        self, address: int = 0x3C, *, is_sh1106: bool = False, left_px: int = 2
    ) -> None:
        self.address = address
        self.is_sh1106 = is_sh1106
        self.error: OSError | None = None
        self.busy: set[int] = set()
        """Addresses that a kernel driver holds."""
        self.failures: set[int] = set()
        """Writes that fail, by their number from the first."""
        self.writes = 0
        self.is_readable = True
        self.is_on = False
        self.is_closed = False
        self.contrast = RESET_CONTRAST
        self.sent_bytes = 0
        self.status = 0x08 if is_sh1106 else 0x06
        """Low four bits of the status byte."""
        self._has_pages = is_sh1106
        """Page addressing; an SSD1306 can be switched to it."""
        self._left = left_px if is_sh1106 else 0
        self._memory = empty_memory()
        self._columns, self._pages = (0, 127), (0, 7)
        self._column = self._page = 0

    def __call__(self, number: int) -> "FakeBus":
        """Open it."""
        assert number == 1
        self.is_closed = False
        return self

    def write_i2c_block_data(self, address: int, register: int, data: list[int]):
        self._check(address)
        self.writes += 1
        assert 0 < len(data) <= 32
        if self.writes - 1 in self.failures:
            if register == 0x40:
                # The chip has taken half of it.
                self._take(data[: len(data) // 2])
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        if register == 0x40:
            self._take(data)
        else:
            self._command(iter(data))

    def read_byte_data(self, address: int, _register: int) -> int:
        self._check(address)
        if not self.is_readable:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        return self.status | (0 if self.is_on else 0x40)

    def close(self) -> None:
        self.is_closed = True

    def cut_power(self) -> None:
        """Lose everything, as a screen that is unplugged and plugged in again."""
        self.is_on, self.contrast = False, RESET_CONTRAST
        self._memory = empty_memory()

    def picture(self, height: int) -> "Image":
        """Return the visible picture."""
        rows = [
            "".join(
                str(self._memory[y // 8][x + self._left] >> y % 8 & 1)
                for x in range(128)
            )
            for y in range(height)
        ]
        bits = int("".join(rows), 2).to_bytes(16 * height)
        # Some tests run where Pillow is missing.
        from PIL import Image

        return Image.frombytes("1", (128, height), bits)

    def _check(self, address: int) -> None:
        assert not self.is_closed
        if address in self.busy:
            raise OSError(errno.EBUSY, "Device or resource busy")
        if self.error is not None:
            raise self.error
        if address != self.address:
            raise OSError(errno.ENXIO, "No such device or address")

    def _take(self, data: list[int]) -> None:
        self.sent_bytes += len(data)
        for byte in data:
            self._memory[self._page][self._column] = byte
            self._column += 1
            if not self.is_sh1106 and self._column > self._columns[1]:
                self._column = self._columns[0]
                if self._has_pages:
                    continue
                first, last = self._pages
                self._page = first if self._page == last else self._page + 1

    def _command(self, data: Iterator[int]) -> None:
        for code in data:
            # The SH1106 knows no memory mode: 0x20 is nothing to it.
            count = (
                0 if self.is_sh1106 and code == 0x20 else self.ARGUMENTS.get(code, 0)
            )
            self._obey(code, [next(data) for _ in range(count)])

    def _obey(self, code: int, arguments: list[int]) -> None:
        match code:
            case 0xAE | 0xAF:
                self.is_on = code == 0xAF
            case 0x81:
                self.contrast = arguments[0]
            case 0x21:
                self._columns = (arguments[0], arguments[1])
                self._column = arguments[0]
            case 0x22:
                self._pages = (arguments[0], arguments[1])
                self._page = arguments[0]
            case 0x20 if not self.is_sh1106:
                self._has_pages = arguments[0] & 3 == 2
            case _ if self._has_pages:
                self._place(code)
            case _:
                pass

    def _place(self, code: int) -> None:
        if code & 0xF0 == 0xB0:
            self._page = code & 0x0F
        elif code & 0xF0 == 0x00:
            self._column = self._column & 0xF0 | code & 0x0F
        elif code & 0xF0 == 0x10:
            self._column = self._column & 0x0F | code << 4 & 0xF0
