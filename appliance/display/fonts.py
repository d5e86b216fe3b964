"""Fonts of the screen, loaded from `fonts/` when first used.

`small` (5x8) shows European scripts in dense lines, `text` (GNU Unifont,
16 px) shows every script of Unicode's Basic Multilingual Plane, `title` (9x15 bold)
shows the talk state in ASCII.

Unifont is bundled unchanged: its 5.1 MB cost 0.4 MB of memory, because FreeType maps
the file; a subset costs more.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_FOLDER: Final = Path(__file__).with_name("fonts")
_BMP_END: Final = 0x10000
_NOT_DRAWN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
"""Categories without glyphs: controls, unassigned, private use, surrogates."""


@dataclass(frozen=True, slots=True)
class Font:
    """Font at its only size; equal even if two threads load it at the same time."""

    height_px: int
    space_px: int
    has: Callable[[str], bool] = field(compare=False, repr=False)
    """Returns whether it has a glyph for this character."""
    pillow: "FreeTypeFont" = field(compare=False, repr=False)

    def can_show(self, text: str) -> bool:
        """Return whether there is a glyph for every character."""
        # Joiners control the layout and have no glyph of their own.
        return all(
            self.has(character) or unicodedata.category(character) == "Cf"
            for character in text
        )

    def width_px(self, line: str) -> int:
        """Return the width of the line."""
        words = line.split(" ")
        blanks_px = (len(words) - 1) * self.space_px
        return blanks_px + sum(_word_px(self, word) for word in words if word)


@cache
def small() -> Font:
    """Return the font of dense lines: Latin, Greek, Cyrillic and signs."""
    return _bitmap_font("5x8.bdf", 8, 5)


@cache
def text() -> Font:
    """Return the font that shows all scripts."""
    return Font(16, 8, _is_in_unifont, _load("unifont.otf", 16))


@cache
def title() -> Font:
    """Return the bold font for reading from a distance; ASCII only."""
    return _bitmap_font("9x15B.bdf", 15, 9)


def load() -> None:
    """Import Pillow and open the fonts, so that the first picture is not slow."""
    for font in (small, text, title):
        font()


def _is_in_unifont(character: str) -> bool:
    is_basic = ord(character) < _BMP_END
    return is_basic and unicodedata.category(character) not in _NOT_DRAWN


def _bitmap_font(name: str, height_px: int, width_px: int) -> Font:
    prefix = "ENCODING "
    rows = (_FOLDER / name).read_text("ascii").splitlines()
    codes = (row.removeprefix(prefix) for row in rows if row.startswith(prefix))
    characters = frozenset(chr(int(code)) for code in codes)
    return Font(height_px, width_px, characters.__contains__, _load(name, height_px))


def _load(name: str, height_px: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(_FOLDER / name, height_px)


@lru_cache(1024)
def _word_px(font: Font, word: str) -> int:
    return round(font.pillow.getlength(word))
