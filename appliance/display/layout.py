"""Layout of the screen: the lines of each screen page, from the top."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, assert_never

from appliance.core.chat import ChatLine, Delivery
from appliance.core.events import Participant, VoiceAgent
from appliance.core.state import ScreenPage
from appliance.core.view import ConnectionState, TalkState, View
from appliance.display import fonts
from appliance.display.fonts import Font
from appliance.display.text import Paragraph, cut, fitted, fonts_for, readable

Size = tuple[int, int]
"""Width and height in px."""
Chat = tuple[str, ...]
"""Lines of the chat with their senders, the newest last."""

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
SPEAKER: Final = "\N{SPEAKER}"
TAIL_CHARACTERS: Final = 60
"""End of a caption that is shown, the newest words: three lines of the small font."""
FLAT_CHARACTERS: Final = 16
"""The same on a flat screen, which has space for one line."""


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
        return replace(self, height_px=self.height_px - used_px)

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


def layout(view: View, size: Size) -> tuple[TextLine, ...]:
    """Return the lines for a screen of this size (px)."""
    chat = (*map(_said, view.chat), *_caption(view, is_flat=not is_tall(size)))
    match view.screen_page:
        case ScreenPage.TALK:
            return _talk_page(view, chat, size)
        case ScreenPage.CHAT if chat:
            return _chat_lines(chat, whole(size, is_dense=True))[0]
        case ScreenPage.CHAT:
            return (_heading("chat", whole(size)),)
        case ScreenPage.PAIRING:
            return _pairing_page(view, size)
        case ScreenPage.HEALTH:
            return _health_page(view, size)
        case _:
            assert_never(view.screen_page)


def _pairing_page(view: View, size: Size) -> tuple[TextLine, ...]:
    area = whole(size)
    top = _heading("pairing", area)
    if not readable(view.page_url):
        return (top, area.line("there is no page now", fonts.small()))
    title, small = fonts.title(), fonts.small()
    pin = TextLine(f"PIN {view.pin}", title, title.height_px)
    if not is_tall(size):
        return (pin, *area.below((pin,)).dense(view.page_url))
    hint = replace(area.line("Open this on a phone:", small), gap_px=2)
    url = area.below((top, hint, pin)).dense(view.page_url)
    return (top, hint, *url[:-1], replace(url[-1], gap_px=8), pin)


def _health_page(view: View, size: Size) -> tuple[TextLine, ...]:
    area = whole(size, is_dense=not is_tall(size))
    if view.faults:
        top = _heading(_fault_count(view), area)
        return (top, *_faults(view.faults, area.below((top,))))
    shown: tuple[TextLine, ...] = (_heading("health", area),)
    well = "all is well" if view.connection is ConnectionState.CONNECTED else ""
    rtt = "" if view.rtt_ms is None else f"server in {view.rtt_ms} ms"
    for text in filter(None, (well, view.banner, rtt, view.address)):
        shown += area.below(shown).dense(text)
    return shown


def _faults(faults: tuple[str, ...], area: Area) -> tuple[TextLine, ...]:
    """Return the faults, cut so that the beginning of each is shown."""
    small = fonts.small()
    share_px = max(area.height_px // len(faults), small.height_px)
    shown: tuple[TextLine, ...] = ()
    for fault in faults:
        height_px = min(share_px, area.below(shown).height_px)
        shown += replace(area, height_px=height_px).dense(fault)
    return shown


@dataclass(frozen=True, slots=True)
class _About:
    """Text under the bar: talkers, participants, or the cause of an outage."""

    text: str
    mark: str = ""
    is_important: bool = False
    """Shown in the large font even if the chat has to be small then."""
    rows: int = 1
    """Limit of lines beside chat."""


def _talk_page(view: View, chat: Chat, size: Size) -> tuple[TextLine, ...]:
    is_flat = not is_tall(size)
    is_connected = view.connection is ConnectionState.CONNECTED
    title = readable(view.banner if is_connected else view.name or view.address)
    is_dense = is_flat or fonts_for(title)[-1] != fonts.small()
    area = whole(size, is_dense=is_dense)
    top = () if is_flat else (_heading(title, area, _fault_count(view)),)
    about = _about(view)
    if is_flat and not about.text:
        # The bar may have left no space for the title.
        about = _About(title)
    state, look = _state(view)
    if is_flat and len(fonts_for(about.text)) == 1 and look is Look.FRAMED:
        # A large line and large chat leave no space for a bar.
        head = (_with_state(about, state, area),)
        return (*head, *_chat_lines(chat, area.below(head))[0])
    drawn = bar(state, look, area)
    if is_flat and is_connected:
        drawn = replace(drawn, aside=readable(view.banner))
    head = (*top, drawn)
    return (*head, *_body(chat, about, area.below(head)))


def _body(chat: Chat, about: _About, area: Area) -> tuple[TextLine, ...]:
    """Return the text under the bar, large if all of it and the chat fit, and the chat.

    A text that is not important is small, and left out if the newest line needs space.
    """
    choice = fonts_for(about.text)
    if chat and not about.is_important:
        choice = choice[-1:]
    width_px = area.width_px - _mark_px(about.mark)
    for font in choice:
        rows = min(about.rows if chat else 2, area.rows(font))
        paragraph = fitted(about.text, font, width_px, rows)
        lines = _marked(area.lines(paragraph), about.mark)
        top = _ruled(lines, area) if chat else lines
        below, is_newest_whole = _chat_lines(chat, area.below(top))
        if paragraph.is_whole and is_newest_whole:
            return (*top, *below)
    if chat and not about.is_important:
        return _chat_lines(chat, area)[0]
    return (*top, *below) if below else lines


def _with_state(about: _About, state: str, area: Area) -> TextLine:
    """Return the text as one large line, with the talk state in the small font."""
    small, indent_px = fonts.small(), _mark_px(about.mark)
    width_px = area.width_px - indent_px - small.width_px(state) - small.space_px
    (line,) = _marked(
        area.lines(fitted(about.text, fonts.text(), width_px, 1)), about.mark
    )
    return replace(line, aside=state)


def _state(view: View) -> tuple[str, Look]:
    """Return the text of the bar: the talk state, or why talking is impossible."""
    if view.connection is not ConnectionState.CONNECTED:
        return view.connection.upper(), Look.FRAMED
    match view.talk:
        case TalkState.TALKING | TalkState.WARNING if view.is_silent:
            return "NO SOUND", Look.FRAMED
        case TalkState.TALKING:
            return "TALKING", Look.LIT
        case TalkState.WARNING:
            return f"TALKING {view.talk_left_s or 0}", Look.LIT
        case TalkState.LOCKED | TalkState.MUTED:
            is_locked = view.talk is TalkState.LOCKED
            return "LET GO" if is_locked else "MUTED", Look.FRAMED
        case TalkState.UNAVAILABLE:
            reason = readable(view.talk_text).rpartition(": ")[2]
            return "LISTENS ONLY" if view.is_listener else reason.upper(), Look.FRAMED
        case _:
            assert_never(view.talk)


def _about(view: View) -> _About:
    if view.connection is not ConnectionState.CONNECTED:
        return _About(_cause(view), is_important=True, rows=2)
    if view.talk is TalkState.LOCKED or view.is_muted_by_room:
        return _About(readable(view.talk_text), is_important=True, rows=2)
    has_all = view.has_speaker or view.is_announcer
    warning = "" if has_all else "no speaker! "
    if view.talkers:
        text = warning + readable(", ".join(view.talkers))
        return _About(text, SPEAKER, is_important=True)
    names = readable(", ".join(_person(x, view.agent) for x in view.people))
    text = f"{len(view.people)} here: {names}" if names else ""
    if not names and view.talk is not TalkState.UNAVAILABLE:
        text = "nobody else here"
    return _About(warning + text, is_important=not has_all)


def _cause(view: View) -> str:
    """Return the banner without the state, which the bar already shows."""
    # The bracket has another room's cause.
    status, bracket, other = readable(view.banner).partition(" (")
    state, _, cause = status.partition(": ")
    detail = cause or status.removeprefix(view.connection.value).lstrip(" ,")
    if detail == state and detail in view.connection.value:
        detail = ""
    # "in 12 s" as "in 12s": the space before the unit does not fit.
    if detail.endswith(" s"):
        detail = detail.removesuffix(" s") + "s"
    return f"{detail}{bracket}{other}".lstrip()


def _person(person: Participant, agent: VoiceAgent | None) -> str:
    if agent is None or agent.id != person.id:
        return person.name
    return f"{person.name} is {agent.state}"


def _caption(view: View, *, is_flat: bool) -> Chat:
    """Return the newest words that are being spoken, from the beginning of a word."""
    growing = [caption for caption in view.captions if not caption.is_final]
    if not growing:
        return ()
    newest = growing[-1]
    end = newest.text[-(FLAT_CHARACTERS if is_flat else TAIL_CHARACTERS) :]
    if end != newest.text:
        end = f"…{end.partition(' ')[2] or end}"
    return (f"{'me' if newest.is_own else newest.talker}: {end}",)


def _said(line: ChatLine) -> str:
    """Return a chat line with its sender or, for our own, its delivery state."""
    if not line.is_own:
        return f"{line.sender_name}: {line.text}"
    states = {Delivery.QUEUED: " (waiting)", Delivery.FAILED: " (failed)"}
    return f"me{states.get(line.state, '')}: {line.text}"


def whole(size: Size, *, is_dense: bool = False) -> Area:
    """Return the space of an empty screen."""
    width_px, height_px = size
    right_px, down_px = SHIFT_PX
    free_px = down_px if is_tall(size) else 0
    return Area(width_px - right_px, height_px - free_px, is_dense)


def is_tall(size: Size) -> bool:
    """Return whether the screen has space for a heading."""
    return size[1] >= TALL_PX


def _heading(text: str, area: Area, aside: str = "") -> TextLine:
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


def _fault_count(view: View) -> str:
    count = len(view.faults)
    return {0: "", 1: "1 fault"}.get(count, f"{count} faults")


def _mark_px(mark: str) -> int:
    return fonts.small().width_px(mark) + 2 * GAP_PX if mark else 0


def _marked(lines: tuple[TextLine, ...], mark: str) -> tuple[TextLine, ...]:
    """Return the lines indented, the first with the mark."""
    return tuple(
        replace(line, mark=mark if line is lines[0] else "", indent_px=_mark_px(mark))
        for line in lines
    )


def _ruled(lines: tuple[TextLine, ...], area: Area) -> tuple[TextLine, ...]:
    """Return the lines with a rule below the last, if there is space for it."""
    if not lines or area.is_dense:
        return lines
    return (*lines[:-1], replace(lines[-1], look=Look.RULED, gap_px=RULE_PX))


def _chat_lines(chat: Chat, area: Area) -> tuple[tuple[TextLine, ...], bool]:
    """Return the newest lines that fit, and whether the newest is shown in full."""
    shown: tuple[TextLine, ...] = ()
    is_whole = may_be_large = True
    for message in reversed(chat):
        left = area.below(shown)
        paragraph = left.fitted(readable(message), may_be_large=may_be_large)
        if not shown:
            is_whole = paragraph.is_whole
            # Older lines are not larger than the newest.
            may_be_large = paragraph.font == fonts.text()
        if not paragraph.lines:
            break
        shown = (*left.lines(paragraph), *shown)
    return shown, is_whole
