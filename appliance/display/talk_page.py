"""The page that is shown most: room, talk state, who speaks, the newest chat lines."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, assert_never

from appliance.core.view import ConnectionState, TalkState, View
from appliance.display import fonts
from appliance.display.chat_lines import chat_lines, said
from appliance.display.line import (
    GAP_PX,
    Line,
    Look,
    Room,
    Size,
    fault_count,
    heading,
    is_tall,
    whole,
)
from appliance.display.text import (
    Paragraph,
    fitted,
    fonts_for,
    is_right_to_left,
    readable,
)

SPEAKER: Final = "\N{SPEAKER}"
BAR_TALL_PX: Final = 17
BAR_FLAT_PX: Final = 14
RULE_PX: Final = 3


@dataclass(frozen=True, slots=True)
class _About:
    """The text under the bar: who speaks, who is there, or why there is no room."""

    text: str
    mark: str = ""
    is_important: bool = False
    """Large even where chat has to be small for it."""
    rows: int = 1
    """Most lines where it has to be cut."""


def talk_page(view: View, size: Size) -> tuple[Line, ...]:
    """Return the lines of the page."""
    is_flat = not is_tall(size)
    title = _title(view)
    is_dense = is_flat or fonts_for(title)[-1] != fonts.small()
    room = whole(size, is_dense=is_dense)
    top = () if is_flat else (heading(title, room, fault_count(view)),)
    about = _about(view)
    if is_flat and not about.text:
        # The bar's words may have left no room for it.
        about = _About(title)
    bar = _bar(view, aside=readable(view.banner) if is_flat else "")
    needs = _needs_large(view, about) if is_flat else (False, False)
    if all(needs) and about.is_important and bar.look is Look.FRAMED:
        # Two large lines leave no room for a bar.
        head = (_with_state(about, bar.text, room),)
        return (*head, *chat_lines(view.chat, room.below(head))[0])
    is_small = any(needs) and (about.is_important or not needs[0])
    head = (*top, _drawn(bar, room, is_small=is_small))
    return (*head, *_body(view, about, room.below(head)))


def _body(view: View, about: _About, room: Room) -> tuple[Line, ...]:
    """Return the text under the bar and the chat, so that the newest line is whole."""
    for paragraph in _options(about, room, has_chat=bool(view.chat)):
        lines = _marked(room.lines(paragraph), about.mark)
        ruled = _ruled(lines, room) if view.chat else lines
        chat, is_whole = chat_lines(view.chat, room.below(ruled))
        if is_whole:
            return (*ruled, *chat)
    is_large = bool(lines) and lines[0].font == fonts.text()
    if not about.is_important and (is_large or not chat):
        return chat_lines(view.chat, room)[0]
    return (*ruled, *chat) if chat else lines


def _options(about: _About, room: Room, *, has_chat: bool) -> Iterator[Paragraph]:
    """Yield the ways to show the text, the best first; at least one."""
    choice = fonts_for(about.text)
    if has_chat and not about.is_important:
        choice = choice[-1:]
    mark_px = _mark_px(about.mark)
    for font in choice:
        rows = min(2, room.rows(font))
        paragraph = fitted(about.text, font, room.width_px - mark_px, rows)
        if paragraph.is_whole:
            yield paragraph
    font = choice[-1]
    rows = min(about.rows, room.rows(font))
    yield fitted(about.text, font, room.width_px - mark_px, rows)


def _mark_px(mark: str) -> int:
    return fonts.small().width_px(mark) + 2 * GAP_PX if mark else 0


def _marked(lines: tuple[Line, ...], mark: str) -> tuple[Line, ...]:
    return tuple(
        replace(line, mark=mark if line is lines[0] else "", indent_px=_mark_px(mark))
        for line in lines
    )


def _ruled(lines: tuple[Line, ...], room: Room) -> tuple[Line, ...]:
    if not lines or room.is_dense:
        return lines
    return (*lines[:-1], replace(lines[-1], look=Look.RULED, gap_px=RULE_PX))


def _needs_large(view: View, about: _About) -> tuple[bool, bool]:
    """Return whether the text and the newest chat line can only be shown large."""
    newest = readable(said(view.chat[-1])) if view.chat else ""
    return len(fonts_for(about.text)) == 1, len(fonts_for(newest)) == 1


def _with_state(about: _About, state: str, room: Room) -> Line:
    """Return the text as one large line, with the talk state in small letters."""
    small, indent_px = fonts.small(), _mark_px(about.mark)
    width_px = room.width_px - indent_px - small.width_px(state) - small.space_px
    (text,) = fitted(about.text, fonts.text(), width_px, 1).lines
    (line,) = _marked((room.line(text, fonts.text()),), about.mark)
    is_rtl = is_right_to_left(text)
    return replace(line, aside=state, is_right_to_left=is_rtl)


def _title(view: View) -> str:
    if view.connection is ConnectionState.CONNECTED:
        return readable(view.banner)
    return readable(view.name or view.address)


@dataclass(frozen=True, slots=True)
class _Bar:
    text: str
    look: Look
    aside: str = ""


def _bar(view: View, aside: str) -> _Bar:
    """Return the talk state, or why there can be none."""
    if view.connection is not ConnectionState.CONNECTED:
        return _Bar(view.connection.upper(), Look.FRAMED)
    match view.talk:
        case TalkState.TALKING:
            return _Bar("TALKING", Look.LIT, aside)
        case TalkState.WARNING:
            return _Bar(f"TALKING {view.talk_left_s or 0}", Look.LIT, aside)
        case TalkState.LOCKED:
            return _Bar("LET GO", Look.FRAMED, aside)
        case TalkState.MUTED:
            return _Bar("MUTED", Look.FRAMED, aside)
        case TalkState.UNAVAILABLE:
            reason = readable(view.talk_text).rpartition(": ")[2]
            return _Bar(reason.upper(), Look.FRAMED, aside)
        case _:
            assert_never(view.talk)


def _drawn(bar: _Bar, room: Room, *, is_small: bool) -> Line:
    """Return the bar in the boldest font that has room for its words."""
    small, title = fonts.small(), fonts.title()
    frame_px = 2 * GAP_PX
    is_wide = title.width_px(bar.text) > room.width_px - frame_px
    if is_small or is_wide or not title.can_show(bar.text):
        font = fonts_for(bar.text)[-1]
    else:
        font = title
    if is_small:
        return Line(bar.text, font, small.height_px, 0, bar.look, bar.aside)
    height_px = BAR_FLAT_PX if room.is_dense else BAR_TALL_PX
    gap_px = 1 if room.is_dense else GAP_PX
    return Line(bar.text, font, height_px, gap_px, bar.look, bar.aside)


def _about(view: View) -> _About:
    if view.connection is not ConnectionState.CONNECTED:
        return _About(_cause(view), is_important=True, rows=2)
    if view.talk is TalkState.LOCKED or view.is_muted_by_room:
        return _About(readable(view.talk_text), is_important=True, rows=2)
    if view.speakers:
        deaf = "" if view.has_speaker else "no speaker! "
        text = deaf + readable(", ".join(view.speakers))
        return _About(text, SPEAKER, is_important=True)
    return _About(_company(view), is_important=not view.has_speaker)


def _cause(view: View) -> str:
    """Return the banner without the state, which the bar shows already."""
    text = readable(view.banner)
    state, _, cause = text.partition(": ")
    said_more = cause or text.removeprefix(view.connection.value).lstrip(" ,")
    if said_more == state and said_more in view.connection.value:
        return ""
    # "in 12 s" as "in 12s": a line has no room for a space before the unit.
    is_timed = said_more.endswith(" s")
    return said_more.removesuffix(" s") + "s" if is_timed else said_more


def _company(view: View) -> str:
    deaf = "" if view.has_speaker else "no speaker! "
    names = readable(", ".join(person.name for person in view.people))
    if names:
        return f"{deaf}{len(view.people)} here: {names}"
    return deaf if view.talk is TalkState.UNAVAILABLE else f"{deaf}nobody else here"
