"""Fixed-width bitmap fonts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Drawn as a box, in place of what the font does not have."""


@dataclass(frozen=True, slots=True)
class Font:
    """The letters of one size."""

    width_px: int
    height_px: int
    glyphs: Mapping[str, tuple[int, ...]]
    """Rows of each letter from the top; bit `width_px - 1` is the leftmost px."""

    def rows(self, text: str) -> tuple[int, ...]:
        """Return the rows of a whole line, `width_px * len(text)` bits each."""
        unknown = self.glyphs[REPLACEMENT]
        letters = [self.glyphs.get(letter, unknown) for letter in text]
        return tuple(self._row(letters, y) for y in range(self.height_px))

    def _row(self, letters: list[tuple[int, ...]], y: int) -> int:
        bits = 0
        for letter in letters:
            bits = bits << self.width_px | letter[y]
        return bits


@cache
def small() -> Font:
    """Return the font for running text."""
    from appliance.display import glyphs_small as source

    return _font(source.WIDTH_PX, source.HEIGHT_PX, source.GLYPHS)


@cache
def large() -> Font:
    """Return the font for what has to be read from afar; ASCII only."""
    from appliance.display import glyphs_large as source

    return _font(source.WIDTH_PX, source.HEIGHT_PX, source.GLYPHS)


def _font(width_px: int, height_px: int, source: str) -> Font:
    mask = (1 << width_px) - 1
    shifts = range(width_px * (height_px - 1), -1, -width_px)
    glyphs: dict[str, tuple[int, ...]] = {}
    for line in source.split("\n"):
        if not line:
            continue
        first, *cells = line.split(" ")
        for code, cell in enumerate(cells, int(first, 16)):
            bits = int(cell, 16)
            glyphs[chr(code)] = tuple([bits >> shift & mask for shift in shifts])
    full = mask & mask >> 1 << 1
    glyphs.setdefault(REPLACEMENT, (0, *[full] * (height_px - 2), 0))
    return Font(width_px, height_px, glyphs)
