"""Convert X.Org's misc-fixed fonts into the BDF files of `appliance/display/fonts`.

    apt-get download xfonts-base && dpkg -x xfonts-base*.deb x
    python tests/pictures/convert_font.py x/usr/share/fonts/X11/misc \\
        appliance/display/fonts

The third font there, `unifont.otf`, is copied unchanged from Debian's package
fonts-unifont 1:15.0.01-2 (usr/share/fonts/opentype/unifont/unifont.otf).

Source: the PCF format as the font2/bitmap sources of X.Org's libXfont describe it:
a table of contents, then metrics, bitmaps and encodings, each with its byte order.
"""

import gzip
import struct
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

METRICS, BITMAPS, ENCODINGS = 4, 8, 32
COMPRESSED_METRICS = 0x100
NO_GLYPH = 0xFFFF

SMALL_RANGES = (
    (0x20, 0x7E),
    (0xA1, 0x24F),
    (0x386, 0x3CE),
    (0x401, 0x4FF),
    (0x1E00, 0x1EFF),
    (0x2010, 0x203A),
    (0x2070, 0x20AF),
    (0x2190, 0x21D5),
    (0x2212, 0x2265),
    (0x2500, 0x257F),
    (0x2580, 0x25E6),
    (0x2639, 0x266F),
)
LARGE_RANGES = ((0x20, 0x7E),)

OWN = {
    "\N{CHECK MARK}": "..... ....# ....# ...#. #..#. .##.. .##.. .....",
    "\N{BALLOT X}": "..... #...# .#.#. ..#.. .#.#. #...# ..... .....",
    "\N{REPLACEMENT CHARACTER}": "####. #..#. #..#. #..#. #..#. #..#. ####. .....",
    "\N{SPEAKER}": "..... ..#.. .##.# ###.# ###.# .##.# ..#.. .....",
}
"""Glyphs that the font lacks, drawn for this project."""

HEADER = """STARTFONT 2.1
COMMENT Made by tests/pictures/convert_font.py from {name} of X.Org's font-misc-misc
COMMENT (Debian: xfonts-base). Licence: LICENSE-{name}.txt
FONT -misc-fixed-{weight}-r-normal--{height}-{tenths}-75-75-c-{width}0-iso10646-1
SIZE {height} 75 75
FONTBOUNDINGBOX {width} {height} 0 -{descent}
STARTPROPERTIES 5
PIXEL_SIZE {height}
FONT_ASCENT {ascent}
FONT_DESCENT {descent}
CHARSET_REGISTRY "ISO10646"
CHARSET_ENCODING "1"
ENDPROPERTIES
CHARS {count}
"""
GLYPH = """STARTCHAR U+{code:04X}
ENCODING {code}
SWIDTH {swidth} 0
DWIDTH {width} 0
BBX {width} {height} 0 -{descent}
BITMAP
{rows}
ENDCHAR
"""


@dataclass(frozen=True)
class Bitmap:
    """Glyph as stored in the file."""

    left: int
    ascent: int
    rows: tuple[str, ...]


