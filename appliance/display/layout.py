"""Layout of the screen: the lines of each screen page, from the top."""

from dataclasses import dataclass, replace
from typing import Final, assert_never

from appliance.core.chat import ChatLine, Delivery
from appliance.core.events import Caption
from appliance.core.state import ScreenPage
from appliance.core.view import ConnectionState, TalkState, View
from appliance.display import fonts
from appliance.display.line import (
    Area,
    Look,
    Size,
    TextLine,
    bar,
    chat_lines,
    fault_count,
    heading,
    is_tall,
    mark_px,
    marked,
    ruled,
    whole,
)
from appliance.display.text import fitted, fonts_for, readable

SPEAKER: Final = "\N{SPEAKER}"
TAIL_CHARACTERS: Final = 60
"""End of a caption that is shown, the newest words: three lines of the small font."""
FLAT_CHARACTERS: Final = 16
"""The same on a flat screen, which has space for one line."""


def layout(view: View, size: Size) -> tuple[TextLine, ...]:
    """Return the lines for a screen of this size (px)."""
    view = _with_agent(view, is_flat=not is_tall(size))
    match view.screen_page:
        case ScreenPage.TALK:
            return _talk_page(view, size)
        case ScreenPage.CHAT if view.chat:
            return chat_lines(view.chat, whole(size, is_dense=True))[0]
        case ScreenPage.CHAT:
            return (heading("chat", whole(size)),)
        case ScreenPage.PAIRING:
            return _pairing_page(view, size)
        case ScreenPage.HEALTH:
            return _health_page(view, size)
        case _:
            assert_never(view.screen_page)


def _pairing_page(view: View, size: Size) -> tuple[TextLine, ...]:
    area = whole(size)
    top = heading("pairing", area)
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
        top = heading(fault_count(view), area)
        return (top, *_faults(view.faults, area.below((top,))))
    shown: tuple[TextLine, ...] = (heading("health", area),)
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


def _talk_page(view: View, size: Size) -> tuple[TextLine, ...]:
    """Return the lines of the screen page about talking."""
    is_flat = not is_tall(size)
    is_connected = view.connection is ConnectionState.CONNECTED
    title = readable(view.banner if is_connected else view.name or view.address)
    is_dense = is_flat or fonts_for(title)[-1] != fonts.small()
    area = whole(size, is_dense=is_dense)
    top = () if is_flat else (heading(title, area, fault_count(view)),)
    about = _about(view)
    if is_flat and not about.text:
        # The bar may have left no space for the title.
        about = _About(title)
    state, look = _state(view)
    if is_flat and len(fonts_for(about.text)) == 1 and look is Look.FRAMED:
        # A large line and large chat leave no space for a bar.
        head = (_with_state(about, state, area),)
        return (*head, *chat_lines(view.chat, area.below(head))[0])
    drawn = bar(state, look, area)
    if is_flat and is_connected:
        drawn = replace(drawn, aside=readable(view.banner))
    head = (*top, drawn)
    return (*head, *_body(view, about, area.below(head)))


def _body(view: View, about: _About, area: Area) -> tuple[TextLine, ...]:
    """Return the text under the bar, large if all of it and the chat fit, and the chat.

    A text that is not important is small, and left out if the newest line needs space.
    """
    choice = fonts_for(about.text)
    if view.chat and not about.is_important:
        choice = choice[-1:]
    width_px = area.width_px - mark_px(about.mark)
    for font in choice:
        rows = min(about.rows if view.chat else 2, area.rows(font))
        paragraph = fitted(about.text, font, width_px, rows)
        lines = marked(area.lines(paragraph), about.mark)
        top = ruled(lines, area) if view.chat else lines
        chat, is_newest_whole = chat_lines(view.chat, area.below(top))
        if paragraph.is_whole and is_newest_whole:
            return (*top, *chat)
    if view.chat and not about.is_important:
        return chat_lines(view.chat, area)[0]
    return (*top, *chat) if chat else lines


def _with_state(about: _About, state: str, area: Area) -> TextLine:
    """Return the text as one large line, with the talk state in the small font."""
    small, indent_px = fonts.small(), mark_px(about.mark)
    width_px = area.width_px - indent_px - small.width_px(state) - small.space_px
    (line,) = marked(
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
    names = readable(", ".join(person.name for person in view.people))
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


def _with_agent(view: View, *, is_flat: bool) -> View:
    """Return the view with the agent's state beside its name, its words as a line."""
    growing = [caption for caption in view.captions if not caption.is_final]
    characters = FLAT_CHARACTERS if is_flat else TAIL_CHARACTERS
    spoken = tuple(_caption_line(caption, characters) for caption in growing[-1:])
    agent = view.agent
    people = tuple(
        replace(person, name=f"{person.name} is {agent.state}")
        if agent is not None and agent.id == person.id
        else person
        for person in view.people
    )
    return replace(view, people=people, chat=view.chat + spoken)


def _caption_line(caption: Caption, characters: int) -> ChatLine:
    """Return the newest words, from the beginning of a word, as a line of the chat."""
    text = caption.text
    if len(text) > characters:
        end = text[-characters:]
        text = f"…{end.partition(' ')[2] or end}"
    return ChatLine(
        id=caption.segment,
        sender_id="" if caption.is_own else caption.talker_id,
        sender_name=caption.talker,
        text=text,
        ts_ms=caption.ts_ms,
        state=Delivery.SENT,
    )
