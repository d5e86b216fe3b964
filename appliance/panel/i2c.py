"""I²C bus: opening, search for the screen's address, error sentences."""

import errno
from collections.abc import Callable
from typing import Final, Protocol

from appliance.config import ScreenConfig
from appliance.core import fault_table
from appliance.errors import PanelError

NAME: Final = "OLED"
ADDRESSES: Final = (0x3C, 0x3D)
"""Addresses of such screens, selected by a resistor on their back."""
COMMAND: Final = 0x00
"""Control byte: commands follow."""
NOTHING: Final = 0xE3
"""Command NOP, used to probe for a device."""


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
    """Return the opened bus.

    Raises:
        PanelError: it cannot be opened.
    """
    try:
        return open_bus(number)
    except FileNotFoundError as exc:
        reason = fault_table.NO_BUS.text(bus=number)
        raise PanelError(NAME, reason) from exc
    except PermissionError as exc:
        reason = fault_table.BUS_NOT_ALLOWED.text(bus=number)
        raise PanelError(NAME, reason) from exc
    except OSError as exc:
        reason = fault_table.BUS_FAILED.text(bus=number, error=exc)
        raise PanelError(NAME, reason) from exc


def found_address(bus: Bus, config: ScreenConfig) -> int:
    """Return the first address with a device.

    Raises:
        PanelError: there is none, or a kernel driver uses it.
    """
    wanted = ADDRESSES if config.address == "auto" else (config.address,)
    taken = ""
    for address in wanted:
        try:
            bus.write_i2c_block_data(address, COMMAND, [NOTHING])
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                taken = taken or f"0x{address:02X}"
        else:
            return address
    if taken:
        reason = fault_table.SCREEN_TAKEN.text(address=taken, bus=config.bus)
        raise PanelError(NAME, reason)
    tried = " or ".join(f"0x{address:02X}" for address in wanted)
    reason = fault_table.SCREEN_ABSENT.text(addresses=tried, bus=config.bus)
    raise PanelError(NAME, reason)
