"""Text for a small screen: replacement of characters, and line breaking.

All text is in logical order; the layout engine brings it into visual order.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.display import fonts
from appliance.display.fonts import Font

ELLIPSIS: Final = "…"
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
MAX_CHARACTERS: Final = 400
"""More never fit on the screen, and measuring them would be slow."""

_FIRST_FLAG_LETTER: Final = ord("\N{REGIONAL INDICATOR SYMBOL LETTER A}")
_SKIN_TONES: Final = "Sk"
_BLANK: Final = frozenset({"Cc", "Zs", "Zl", "Zp"})
_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Part of the spelling in Persian and in Indic scripts."""
_EMOJI_MARKS: Final = frozenset(
    {"\N{COMBINING ENCLOSING KEYCAP}", *map(chr, range(0xFE00, 0xFE10))}
)
"""The keycap and the variation selectors."""

_SPACELESS: Final = (
    range(0x0E00, 0x0F00),
    range(0x1000, 0x10A0),
    range(0x1780, 0x1800),
)
"""Thai and Lao, Burmese, Khmer; Chinese and Japanese are found by their width."""


def readable(text: str) -> str:
    """Return the text as one line of characters that a font has.

    Emoji become words, other characters their plain form or, failing that, a box.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text[:MAX_CHARACTERS].split())
    composed = unicodedata.normalize("NFC", text[:MAX_CHARACTERS])
    # The names of emoji are longer than they are.
    shown = "".join(_signs(composed))[:MAX_CHARACTERS]
    return " ".join(shown.split())


def is_right_to_left(text: str) -> bool:
    """Return whether the first letter is written from right to left.

    Source: Unicode Standard Annex 9, rules P2 and P3.
    """
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in {"L", "R", "AL"}:
            return direction != "L"
    return False


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text broken into lines of one font."""

    font: Font
    lines: tuple[str, ...]
    is_whole: bool = True
    is_right_to_left: bool = False


def cut(text: str, font: Font, width_px: int) -> str:
    """Return the text within the width, with an ellipsis if some is missing."""
    if font.width_px(text) <= width_px:
        return text
    room_px = width_px - font.width_px(ELLIPSIS)
    return _head(text, font, room_px).rstrip(" ") + ELLIPSIS


def fitted(
    text: str, font: Font, width_px: int, rows: int, indent: int = 0
) -> Paragraph:
    """Return the text in at most `rows` lines, with an ellipsis if some is missing.

    Lines after the first begin with `indent` spaces.
    """
    lines: list[str] = []
    rest, is_whole = " ".join(text.split()), True
    while rest and len(lines) < rows:
        line = " " * indent * bool(lines) + rest
        if len(lines) == rows - 1:
            shown, rest = cut(line, font, width_px), ""
            is_whole = shown == line
        else:
            shown, rest = _split(line, font, width_px)
        lines.append(shown)
    is_rtl = is_right_to_left(text)
    return Paragraph(font, tuple(lines), is_whole and not rest, is_rtl)


def fonts_for(text: str) -> tuple[Font, ...]:
    """Return the fonts that can show the text, the largest first."""
    large, small = fonts.text(), fonts.small()
    return (large, small) if small.can_show(text) else (large,)


def _head(line: str, font: Font, width_px: int) -> str:
    """Return the longest beginning within the width, at least one character."""
    head = ""
    for character in line:
        if head.strip() and font.width_px(head + character) > width_px:
            break
        head += character
    return head


def _split(text: str, font: Font, width_px: int) -> tuple[str, str]:
    """Return the first line, which ends at a space if it can, and the rest."""
    if font.width_px(text) <= width_px:
        return text, ""
    head = _head(text, font, width_px)
    rest = text[len(head) :]
    if rest.startswith(" "):
        return head, rest[1:]
    before, _, word = head.rpartition(" ")
    may_break = any(map(_is_spaceless, (head[-1], rest[0])))
    if before.strip() and word and not may_break:
        return before, word + rest
    return head.rstrip(" "), rest


def _is_spaceless(character: str) -> bool:
    """Return whether it belongs to a script that has no spaces between words."""
    is_wide = unicodedata.east_asian_width(character) in {"W", "F"}
    return is_wide or any(ord(character) in block for block in _SPACELESS)


def _signs(text: str) -> Iterator[str]:
    previous = ""
    for character in text:
        if character in _JOINERS:
            # Drop joiners between emoji; between letters they are part of the spelling.
            if previous and unicodedata.category(previous[-1])[0] in "LM":
                yield character
            continue
        sign = _sign(character)
        # A repeated emoji is shown once.
        if sign and sign == previous and len(sign) > 1:
            continue
        previous = sign or previous
        yield sign


def _sign(character: str) -> str:
    category = unicodedata.category(character)
    if category in _BLANK:
        return " "
    if category == "Cf" or character in _EMOJI_MARKS:
        return ""
    if fonts.text().has(character):
        return character
    if category == _SKIN_TONES:
        return ""
    plain = unicodedata.normalize("NFKC", character)
    if not fonts.text().can_show(plain):
        plain = _named(character, category)
    return plain or REPLACEMENT


def _named(character: str, category: str) -> str:
    """Return a symbol's name in brackets."""
    flag = ord(character) - _FIRST_FLAG_LETTER
    if flag in range(26):
        return chr(ord("A") + flag)
    name = unicodedata.name(character, "") if category == "So" else ""
    for noise in (" SIGN", " SYMBOL", " FACE"):
        name = name.removesuffix(noise)
    return f"[{name.lower()}]" if name else ""
