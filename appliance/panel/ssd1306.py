"""What the chips of OLED screens want to be told; luma.oled knows it."""

from functools import cache
from itertools import takewhile
from typing import Literal

from appliance.display.bitmap import Picture, Size

Chip = Literal["ssd1306", "sh1106"]
Commands = tuple[tuple[int, ...], ...]

OFF, ON = 0xAE, 0xAF
CONTRAST = 0x81
NOTHING = 0xE3
"""Does nothing; good for asking whether anybody is there."""
STRIP_PX = 8
"""Rows that a chip keeps in one line of bytes, which it calls a page."""

_SH1106_LEFT_PX = 2
"""Its memory is 132 px wide, and the glass shows the middle."""
_SH1106_STATUS = 0x08
_IS_OFF = 0x40

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_DIGITS = bytes.maketrans(b"01", b"\0\1")


@cache
def start_commands(chip: Chip, size: Size) -> Commands:
    """Return what wakes the chip up, as luma.oled would send it; dark until `ON`.

    luma's own devices are not used beyond this: each leaves an exit handler and 130 kB
    behind, which adds up where a screen comes and goes, and it packs px one by one.
    """
    from luma.oled import device

    record = _Record()
    screen = getattr(device, chip)(record, width=size[0], height=size[1])
    # Otherwise it would say goodbye to our record when the process ends.
    screen.persist = True
    return tuple(takewhile(lambda command: command != _Record.DATA, record.sent))


def detected(status: int) -> Chip:
    """Return which chip answers with this status byte; when in doubt, an SSD1306.

    Source: OneBitDisplay (bitbank2), `obdI2CInit`: the low four bits are 8 for an
    SH1106 and 3, 6 or 7 for an SSD1306. Neither data sheet promises it.
    """
    return "sh1106" if status & 0x0F == _SH1106_STATUS else "ssd1306"


def is_off(status: int) -> bool:
    """Return whether the chip says that its panel is off; it is after a power cut.

    Source: SSD1306 data sheet rev 1.1, table 9-2 (read status: D6); SH1106 the same.
    """
    return bool(status & _IS_OFF)


def place(chip: Chip, strip: int, width: int) -> Commands:
    """Return what makes the chip put the bytes that follow into this strip."""
    if chip == "sh1106":
        return ((0xB0 | strip, _SH1106_LEFT_PX, 0x10),)
    return ((0x21, 0, width - 1, 0x22, strip, strip),)


def strips(picture: Picture, *, is_turned: bool) -> tuple[bytes, ...]:
    """Return the picture as the chips keep it.

    Each strip has one byte per column, the lowest bit at the top.
    """
    stride = picture.width // 8
    bits = picture.bits[::-1].translate(_REVERSED) if is_turned else picture.bits
    rows = [
        _spread(bits[start : start + stride], picture.width)
        for start in range(0, len(bits), stride)
    ]
    return tuple(
        sum(row << y for y, row in enumerate(rows[top : top + STRIP_PX])).to_bytes(
            picture.width
        )
        for top in range(0, picture.height, STRIP_PX)
    )


def _spread(row: bytes, width: int) -> int:
    """Return the row with each px in a byte of its own, so that rows can be stacked."""
    digits = f"{int.from_bytes(row):0{width}b}"
    return int.from_bytes(digits.encode().translate(_DIGITS))


class _Record:
    """Looks like a bus to luma, and remembers what was sent."""

    DATA = ()

    def __init__(self) -> None:
        self.sent: list[tuple[int, ...]] = []

    def command(self, *command: int) -> None:
        self.sent.append(command)

    def data(self, _data: list[int]) -> None:
        self.sent.append(self.DATA)

    def cleanup(self) -> None:
        """Have nothing to close."""
