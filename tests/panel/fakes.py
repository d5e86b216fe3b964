"""Fakes for the tests of the front panel."""

import asyncio
import errno
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from gpiozero.pins.mock import MockPin
from smbus2 import SMBus

from appliance.config import ScreenConfig
from appliance.core.events import Event
from appliance.errors import PanelError
from appliance.panel.gpio_chip import CHIP_INFO, LINE_INFO, GpioChips
from appliance.panel.oled import Oled
from appliance.panel.pins import Factory, PinSource

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

    def is_empty(self) -> bool:
        return self._events.empty()

    async def take(self, count: int) -> list[Event]:
        return [await self.next() for _ in range(count)]


class MissingPins:
    """Machine without pins, on which one thread looks for them."""

    def __init__(self) -> None:
        self.calls = 0
        self.source = PinSource(self._open_factory)
        executor = ThreadPoolExecutor(1, "asyncio_")
        asyncio.get_running_loop().set_default_executor(executor)

    def _open_factory(self) -> Factory:
        self.calls += 1
        raise NO_PINS

    async def had_time(self) -> None:
        """Return after the calls of the tasks that are running now."""
        await asyncio.sleep(0)
        await asyncio.to_thread(int)


def stamped_pin(clock: Callable[[], float]) -> type:
    """Return a class of mock pins that stamp edges with this clock."""

    def call_when_changed(self: MockPin) -> None:
        super(MockPin, self)._call_when_changed(clock(), self.state)

    return type("StampedPin", (MockPin,), {"_call_when_changed": call_when_changed})


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


class SimulatedDisplay(Oled):
    """Display that keeps the picture instead of showing it."""

    def __init__(self) -> None:
        """Start dark, without a picture."""
        self.picture: Image | None = None
        self.is_dim = False
        self.is_lit = False

    def open(self, _config: ScreenConfig) -> "SimulatedDisplay":
        """Return itself, without a picture."""
        self.picture = None
        return self

    def show(self, picture: "Image", /) -> None:
        """Keep the picture."""
        self.is_lit = self.is_lit or self.picture is None
        self.picture = picture

    def check(self) -> bool:
        """Return True: the picture is never lost."""
        return True

    def dim(self, *, is_dim: bool) -> None:
        """Set or end dimming."""
        self.is_dim = is_dim

    def light(self, *, is_lit: bool) -> None:
        """Switch it on or off."""
        self.is_lit = is_lit

    def close(self) -> None:
        """Switch off."""
        self.is_lit = False


Owner = tuple[int, bytes]
"""Flags and consumer of a line."""


class FakeKernel:
    """GPIO character devices in a folder, which answer as Linux does.

    Source: Linux, `include/uapi/linux/gpio.h`: struct gpiochip_info and struct
    gpio_v2_line_info.
    """

    def __init__(self, folder: Path, **labels: str) -> None:
        self.folder = folder
        self.labels = labels
        self.lines: dict[int, Owner] = {}
        self.refused: set[str] = set()
        for name in labels:
            (folder / name).touch()
        self.chips = GpioChips(folder, self.query)

    def query(self, device: Path, request: int, data: bytes) -> bytes:
        if device.name not in self.labels:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        if device.name in self.refused:
            raise PermissionError(errno.EACCES, "Permission denied")
        if request == CHIP_INFO:
            assert len(data) == 68
            label = self.labels[device.name].encode()
            return struct.pack("<32s32sI", device.name.encode(), label, 54)
        assert (request, len(data)) == (LINE_INFO, 256)
        number = struct.unpack_from("<I", data, 64)[0]
        flags, consumer = self.lines.get(number, (0, b""))
        answer = struct.pack("<32s32sIIQ", b"GPIO17", consumer, number, 0, flags)
        return answer.ljust(256, b"\0")


