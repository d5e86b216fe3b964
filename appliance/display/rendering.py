"""Rendering of a view as a 1-bit picture, for the OLED and the page."""

from io import BytesIO
from typing import TYPE_CHECKING, Final

from appliance.core.view import View
from appliance.display import fonts
from appliance.display.fonts import Font
from appliance.display.layout import SHIFT_PX, Look, Size, TextLine, is_tall, layout
from appliance.display.text import cut

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

BAR_PADDING_PX: Final = 4
RULE_STEP_PX: Final = 3
LEAST_ASIDE: Final = 6
"""Least number of characters to show of a longer text; fewer are useless."""
_DARK: Final = 0
_LIT: Final = 1
_CAPITALS: Final = {8: (1, 6), 15: (2, 10), 16: (3, 10)}
"""Pixels above the capitals of a font and their height, by font height."""
_SHIFTS: Final = ((0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (2, 1), (1, 1), (0, 1))
"""Pixel shifts, a loop within the margins."""


def lines(view: View, size: Size) -> tuple[str, ...]:
    """Return the text of a screen of this size (px), line by line."""
    return tuple(
        " ".join(filter(None, (line.mark, line.text, line.aside)))
        for line in layout(view, size)
    )


def picture(view: View, size: Size, shift: Size = (0, 0)) -> "Image":
    """Return the picture for a screen of this size (px), moved by `shift` px.

    The bar is filled only while talking, so that this can be seen from a distance.
    """
    from PIL import Image, ImageDraw

    image = Image.new("1", size)
    pen = _Pen(ImageDraw.Draw(image), size)
    y = 0
    for line in layout(view, size):
        pen.draw(line, y)
        y += line.height_px + line.gap_px
    moved = Image.new("1", size)
    moved.paste(image, shift)
    return moved


def png(image: "Image") -> bytes:
    """Return the picture as a PNG file."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pixel_shift(step: int) -> Size:
    """Return the pixel shift of this step, which spreads the wear of the OLED."""
    return _SHIFTS[step % len(_SHIFTS)]


class _Pen:
    """Pen that draws the lines of a layout on one picture."""

    def __init__(self, draw: "ImageDraw", size: Size) -> None:
        from PIL.ImageFont import Layout

        self._canvas = draw
        # Pillow has no Raqm, which orders right-to-left text, without libfribidi.
        self._has_raqm = fonts.text().pillow.layout_engine == Layout.RAQM
        # No anti-aliasing: a pixel is lit or dark.
        self._canvas.fontmode = "1"
        self._right = size[0] - SHIFT_PX[0]
        self._is_tall = is_tall(size)

    def draw(self, line: TextLine, y: int) -> None:
        """Draw the line with its top at `y`."""
        if line.look in {Look.FRAMED, Look.LIT}:
            self._draw_bar(line, y)
            return
        small = fonts.small()
        # Center small text on the capitals of the large font.
        small_y = y + 5 if line.font == fonts.text() else y
        x, mark_x = line.indent_px, 0
        if line.is_right_to_left:
            aside_px = small.width_px(line.aside) + small.space_px
            end = self._right - (aside_px if line.aside else 0)
            x = end - line.indent_px - line.font.width_px(line.text)
            mark_x = end - small.width_px(line.mark)
        self._write(line.mark, small, (mark_x, small_y))
        self._write(line.text, line.font, (x, y), is_rtl=line.is_right_to_left)
        self._write_aside(line.aside, (self._right, small_y), self._right)
        if line.look is Look.RULED:
            at = y + line.height_px + 1
            dots = [(x, at) for x in range(0, self._right, RULE_STEP_PX)]
            self._canvas.point(dots, _LIT)

    def _draw_bar(self, line: TextLine, y: int) -> None:
        """Draw dark text on a lit bar, or lit text in a frame."""
        small = fonts.small()
        fill, ink = (_LIT, _DARK) if line.look is Look.LIT else (_DARK, _LIT)
        bottom, right = y + line.height_px - 1, self._right - 1
        self._canvas.rectangle((0, y, right, bottom), fill=fill, outline=_LIT)
        # Round its corners.
        corners = [(0, y), (right, y), (0, bottom), (right, bottom)]
        self._canvas.point(corners, _DARK)
        above, capital_px = _CAPITALS[line.font.height_px]
        top = y + (line.height_px - capital_px) // 2
        text_px = line.font.width_px(line.text)
        left = max(0, (self._right - text_px) // 2) if self._is_tall else BAR_PADDING_PX
        self._write(line.text, line.font, (left, top - above), ink)
        small_above, small_px = _CAPITALS[small.height_px]
        x, small_y = self._right - BAR_PADDING_PX, top + capital_px - small_px
        room_px = x - BAR_PADDING_PX - text_px
        self._write_aside(line.aside, (x, small_y - small_above), room_px, ink)

    def _write_aside(self, text: str, end: Size, room_px: int, ink: int = _LIT) -> None:
        """Write small text that ends here, unless too little of it would fit."""
        small = fonts.small()
        most_px = room_px - small.space_px
        least_px = min(len(text), LEAST_ASIDE) * small.space_px
        if most_px < least_px or not small.can_show(text):
            return
        shown = cut(text, small, most_px)
        x, y = end
        self._write(shown, small, (x - small.width_px(shown), y), ink)

    def _write(
        self, text: str, font: Font, at: Size, ink: int = _LIT, *, is_rtl: bool = False
    ) -> None:
        """Write the text with the top left corner of its cells here."""
        if text:
            direction = ("rtl" if is_rtl else "ltr") if self._has_raqm else None
            self._canvas.text(at, text, fill=ink, font=font.pillow, direction=direction)
