"""GPIO chips of this machine: which has the 40-pin header, and who uses a line.

Source: Linux, `include/uapi/linux/gpio.h`: GPIO_GET_CHIPINFO_IOCTL and
GPIO_V2_GET_LINEINFO_IOCTL.
"""

import os
import struct
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import Final

from appliance.core import fault_table
from appliance.errors import PanelError
from appliance.process.device_access import refusal

DEVICES: Final = Path("/dev")
ALL_PINS: Final = "GPIO"
"""Name of the missing part if this machine has no usable pins at all."""
HEADER_LABELS: Final = frozenset(("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835"))
"""Labels of the chips with the header's pins, of a Pi 5, 4, and earlier ones."""
LGPIO: Final = "lg"
"""Name that lgpio gives to each line that it opens, also to ours."""
CHIP_INFO: Final = 0x8044B401
LINE_INFO: Final = 0xC100B405

_CHIP: Final = struct.Struct("32s32sI")
_LINE: Final = struct.Struct("32s32sIIQ176x")
_IS_USED: Final = 1

Query = Callable[[Path, int, bytes], bytes]
"""Return the answer of a device to a request with this data; raises `OSError`."""


def in_use(consumer: str) -> str:
    """Return who uses a line, a kernel driver or a program, and the remedy."""
    who = "a kernel driver or another program"
    if consumer == LGPIO:
        who = "another program that uses lgpio"
    elif consumer:
        who = f'"{consumer}", {who}'
    return fault_table.PIN_IN_USE.text(user=who)


def query_device(device: Path, request: int, data: bytes) -> bytes:
    """Return the kernel's answer."""
    opened = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        return ioctl(opened, request, data)
    finally:
        os.close(opened)


class GpioChips:
    """Character devices of the GPIO chips."""

    def __init__(self, folder: Path = DEVICES, query: Query = query_device) -> None:
        self._folder = folder
        self._query = query

    def header(self) -> int | None:
        """Return the number of the chip with the header's pins; None: not known.

        Raises `PanelError` without a chip or permission.
        """
        devices = sorted(self._folder.glob("gpiochip[0-9]*"), key=_number)
        if not devices:
            reason = fault_table.NO_CHIP.text(device=self._device(0))
            raise PanelError(ALL_PINS, reason)
        refused: list[Path] = []
        for device in devices:
            try:
                answer = self._query(device, CHIP_INFO, bytes(_CHIP.size))
            except PermissionError:
                refused.append(device)
                continue
            except OSError:
                continue
            if _text(_CHIP.unpack(answer)[1]) in HEADER_LABELS:
                return _number(device)
        if refused:
            raise PanelError(ALL_PINS, refusal(refused[0]))
        return None

    def consumer(self, chip: int, number: int) -> str | None:
        """Return the name of a line's user, perhaps empty; None: unused or unknown."""
        data = _LINE.pack(b"", b"", number, 0, 0)
        try:
            answer = self._query(self._device(chip), LINE_INFO, data)
        except OSError:
            return None
        _, consumer, _, _, flags = _LINE.unpack(answer)
        return _text(consumer) if flags & _IS_USED else None

    def _device(self, number: int) -> Path:
        return self._folder / f"gpiochip{number}"


def _number(device: Path) -> int:
    return int(device.name.removeprefix("gpiochip"))


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")
