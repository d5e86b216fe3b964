"""Page addressing: pictures in a form that an SSD1306 and an SH1106 both understand.

luma's SSD1306 sends a picture with horizontal addressing, which an SH1106 has not.
`PageInterface` stands between luma's device and its I²C interface, sends each page of
eight rows with an address of its own, and repeats what failed.
"""

import errno
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Protocol

from appliance.panel.i2c import NOTHING

TRIES: Final = 4
"""Attempts for one command or one page.

Our choice: with one failed transfer in a thousand a page of five transfers fails four
times in a row once in 100 days of continuous pictures.
"""
COLUMNS: Final = 132
"""Columns in the memory of an SH1106; an SSD1306 has 128 and starts again at 0."""

_PAGE_MODE: Final = (0x20, 0x02)
"""Page addressing of an SSD1306. To an SH1106 it is another command: column 2.

Source: SSD1306 data sheet rev 1.1, 10.1.3; SH1106 data sheet V2.3, commands 1 and 2: it
has no command 0x20 and takes 0x02 for the lower half of a column number.
"""
_FIRST_COLUMN: Final = (0x00, 0x10)
_PAGE: Final = 0xB0
_WINDOW: Final = 0x21
"""First command of luma's horizontal addressing."""


class Interface(Protocol):
    """Serial interface as luma's devices use it; errors are those of `bus_errors`."""

    def command(self, *codes: int) -> None:
        """Send command bytes."""

    def data(self, data: Sequence[int]) -> None:
        """Send bytes for the memory of the chip."""

    def cleanup(self) -> None:
        """Release the interface."""


class PageInterface:
    """Interface that converts a picture to pages."""

    def __init__(self, wire: Interface, width_px: int, column: int | None) -> None:
        """Keep the wire; nothing is sent.

        Args:
            wire: luma's I²C interface.
            width_px: width of the picture.
            column: first visible column of the chip's memory. None: 0 of an SSD1306, 2
                of an SH1106, without knowing which of the two it is.
        """
        self._wire = wire
        self._width_px = width_px
        self._column = column

    def command(self, *codes: int) -> None:
        """Send command bytes; those of horizontal addressing are left out."""
        if codes[0] != _WINDOW:
            self._repeat(lambda: self._wire.command(*codes))

    def data(self, data: Sequence[int]) -> None:
        """Send a picture, eight rows for each page."""
        at = self._start()
        room = COLUMNS - (self._column or 0)
        for page, first in enumerate(range(0, len(data), self._width_px)):
            row = data[first : first + self._width_px]
            self._send_page(page, at, row[:room])

    def clear(self, pages: int) -> None:
        """Clear every column, also those beside the picture."""
        for page in range(pages):
            self._send_page(page, _FIRST_COLUMN, bytes(COLUMNS))

    def cleanup(self) -> None:
        """Release the wire."""
        self._wire.cleanup()

    def _start(self) -> tuple[int, ...]:
        """Return the commands that select the first column."""
        if self._column is None:
            # An SSD1306 stays at column 0, an SH1106 goes to 2.
            return (*_FIRST_COLUMN, *_PAGE_MODE)
        return (self._column & 0x0F, 0x10 | self._column >> 4)

    def _send_page(self, page: int, start: tuple[int, ...], row: Sequence[int]) -> None:
        def send() -> None:
            # The page comes last, in case that a mode command changes it.
            self._wire.command(*_PAGE_MODE, *start, _PAGE | page)
            self._wire.data(row)

        self._repeat(send)

    def _repeat(self, send: Callable[[], None]) -> None:
        """Try several times: one lost byte does not mean that the chip is unplugged."""
        for _ in range(TRIES - 1):
            try:
                send()
            except bus_errors() as exc:
                if getattr(exc, "errno", None) == errno.ETIMEDOUT:
                    # Each attempt on a blocked bus takes a second.
                    raise
                self._flush()
            else:
                return
        send()

    def _flush(self) -> None:
        """End a command whose argument got lost, so that it takes no other byte."""
        try:
            self._wire.command(NOTHING)
        except bus_errors():
            return


@cache
def bus_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the bus; luma turns some error numbers into its own."""
    from luma.core.error import Error

    return OSError, Error
