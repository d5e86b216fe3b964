"""Standard requests of USB: what a device says about itself.

Source: USB 1.1, chapter 9.
"""

import struct
from dataclasses import dataclass, field

DEVICE, CONFIGURATION, STRING = 1, 2, 3
"""Kinds of descriptors."""
ENGLISH = b"\x09\x04"


@dataclass(frozen=True, slots=True)
class Setup:
    """Setup packet of a control request."""

    kind: int
    request: int
    value: int
    index: int
    length: int

    @property
    def is_input(self) -> bool:
        """Whether the device sends the data."""
        return bool(self.kind & 0x80)


@dataclass(slots=True)
class Identity:
    """Descriptors of a device, and the settings of its interfaces."""

    vendor: int
    product: int
    name: str
    configuration: bytes
    """Configuration descriptor with all that belongs to it."""
    settings: dict[int, int] = field(default_factory=dict)

    def answer(self, setup: Setup) -> bytes | None:
        """Answer a standard request; None: it is none of these."""
        match setup.kind, setup.request:
            case 0x80, 6:
                return self._descriptor(setup.value >> 8, setup.value & 255)
            case 0x01, 11:
                self.settings[setup.index] = setup.value
                return b""
            case 0x81, 10:
                return bytes([self.settings.get(setup.index, 0)])
            case 0x80, 8:
                return b"\x01"
            case ((0x80 | 0x81 | 0x82), 0):
                return bytes(2)
        sets_or_clears = setup.kind <= 2 and setup.request in {1, 3, 9}
        return b"" if sets_or_clears else None

    def _descriptor(self, kind: int, index: int) -> bytes | None:
        if kind == DEVICE:
            usb, release, most_bytes = 0x0110, 0x0100, 64
            head = struct.pack("<BBHBBBB", 18, DEVICE, usb, 0, 0, 0, most_bytes)
            ids = struct.pack("<HHH", self.vendor, self.product, release)
            return head + ids + bytes([1, 2, 3, 1])
        if kind == CONFIGURATION:
            return self.configuration
        names = ("guest", self.name, "0001")
        if kind == STRING and index <= len(names):
            text = names[index - 1].encode("utf-16le") if index else ENGLISH
            return bytes([len(text) + 2, STRING]) + text
        return None
