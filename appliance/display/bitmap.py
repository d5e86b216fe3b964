"""A 1-bit picture, and the sheet it is drawn on."""

from dataclasses import dataclass

from appliance.display.font import Font

Size = tuple[int, int]
"""Columns and rows, or px right and down."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A 1-bit picture; set bits are lit."""

    width: int
    height: int
    bits: bytes
    """Rows from the top, each byte 8 px from the left, highest bit first.

    The layout of Pillow's `Image.frombytes("1", (width, height), bits)`.
    """


class Canvas:
    """A dark sheet to draw on; what does not fit on it is cut."""

    def __init__(self, size: Size) -> None:
        """Take a sheet of this many px; the width is a multiple of 8."""
        self.width, self.height = size
        # One integer per row, its highest bit the leftmost px: a whole line of text
        # is drawn with a shift and an or per row.
        self._rows = [0] * self.height
        self._whole = (1 << self.width) - 1

    def write(self, text: str, font: Font, x: int, y: int) -> None:
        """Write the text with its top left corner here."""
        shift = self.width - x - font.width_px * len(text)
        for at, bits in enumerate(font.rows(text)[: max(0, self.height - y)], y):
            moved = bits << shift if shift >= 0 else bits >> -shift
            self._rows[at] |= moved & self._whole

    def turn(self, x: int, y: int, width: int, height: int) -> None:
        """Turn every px of a rectangle over, from dark to lit and back."""
        self._turn(((1 << width) - 1) << (self.width - x - width), y, height)

    def rule(self, y: int, width: int, step: int) -> None:
        """Draw a dotted line, a dot every `step` px."""
        dots = sum(1 << (self.width - 1 - x) for x in range(0, width, step))
        self._turn(dots, y, 1)

    def picture(self, shift: Size) -> Picture:
        """Return what was drawn, moved right and down by this many px."""
        right, down = shift
        rows = [0] * down + self._rows[: self.height - down]
        bits = b"".join((row >> right).to_bytes(self.width // 8) for row in rows)
        return Picture(self.width, self.height, bits)

    def _turn(self, bits: int, y: int, height: int) -> None:
        for at in range(y, min(y + height, self.height)):
            self._rows[at] ^= bits
