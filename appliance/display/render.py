"""Draws the box as a 1-bit picture, for the OLED and for the page alike."""

from functools import cache
from typing import assert_never

from appliance.core.view import View
from appliance.display.bitmap import Canvas, Picture, Size
from appliance.display.font import large, small
from appliance.display.layout import Line, Look, face
from appliance.display.text import cut

TALL_PX = 64
"""From this height on there is air between the lines."""
MARGIN_PX = 3
"""Free on the right, so that the picture may drift."""
GAP_PX = 2
BAR_TALL_PX = 17
BAR_FLAT_PX = 14
BAR_PADDING_PX = 4
CAPITAL_PX = 10
"""Height of the large font's capitals."""
CAPITAL_TOP_PX = 2
"""Air that the large font has above them."""
BASELINE_PX = 7
"""From the top of the small font's cell to where its letters stand."""
RULE_STEP_PX = 3
ASIDE_COLUMNS = 6
"""Fewer letters of a longer text say nothing."""

_DRIFT = ((0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (2, 1), (1, 1), (0, 1))
"""A loop as wide as the margins; our choice."""


def lines(view: View, size: Size) -> tuple[str, ...]:
    """Return what a screen of this size (px) says, in words, from the top."""
    return tuple(
        f"{line.text}  {line.aside}" if line.aside else line.text
        for line in face(view, *grid(size))
    )


def picture(view: View, size: Size, shift: Size = (0, 0)) -> Picture:
    """Return what a screen of this size (px) shows, moved by `shift` px.

    Source: our choice of layout. The bar is filled only while talking, because from
    across a room that is all one can tell.
    """
    canvas = Canvas(size)
    y = 0
    for line in face(view, *grid(size)):
        y = _draw(canvas, line, y)
    return canvas.picture(shift)


@cache
def grid(size: Size) -> Size:
    """Return how many small letters fit side by side, and how many small lines."""
    width, height = size
    spare_px = 3 * GAP_PX if height >= TALL_PX else 0
    columns = (width - MARGIN_PX) // small().width_px
    return columns, (height - spare_px) // small().height_px


def drift(step: int) -> Size:
    """Return the shift of this step, for a screen that has to live long (R4.5)."""
    return _DRIFT[step % len(_DRIFT)]


def _draw(canvas: Canvas, line: Line, y: int) -> int:
    """Draw the line and return where the next one begins."""
    is_tall = canvas.height >= TALL_PX
    match line.look:
        case Look.PLAIN:
            canvas.write(line.text, small(), 0, y)
            return y + small().height_px
        case Look.RULED:
            canvas.write(line.text, small(), 0, y)
            return _draw_rule(canvas, y + small().height_px)
        case Look.HEADING:
            canvas.write(line.text, small(), 0, y)
            right = canvas.width - MARGIN_PX
            _draw_aside(canvas, line.aside, right, y, room_px=right)
            return y + small().height_px + is_tall
        case Look.LARGE:
            canvas.write(line.text, large(), 0, y)
            return y + large().height_px
        case Look.FRAMED | Look.LIT:
            return _draw_bar(canvas, line, y)
        case _:
            assert_never(line.look)


def _draw_rule(canvas: Canvas, y: int) -> int:
    if canvas.height < TALL_PX:
        return y
    canvas.rule(y + 1, canvas.width - MARGIN_PX, RULE_STEP_PX)
    return y + 1 + GAP_PX


def _draw_bar(canvas: Canvas, line: Line, y: int) -> int:
    """Draw the large words: dark on a lit bar, or lit in a frame."""
    is_tall = canvas.height >= TALL_PX
    height = BAR_TALL_PX if is_tall else BAR_FLAT_PX
    width = canvas.width - MARGIN_PX
    top = y + (height - CAPITAL_PX) // 2
    text_px = large().width_px * len(line.text)
    left = (width - text_px) // 2 if is_tall else BAR_PADDING_PX
    canvas.write(line.text, large(), left, top - CAPITAL_TOP_PX)
    room_px = width - 2 * BAR_PADDING_PX - text_px
    base_y = top + CAPITAL_PX - BASELINE_PX
    _draw_aside(canvas, line.aside, width - BAR_PADDING_PX, base_y, room_px=room_px)
    _turn_rounded(canvas, y, width, height)
    if line.look is Look.FRAMED:
        canvas.turn(1, y + 1, width - 2, height - 2)
    return y + height + (GAP_PX if is_tall else 1)


def _draw_aside(canvas: Canvas, text: str, right: int, y: int, *, room_px: int) -> None:
    """Write small letters that end at `right`, unless only a stub would fit."""
    columns = room_px // small().width_px - 1
    if columns < min(len(text), ASIDE_COLUMNS):
        return
    shown = cut(text, columns)
    canvas.write(shown, small(), right - small().width_px * len(shown), y)


def _turn_rounded(canvas: Canvas, y: int, width: int, height: int) -> None:
    """Turn over a rectangle at the left edge, but for the px at its corners."""
    canvas.turn(1, y, width - 2, 1)
    canvas.turn(0, y + 1, width, height - 2)
    canvas.turn(1, y + height - 1, width - 2, 1)