class FakeBus(SMBus):
    """An I²C bus with one screen on it, which keeps pixels as the real chips do.

    It replaces smbus2's `SMBus`. An argument whose command got lost is taken for a
    command, and a command after a lost argument for that argument.

    Source: SSD1306 data sheet rev 1.1, tables 9-1 and 10.1.3 (horizontal and page
    addressing); SH1106 data sheet V2.3, commands 1, 2, 6 and 13 (page addressing, 132
    columns, start line). The charge pump of an SSD1306 is off until luma.oled's start
    commands switch it on.
    """

    ARGUMENTS = {0x20: 1, 0x21: 2, 0x22: 2, 0x81: 1, 0x8D: 1} | dict.fromkeys(
        (0xA8, 0xD3, 0xD5, 0xD9, 0xDA, 0xDB), 1
    )
    address: int
    NOT_IN_SH1106 = frozenset((0x20, 0x21, 0x22, 0x8D))
    """Commands that an SH1106 does not know: it skips them, not their arguments."""

    def __init__(
        self, address: int = 0x3C, *, is_sh1106: bool = False, left_px: int = 2
    ) -> None:
        self.address = address
        self.is_sh1106 = is_sh1106
        self.error: OSError | None = None
        self.busy: set[int] = set()
        """Addresses that a kernel driver holds."""
        self.failures: set[int] = set()
        """Transfers that fail, by their number from the first."""
        self.is_lost: Callable[[], bool] = lambda: False
        """Says of each further transfer whether it fails."""
        self.calls = 0
        self.transfers = 0
        """Calls that reached the screen."""
        self.is_readable = True
        self.is_on = False
        self.is_closed = False
        self.contrast = RESET_CONTRAST
        self.sent_bytes = 0
        self.status = 0x08 if is_sh1106 else 0x06
        """Low four bits of the status byte."""
        self._left = left_px if is_sh1106 else 0
        self._width = 132 if is_sh1106 else 128
        self._reset()

    def __call__(self, number: int) -> "FakeBus":
        """Open it."""
        assert number == 1
        self.is_closed = False
        return self

    def write_i2c_block_data(
        self,
        i2c_addr: int,
        register: int,
        data: Sequence[int],
        _force: bool | None = None,
    ) -> None:
        self._check(i2c_addr)
        assert 0 < len(data) <= 32
        take = self._take if register == 0x40 else self._command
        if self._fails():
            # The chip has taken half of it.
            take(data[: len(data) // 2])
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        take(data)

    def read_byte_data(
        self, i2c_addr: int, _register: int, _force: bool | None = None
    ) -> int:
        self._check(i2c_addr)
        if self._fails() or not self.is_readable:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        return self.status | (0 if self.is_on else 0x40)

    def close(self) -> None:
        self.is_closed = True

    def cut_power(self) -> None:
        """Lose everything, as a screen that is unplugged and plugged in again."""
        self.is_on, self.contrast = False, RESET_CONTRAST
        self._reset()

    def picture(self, height: int) -> "Image":
        """Return the visible picture."""
        rows = [
            "".join(str(self._bit(x + self._left, y)) for x in range(128))
            for y in range(height)
        ]
        bits = int("".join(rows), 2).to_bytes(16 * height)
        # Some tests run where Pillow is missing.
        from PIL import Image

        return Image.frombytes("1", (128, height), bits)

    def beside(self) -> set[int]:
        """Return the bytes of an SH1106 in the columns beside its glass."""
        hidden = {*range(132)} - {*range(self._left, self._left + 128)}
        return {page[x] for page in self._memory for x in hidden}

    def _reset(self) -> None:
        """Take the state after power-on: page addressing, and noise in the memory."""
        self._memory = [bytearray(b"\xa5" * self._width) for _ in range(8)]
        self._has_pages, self._has_charge_pump = True, False
        self._columns, self._pages = (0, self._width - 1), (0, 7)
        self._column = self._page = self._start_line = 0
        self._pending: list[int] = []

    def _bit(self, x: int, y: int) -> int:
        y = (y + self._start_line) % 64
        return self._memory[y // 8][x] >> y % 8 & 1

    def _fails(self) -> bool:
        self.transfers += 1
        return self.transfers - 1 in self.failures or self.is_lost()

    def _check(self, address: int) -> None:
        assert not self.is_closed
        self.calls += 1
        if address in self.busy:
            raise OSError(errno.EBUSY, "Device or resource busy")
        if self.error is not None:
            raise self.error
        if address != self.address:
            raise OSError(errno.ENXIO, "No such device or address")

    def _take(self, data: Sequence[int]) -> None:
        self.sent_bytes += len(data)
        for byte in data:
            # An SH1106 ignores what follows its last column.
            if self._column < self._width:
                self._memory[self._page][self._column] = byte
            self._column += 1
            if not self.is_sh1106 and self._column > self._columns[1]:
                self._column = self._columns[0]
                if self._has_pages:
                    continue
                first, last = self._pages
                self._page = first if self._page == last else self._page + 1

    def _command(self, data: Sequence[int]) -> None:
        for code in data:
            self._pending.append(code)
            first = self._pending[0]
            is_unknown = self.is_sh1106 and first in self.NOT_IN_SH1106
            count = 0 if is_unknown else self.ARGUMENTS.get(first, 0)
            if len(self._pending) > count:
                arguments, self._pending = self._pending[1:], []
                self._obey(first, arguments)

    def _obey(self, code: int, arguments: list[int]) -> None:
        match code:
            case 0xAE | 0xAF:
                has_power = self.is_sh1106 or self._has_charge_pump
                self.is_on = code == 0xAF and has_power
            case 0x8D if arguments:
                self._has_charge_pump = arguments[0] == 0x14
            case 0x81:
                self.contrast = arguments[0]
            case _ if 0x40 <= code <= 0x7F:
                self._start_line = code & 0x3F
            case 0x20 if arguments:
                self._has_pages = arguments[0] & 3 == 2
            case 0x21 if arguments:
                self._columns = (arguments[0], arguments[1])
                self._column = arguments[0]
            case 0x22 if arguments:
                self._pages = (arguments[0], arguments[1])
                self._page = arguments[0]
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
