"""Makes text fit for a small screen of fixed-width letters.

Everything is in reading order. Scripts that run from right to left are put in the order
of the screen between wrapping and drawing, line by line.
"""

import unicodedata
from collections.abc import Container, Iterator

from appliance.display.font import REPLACEMENT

ELLIPSIS = "…"

SMILEYS = {
    "😀": ":D", "😃": ":D", "😄": ":D", "😁": ":D", "😆": "XD", "😂": "[haha]",
    "🤣": "[haha]", "😊": ":)", "🙂": ":)", "☺": ":)", "😉": ";)", "😍": "[love]",
    "🥰": "[love]", "😘": ":*", "😎": "B)", "😐": ":|", "😕": ":/", "🙁": ":(",
    "☹": ":(", "😢": ":'(", "😭": ":'(", "😛": ":P", "😜": ";P", "😮": ":O",
    "❤": "<3", "💔": "</3", "👍": "[ok]", "👎": "[no]", "👌": "[ok]", "🎉": "[hooray]",
    "🙏": "[please]", "👋": "[wave]", "✅": "✓", "❌": "✗", "❗": "!", "❓": "?",
}  # fmt: skip
"""What people meant by it, in less room than its name."""

_FIRST_FLAG_LETTER = ord("\N{REGIONAL INDICATOR SYMBOL LETTER A}")
_UNSEEN = frozenset({"Cf", "Mn", "Me", "Sk"})
"""Joiners, direction marks, accents without their letter, skin tones."""
_BLANK = frozenset({"Cc", "Zs", "Zl", "Zp"})


def readable(text: str, glyphs: Container[str]) -> str:
    """Return the text as one line of letters that the font has.

    Control characters and line breaks become blanks, runs of blanks one blank; emoji
    become words; a letter that the font lacks becomes its plain form (ﬁ → fi, ệ → e)
    or, failing that, a box.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(_signs(composed, glyphs)).split())


def wrapped(text: str, columns: int, indent: int = 0) -> tuple[str, ...]:
    """Return the text in lines of at most `columns`, broken at blanks where possible.

    Lines after the first begin with `indent` blanks. Nothing but blanks is lost.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) <= columns:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        line = " " * indent * bool(lines) + word
        while len(line) > columns:
            lines.append(line[:columns])
            line = " " * indent + line[columns:]
    return (*lines, line) if line else ()


def cut(text: str, columns: int) -> str:
    """Return the text in at most `columns`, with an ellipsis if some is missing."""
    if len(text) <= columns:
        return text
    return text[: columns - 1].rstrip(" ") + ELLIPSIS


def fitted(text: str, columns: int, rows: int, indent: int = 0) -> tuple[str, ...]:
    """Return the text in at most `rows` lines, with an ellipsis if some are missing."""
    lines = wrapped(text, columns, indent)
    if len(lines) <= rows:
        return lines
    last = cut(lines[rows - 1] + " " * columns, columns)
    return (*lines[: rows - 1], last)


def _signs(text: str, glyphs: Container[str]) -> Iterator[str]:
    previous = ""
    for letter in text:
        sign = _sign(letter, glyphs)
        # The same emoji five times says no more than once.
        if sign and sign == previous and len(sign) > 1:
            continue
        previous = sign or previous
        yield sign


def _sign(letter: str, glyphs: Container[str]) -> str:
    if letter in SMILEYS:
        return SMILEYS[letter]
    category = unicodedata.category(letter)
    if category in _BLANK:
        return " "
    if category == "Cf":
        return ""
    if letter in glyphs:
        return letter
    if category in _UNSEEN:
        return ""
    return _plain(letter, glyphs) or _named(letter, category) or REPLACEMENT


def _plain(letter: str, glyphs: Container[str]) -> str:
    """Return the letter without accents or decoration, if the font has that."""
    parts = unicodedata.normalize("NFKD", letter)
    bare = "".join(part for part in parts if unicodedata.category(part) != "Mn")
    return bare if bare and all(part in glyphs for part in bare) else ""


def _named(letter: str, category: str) -> str:
    """Return a symbol's name in brackets."""
    flag = ord(letter) - _FIRST_FLAG_LETTER
    if flag in range(26):
        return chr(ord("A") + flag)
    name = unicodedata.name(letter, "") if category == "So" else ""
    for noise in (" SIGN", " SYMBOL", " FACE"):
        name = name.removesuffix(noise)
    return f"[{name.lower()}]" if name else ""
