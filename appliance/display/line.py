"""Lines of the screen, free space and chat: the building blocks of all screen pages."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from appliance.core.chat import ChatLine, Delivery
from appliance.core.view import View
from appliance.display import fonts
from appliance.display.fonts import Font
from appliance.display.text import Paragraph, cut, fitted, fonts_for, readable

Size = tuple[int, int]
"""Width and height in px."""

TALL_PX: Final = 64
"""Height from which a screen has space for a heading and for gaps."""
SHIFT_PX: Final = (3, 1)
"""Margin on the right and, on a tall screen, at the bottom, for the pixel shift; on a
flat one the lowest row, which only descenders reach, may be shifted out."""
GAP_PX: Final = 2
BAR_TALL_PX: Final = 17
BAR_FLAT_PX: Final = 14
RULE_PX: Final = 3
LARGE_ROWS: Final = 2
"""Limit of lines in the large font for a text that the small font can show too."""


class Look(Enum):
    """Style of a line."""

    PLAIN = auto()
    RULED = auto()
    """Plain, with a dotted rule below."""
    FRAMED = auto()
    LIT = auto()
    """Dark on a lit bar, while talking."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of the screen."""

    text: str
    font: Font
    height_px: int
    gap_px: int = 0
    """Gap below the line."""
    look: Look = Look.PLAIN
    aside: str = ""
    """Small text at the right end, if it fits."""
    mark: str = ""
    """Small sign at the left end."""
    indent_px: int = 0
    """Space at the left end for the mark."""
    is_right_to_left: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """Free space, in px."""

    width_px: int
    height_px: int
    is_dense: bool = False
    """Without gaps; the top row of the large font overlaps the line above."""

    def pitch_px(self, font: Font) -> int:
        """Return the distance between two lines of this font."""
        return font.height_px - (self.is_dense and font == fonts.text())

    def rows(self, font: Font) -> int:
        """Return how many lines of this font fit."""
        return self.height_px // self.pitch_px(font)

    def below(self, lines: tuple[TextLine, ...]) -> "Area":
        """Return the space that the lines leave free."""
        used_px = sum(line.height_px + line.gap_px for line in lines)
        return Area(self.width_px, self.height_px - used_px, self.is_dense)

    def line(self, text: str, font: Font) -> TextLine:
        """Return one line, cut to the width."""
        return TextLine(cut(text, font, self.width_px), font, self.pitch_px(font))

    def lines(self, paragraph: Paragraph) -> tuple[TextLine, ...]:
        """Return the lines of the paragraph."""
        font, is_rtl = paragraph.font, paragraph.is_right_to_left
        return tuple(
            TextLine(text, font, self.pitch_px(font), is_right_to_left=is_rtl)
            for text in paragraph.lines
        )

    def fitted(self, text: str, *, may_be_large: bool = True) -> Paragraph:
        """Return the text in the largest font in which all of it fits.

        If it may not be large, the large font is used only if no other can show it.
        """
        options = fonts_for(text) if may_be_large else fonts_for(text)[-1:]
        for font in options:
            rows = self.rows(font)
            if font == fonts.text() and len(options) > 1:
                rows = min(rows, LARGE_ROWS)
            paragraph = fitted(text, font, self.width_px, rows, indent=1)
            if paragraph.is_whole:
                break
        return paragraph

    def dense(self, text: str) -> tuple[TextLine, ...]:
        """Return the text in the smallest font that has its characters."""
        return self.lines(self.fitted(readable(text), may_be_large=False))


def whole(size: Size, *, is_dense: bool = False) -> Area:
    """Return the space of an empty screen."""
    width_px, height_px = size
    right_px, down_px = SHIFT_PX
    free_px = down_px if is_tall(size) else 0
    return Area(width_px - right_px, height_px - free_px, is_dense)


def is_tall(size: Size) -> bool:
    """Return whether the screen has space for a heading."""
    return size[1] >= TALL_PX


def heading(text: str, area: Area, aside: str = "") -> TextLine:
    """Return the heading, in the large font only if no other has its characters."""
    font = fonts_for(text)[-1]
    small = fonts.small()
    taken_px = small.width_px(aside) + small.space_px if aside else 0
    shown = cut(text, font, area.width_px - taken_px)
    gap_px = 0 if area.is_dense else 1
    return TextLine(shown, font, font.height_px, gap_px, aside=aside)


def bar(text: str, look: Look, area: Area) -> TextLine:
    """Return the bar in the boldest font in which its text fits."""
    title = fonts.title()
    width_px = area.width_px - 2 * GAP_PX
    is_title = title.width_px(text) <= width_px and title.can_show(text)
    font = title if is_title else fonts_for(text)[-1]
    text = cut(text, font, width_px)
    if area.is_dense:
        return TextLine(text, font, BAR_FLAT_PX, 1, look)
    return TextLine(text, font, BAR_TALL_PX, GAP_PX, look)


def fault_count(view: View) -> str:
    """Return the number of faults in words; empty: none."""
    count = len(view.faults)
    return {0: "", 1: "1 fault"}.get(count, f"{count} faults")


def mark_px(mark: str) -> int:
    """Return the indent of a line with this mark."""
    return fonts.small().width_px(mark) + 2 * GAP_PX if mark else 0


def marked(lines: tuple[TextLine, ...], mark: str) -> tuple[TextLine, ...]:
    """Return the lines indented, the first with the mark."""
    return tuple(
        replace(line, mark=mark if line is lines[0] else "", indent_px=mark_px(mark))
        for line in lines
    )


def ruled(lines: tuple[TextLine, ...], area: Area) -> tuple[TextLine, ...]:
    """Return the lines with a rule below the last, if there is space for it."""
    if not lines or area.is_dense:
        return lines
    return (*lines[:-1], replace(lines[-1], look=Look.RULED, gap_px=RULE_PX))


def chat_lines(
    chat: tuple[ChatLine, ...], area: Area
) -> tuple[tuple[TextLine, ...], bool]:
    """Return the newest lines that fit, and whether the newest is shown in full."""
    shown: tuple[TextLine, ...] = ()
    is_whole = may_be_large = True
    for message in reversed(chat):
        left = area.below(shown)
        paragraph = left.fitted(readable(said(message)), may_be_large=may_be_large)
        if not shown:
            is_whole = paragraph.is_whole
            # Older lines are not larger than the newest.
            may_be_large = paragraph.font == fonts.text()
        if not paragraph.lines:
            break
        shown = (*left.lines(paragraph), *shown)
    return shown, is_whole


def said(line: ChatLine) -> str:
    """Return a chat line with its sender or, for our own, its delivery state."""
    if not line.is_own:
        return f"{line.sender_name}: {line.text}"
    states = {Delivery.QUEUED: " (waiting)", Delivery.FAILED: " (failed)"}
    return f"me{states.get(line.state, '')}: {line.text}"