class Pcf:
    """Reader of a compiled X11 font (PCF)."""

    def __init__(self, path: Path) -> None:
        self._bytes = gzip.decompress(path.read_bytes())
        count = struct.unpack_from("<I", self._bytes, 4)[0]
        entries = struct.iter_unpack("<4I", self._bytes[8 : 8 + 16 * count])
        self._tables = {kind: offset for kind, _, _, offset in entries}

    def glyphs(self) -> dict[int, Bitmap]:
        metrics = list(self._metrics())
        rows = list(self._bitmaps(metrics))
        return {
            code: Bitmap(metrics[i][0], metrics[i][3], rows[i])
            for code, i in self._encoding()
        }

    def _table(self, kind: int) -> tuple[int, int, str]:
        """Return the offset of the table's data, its format and its byte order."""
        offset = self._tables[kind]
        form = struct.unpack_from("<I", self._bytes, offset)[0]
        return offset + 4, form, ">" if form & 4 else "<"

    def _numbers(self, layout: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(layout, self._bytes, at)

    def _metrics(self) -> Iterator[tuple[int, ...]]:
        """Left, right, width, ascent and descent of each glyph."""
        at, form, order = self._table(METRICS)
        assert form & COMPRESSED_METRICS, "only small fonts are expected"
        (count,) = self._numbers(order + "H", at)
        for start in range(at + 2, at + 2 + 5 * count, 5):
            yield tuple(value - 0x80 for value in self._bytes[start : start + 5])

    def _bitmaps(self, metrics: list[tuple[int, ...]]) -> Iterator[tuple[str, ...]]:
        """Rows of each glyph, as noughts and ones."""
        at, form, order = self._table(BITMAPS)
        (count,) = self._numbers(order + "I", at)
        data = at + 4 + 4 * count + 16
        pad = 8 << (form & 3)
        step = 1 if form & 8 else -1
        for offset, metric in zip(
            self._numbers(f"{order}{count}I", at + 4), metrics, strict=True
        ):
            width, height = metric[1] - metric[0], metric[3] + metric[4]
            stride = -(-width // pad) * pad // 8
            starts = (data + offset + stride * y for y in range(height))
            yield tuple(self._row(n, stride, step)[:width] for n in starts)

    def _row(self, start: int, stride: int, step: int) -> str:
        row = self._bytes[start : start + stride]
        return "".join(f"{byte:08b}"[::step] for byte in row)

    def _encoding(self) -> Iterator[tuple[int, int]]:
        at, _, order = self._table(ENCODINGS)
        low, high, first, last, _ = self._numbers(order + "5H", at)
        cells = range(low, high + 1)
        codes = [row * 256 + c for row in range(first, last + 1) for c in cells]
        indices = self._numbers(f"{order}{len(codes)}H", at + 10)
        pairs = zip(codes, indices, strict=True)
        return ((code, i) for code, i in pairs if i != NO_GLYPH)


def cell(glyph: Bitmap, width: int, height: int, ascent: int) -> int:
    """Return the glyph in its cell, as one number, row by row from the top."""
    rows = ["0" * width] * (ascent - glyph.ascent)
    rows += [("0" * glyph.left + row).ljust(width, "0")[:width] for row in glyph.rows]
    rows += ["0" * width] * (height - len(rows))
    return int("".join(rows[:height]), 2)


def bdf(name: str, cells: dict[int, int], size: tuple[int, int], ascent: int) -> str:
    """Return the font in the Glyph Bitmap Distribution Format 2.1 of Adobe."""
    width, height = size
    common = {"width": width, "height": height, "descent": height - ascent}
    header = HEADER.format(
        name=name,
        weight="bold" if name.endswith("B") else "medium",
        tenths=height * 10,
        ascent=ascent,
        count=len(cells),
        **common,
    )
    glyphs = (
        GLYPH.format(
            code=code,
            swidth=1000 * width // height,
            rows=hex_rows(bits, width, height),
            **common,
        )
        for code, bits in sorted(cells.items())
    )
    return header + "".join(glyphs) + "ENDFONT\n"


def hex_rows(bits: int, width: int, height: int) -> str:
    """Return each row in hexadecimal digits, padded on the right to whole bytes."""
    octets = -(-width // 8)
    mask = (1 << width) - 1
    rows = [bits >> width * y & mask for y in reversed(range(height))]
    return "\n".join(f"{row << 8 * octets - width:0{2 * octets}X}" for row in rows)


def convert(
    path: Path, size: tuple[int, int], ascent: int, ranges: tuple[tuple[int, int], ...]
) -> dict[int, int]:
    """Return the glyphs of these ranges that the font has and that are not blank."""
    cells = {
        code: cell(glyph, *size, ascent)
        for code, glyph in Pcf(path).glyphs().items()
        if any(first <= code <= last for first, last in ranges)
        and unicodedata.category(chr(code)) not in {"Cf", "Cc", "Cn"}
    }
    return {code: bits for code, bits in cells.items() if bits or chr(code).isspace()}


def main() -> None:
    fonts, target = Path(sys.argv[1]), Path(sys.argv[2])
    small = convert(fonts / "5x8.pcf.gz", (5, 8), 7, SMALL_RANGES)
    for sign, art in OWN.items():
        bits = art.replace(" ", "").replace("#", "1").replace(".", "0")
        small[ord(sign)] = int(bits, 2)
    large = convert(fonts / "9x15B.pcf.gz", (9, 15), 12, LARGE_RANGES)
    (target / "5x8.bdf").write_text(bdf("5x8", small, (5, 8), 7))
    (target / "9x15B.bdf").write_text(bdf("9x15B", large, (9, 15), 12))


if __name__ == "__main__":
    main()
