"""Main page of the screen: room, talk state, speakers and the newest chat lines."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, assert_never

from appliance.core.view import ConnectionState, TalkState, View
from appliance.display import fonts
from appliance.display.chat_lines import chat_lines, said
from appliance.display.line import (
    GAP_PX,
    Area,
    Line,
    Look,
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
    """Text under the bar: speakers, participants, or the cause of an outage."""

    text: str
    mark: str = ""
    is_important: bool = False
    """Shown in the large font even if the chat has to be small then."""
    rows: int = 1
    """Limit of lines if it has to be cut."""


def talk_page(view: View, size: Size) -> tuple[Line, ...]:
    """Return the lines of the main page."""
    is_flat = not is_tall(size)
    title = _title(view)
    is_dense = is_flat or fonts_for(title)[-1] != fonts.small()
    room = whole(size, is_dense=is_dense)
    top = () if is_flat else (heading(title, room, fault_count(view)),)
    about = _about(view)
    if is_flat and not about.text:
        # The bar may have left no space for the title.
        about = _About(title)
    bar = _bar(view, aside=readable(view.banner) if is_flat else "")
    needs = _needs_large(view, about) if is_flat else (False, False)
    if all(needs) and about.is_important and bar.look is Look.FRAMED:
        # Two large lines leave no space for a bar.
        head = (_with_state(about, bar.text, room),)
        return (*head, *chat_lines(view.chat, room.below(head))[0])
    is_small = any(needs) and (about.is_important or not needs[0])
    head = (*top, _drawn(bar, room, is_small=is_small))
    return (*head, *_body(view, about, room.below(head)))


def _body(view: View, about: _About, room: Area) -> tuple[Line, ...]:
    """Return the text under the bar and the chat, with the newest line in full."""
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


def _options(about: _About, room: Area, *, has_chat: bool) -> Iterator[Paragraph]:
    """Yield the possible ways to show the text, the best first; at least one."""
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


def _ruled(lines: tuple[Line, ...], room: Area) -> tuple[Line, ...]:
    if not lines or room.is_dense:
        return lines
    return (*lines[:-1], replace(lines[-1], look=Look.RULED, gap_px=RULE_PX))


def _needs_large(view: View, about: _About) -> tuple[bool, bool]:
    """Return whether text and newest chat line need the large font, each."""
    newest = readable(said(view.chat[-1])) if view.chat else ""
    return len(fonts_for(about.text)) == 1, len(fonts_for(newest)) == 1


def _with_state(about: _About, state: str, room: Area) -> Line:
    """Return the text as one large line, with the talk state in the small font."""
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
    """Return the bar: the talk state, or the reason why talking is impossible."""
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


def _drawn(bar: _Bar, room: Area, *, is_small: bool) -> Line:
    """Return the bar in the boldest font in which its text fits."""
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
        warning = "" if view.has_speaker else "no speaker! "
        text = warning + readable(", ".join(view.speakers))
        return _About(text, SPEAKER, is_important=True)
    return _About(_participants(view), is_important=not view.has_speaker)


def _cause(view: View) -> str:
    """Return the banner without the state, which the bar already shows."""
    text = readable(view.banner)
    state, _, cause = text.partition(": ")
    detail = cause or text.removeprefix(view.connection.value).lstrip(" ,")
    if detail == state and detail in view.connection.value:
        return ""
    # "in 12 s" as "in 12s": the space before the unit does not fit.
    is_timed = detail.endswith(" s")
    return detail.removesuffix(" s") + "s" if is_timed else detail


def _participants(view: View) -> str:
    warning = "" if view.has_speaker else "no speaker! "
    names = readable(", ".join(person.name for person in view.people))
    if names:
        return f"{warning}{len(view.people)} here: {names}"
    return (
        warning if view.talk is TalkState.UNAVAILABLE else f"{warning}nobody else here"
    )
