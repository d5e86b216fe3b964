"""SSD1306 and SH1106 screens on the I²C bus (R4.3)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from appliance.config import ScreenConfig
from appliance.display.bitmap import Picture, Size
from appliance.errors import PanelError
from appliance.panel import missing
from appliance.panel import ssd1306 as chips
from appliance.panel.ssd1306 import Chip

NAME = "OLED"
ADDRESSES = (0x3C, 0x3D)
"""Where such screens answer; a resistor on their back chooses."""
BRIGHT = {"ssd1306": 0xCF, "sh1106": 0x7F}
"""luma.oled's contrast."""
DIM = 0x01

_COMMAND, _DATA = 0x00, 0x40
"""Control bytes: what follows are commands, or px."""
_BLOCK_BYTES = 32
"""SMBus carries no more in one go."""


class Bus(Protocol):
    """What we need of an I²C bus; smbus2 has it. Every call may raise `OSError`."""

    def write_i2c_block_data(
        self, i2c_addr: int, register: int, data: list[int], /
    ) -> None:
        """Write a control byte and up to 32 bytes."""

    def read_byte_data(self, i2c_addr: int, register: int, /) -> int:
        """Write a control byte, then read one byte."""

    def close(self) -> None:
        """Close the bus."""


OpenBus = Callable[[int], Bus]
"""Opens the I²C bus of this number; raises `OSError`."""


def open_smbus(number: int) -> Bus:
    """Open the machine's own bus."""
    from smbus2 import SMBus

    bus: Bus = SMBus(number)
    return bus


def open_oled(config: ScreenConfig, open_bus: OpenBus = open_smbus) -> "Oled":
    """Return the first screen that answers, still dark.

    Raises:
        PanelError: there is no bus, nobody answers on it, or a package is missing.
    """
    bus = _bus(config.bus, open_bus)
    try:
        address = _address(bus, config)
        with _named():
            return Oled(bus, address, config)
    except PanelError:
        bus.close()
        raise


class Oled:
    """One screen. Every method may raise `PanelError`, and then the screen has gone."""

    def __init__(self, bus: Bus, address: int, config: ScreenConfig) -> None:
        """Prepare it; raises `OSError`."""
        self._bus = bus
        self._address = address
        self._is_turned = config.rotate != 0
        self._shown: tuple[bytes, ...] = ()
        self._is_known_lit = False
        """Lit, and the chip says so: not every board can be read from."""
        self._chip = self._detected() if config.driver == "auto" else _chip(config)
        for command in chips.start_commands(self._chip, size_px(config)):
            self._command(*command)

    def show(self, picture: Picture) -> None:
        """Send the strips that differ from those shown, and light up the first time."""
        before, self._shown = self._shown, ()
        strips = chips.strips(picture, is_turned=self._is_turned)
        with _named():
            for number, strip in enumerate(strips):
                if before[number : number + 1] != (strip,):
                    self._send(number, strip)
            if not before:
                self._light(is_lit=True)
        self._shown = strips

    def check(self) -> None:
        """Do nothing, unless it has gone or was without power."""
        with _named():
            self._command(chips.NOTHING)
        if self._is_known_lit and self._is_off():
            raise PanelError(NAME, "it was without power")

    def dim(self, *, is_dim: bool) -> None:
        """Make it dim, or bright again."""
        with _named():
            self._command(chips.CONTRAST, DIM if is_dim else BRIGHT[self._chip])

    def light(self, *, is_lit: bool) -> None:
        """Switch the panel on or off; the chip keeps its picture."""
        with _named():
            self._light(is_lit=is_lit)

    def close(self) -> None:
        """Go dark and close the bus."""
        try:
            self.light(is_lit=False)
        finally:
            self._bus.close()

    def _detected(self) -> Chip:
        # Where nothing can be read, the commoner chip is the better guess.
        status = self._status()
        return "ssd1306" if status is None else chips.detected(status)

    def _light(self, *, is_lit: bool) -> None:
        self._command(chips.ON if is_lit else chips.OFF)
        self._is_known_lit = is_lit and not self._is_off()

    def _is_off(self) -> bool:
        status = self._status()
        return status is None or chips.is_off(status)

    def _status(self) -> int | None:
        """Return the status byte; None: this board cannot be read from."""
        try:
            return self._bus.read_byte_data(self._address, _COMMAND)
        except OSError:
            return None

    def _send(self, number: int, strip: bytes) -> None:
        for command in chips.place(self._chip, number, len(strip)):
            self._command(*command)
        for start in range(0, len(strip), _BLOCK_BYTES):
            block = list(strip[start : start + _BLOCK_BYTES])
            self._bus.write_i2c_block_data(self._address, _DATA, block)

    def _command(self, *command: int) -> None:
        self._bus.write_i2c_block_data(self._address, _COMMAND, list(command))


def size_px(config: ScreenConfig) -> Size:
    """Return width and height."""
    width, height = config.size.split("x")
    return int(width), int(height)


def _chip(config: ScreenConfig) -> Chip:
    return "sh1106" if config.driver == "sh1106" else "ssd1306"


def _bus(number: int, open_bus: OpenBus) -> Bus:
    try:
        return open_bus(number)
    except FileNotFoundError as error:
        reason = f"there is no I²C bus {number}: switch it on with raspi-config"
        raise PanelError(NAME, reason) from error
    except PermissionError as error:
        reason = f"I²C bus {number} may not be used: add this user to the group i2c"
        raise PanelError(NAME, reason) from error
    except OSError as error:
        raise PanelError(NAME, f"I²C bus {number}: {error}") from error
    except ImportError as error:
        raise PanelError(NAME, missing.reason(error)) from error


def _address(bus: Bus, config: ScreenConfig) -> int:
    wanted = ADDRESSES if config.address == "auto" else (config.address,)
    for address in wanted:
        if _answers(bus, address):
            return address
    tried = " or ".join(f"0x{address:02X}" for address in wanted)
    reason = f"nobody answers at {tried} on I²C bus {config.bus}: check its four wires"
    raise PanelError(NAME, reason)


def _answers(bus: Bus, address: int) -> bool:
    try:
        bus.write_i2c_block_data(address, _COMMAND, [chips.NOTHING])
    except OSError:
        return False
    return True


@contextmanager
def _named() -> Iterator[None]:
    """Turn a bus error of any number, or a package that is missing, into ours."""
    try:
        yield
    except ImportError as error:
        raise PanelError(NAME, missing.reason(error)) from error
    except OSError as error:
        raise PanelError(NAME, f"it does not answer any more: {error}") from error
