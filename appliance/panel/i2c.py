"""I²C bus: opening, search for the screen's address, error sentences."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from appliance.config import ScreenConfig
from appliance.core import fault_table
from appliance.errors import PanelError
from appliance.process.device_access import refusal

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


class Bus(Protocol):
    """Used part of smbus2's `SMBus`. Every call may raise `OSError`."""

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
    """Open a bus of this machine."""
    from smbus2 import SMBus

    return SMBus(number)


def opened(number: int, open_bus: OpenBus) -> Bus:
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


def found_address(bus: Bus, config: ScreenConfig) -> int:
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
