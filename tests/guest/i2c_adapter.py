"""USB adapter for I²C as the driver i2c-tiny-usb knows it, with a screen at 0x3C.

Source: Linux, drivers/i2c/busses/i2c-tiny-usb.c.
"""

import errno
import struct

from tests.guest.usb import Identity, Setup
from tests.guest.usbip import Device
from tests.panel.fakes import FakeBus

IDS = 0x0403, 0xC631
"""Vendor and product by which the driver knows it."""
GET_FUNCTIONS, SET_DELAY, GET_STATUS = 1, 2, 3
TRANSFERS = range(4, 8)
ACKNOWLEDGED, NOT_ACKNOWLEDGED = 1, 2
I2C_AND_SMBUS = 0x0EFF0001
SMBUS_BYTES = 32


class I2cAdapter(Device):
    """The adapter; without power, the screen does not acknowledge its address."""

    def __init__(self, address: tuple[str, int]) -> None:
        """Listen."""
        self.screen = FakeBus()
        self._is_acknowledged = True
        super().__init__(address, Identity(*IDS, "i2c-tiny-usb", _configuration()))

    def is_lit(self) -> bool:
        """Whether the screen shows anything."""
        return self.screen.is_on and self.screen.picture(64).getbbox() is not None

    def power_off(self) -> None:
        """Take the power from the screen; it forgets everything."""
        self.screen.error = OSError(errno.ENXIO, "no power")
        self.screen.cut_power()

    def power_on(self) -> None:
        """Give the power back; the screen stays dark until it is set up."""
        self.screen.error = None

    def unplugged(self) -> None:
        """Forget what is on the screen: the adapter is its power supply."""
        self.screen.cut_power()

    def class_request(self, setup: Setup, data: bytes) -> bytes | None:
        """Answer the driver's requests."""
        if setup.request == GET_FUNCTIONS:
            return struct.pack("<I", I2C_AND_SMBUS)
        if setup.request == GET_STATUS:
            return bytes([ACKNOWLEDGED if self._is_acknowledged else NOT_ACKNOWLEDGED])
        if setup.request in TRANSFERS:
            return self._transfer(setup, data)
        return b"" if setup.request == SET_DELAY else None

    def _transfer(self, setup: Setup, data: bytes) -> bytes:
        """Pass one I²C message on: a register and its data, or a read."""
        address, answer = setup.index, b""
        self._is_acknowledged = True
        try:
            if setup.is_input:
                status = self.screen.read_byte_data(address, 0)
                answer = bytes([status]) * setup.length
            else:
                # The fake takes what SMBus allows, the bus any number of bytes.
                for first in range(1, len(data), SMBUS_BYTES):
                    part = list(data[first : first + SMBUS_BYTES])
                    self.screen.write_i2c_block_data(address, data[0], part)
        except OSError:
            self._is_acknowledged = False
            answer = bytes(setup.length)
        return answer


def _configuration() -> bytes:
    """Return the descriptors of one interface of the vendor's own class."""
    interface = bytes([9, 4, 0, 0, 0, 0xFF, 0, 0, 0])
    return struct.pack("<BBHBBBBB", 9, 2, 18, 1, 1, 0, 0x80, 50) + interface
