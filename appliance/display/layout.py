"""Layout of the screen: the lines of each page, from the top."""

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from appliance.core.state import ScreenPage
from appliance.core.view import View
from appliance.display import fonts
from appliance.display.agent import with_agent
from appliance.display.chat_lines import chat_lines
from appliance.display.line import (
    Area,
    Line,
    Size,
    fault_count,
    heading,
    is_tall,
    whole,
)
from appliance.display.talk_page import talk_page
from appliance.display.text import fitted, fonts_for, readable


def layout(view: View, size: Size) -> tuple[Line, ...]:
    """Return the lines for a screen of this size (px)."""
    view = with_agent(view, is_flat=not is_tall(size))
    match view.screen_page:
        case ScreenPage.TALK:
            return talk_page(view, size)
        case ScreenPage.CHAT:
            return _chat_page(view, size)
        case ScreenPage.PAIRING:
            return _pairing_page(view, size)
        case ScreenPage.HEALTH:
            return _health_page(view, size)
        case _:
            assert_never(view.screen_page)


def _chat_page(view: View, size: Size) -> tuple[Line, ...]:
    if not view.chat:
        return (heading("chat", whole(size)),)
    return chat_lines(view.chat, whole(size, is_dense=True))[0]


def _pairing_page(view: View, size: Size) -> tuple[Line, ...]:
    room = whole(size)
    top = heading("pairing", room)
    if not readable(view.page_url):
        return (top, room.line("there is no page now", fonts.small()))
    title, small = fonts.title(), fonts.small()
    pin = Line(f"PIN {view.pin}", title, title.height_px)
    if not is_tall(size):
        return (pin, *_dense(view.page_url, room.below((pin,))))
    hint = replace(room.line("Open this on a phone:", small), gap_px=2)
    url = _dense(view.page_url, room.below((top, hint, pin)))
    return (top, hint, *url[:-1], replace(url[-1], gap_px=8), pin)


def _health_page(view: View, size: Size) -> tuple[Line, ...]:
    room = whole(size, is_dense=not is_tall(size))
    if view.faults:
        top = heading(fault_count(view), room)
        return (top, *_faults(view.faults, room.below((top,))))
    top = heading("health", room)
    rtt = "" if view.rtt_ms is None else f"server in {view.rtt_ms} ms"
    facts = (readable(view.banner), rtt, view.address)
    well = "all is well"
    state = room.line(well, fonts_for(well)[0 if is_tall(size) else -1])
    return (top, state, *_fitting(filter(None, facts), room.below((top, state))))


def _fitting(texts: Iterator[str], room: Area) -> tuple[Line, ...]:
    """Return one line for each text, as many as fit."""
    shown: tuple[Line, ...] = ()
    for text in texts:
        line = room.line(text, fonts_for(text)[-1])
        if room.below((*shown, line)).height_px < 0:
            break
        shown = (*shown, line)
    return shown


def _faults(faults: tuple[str, ...], room: Area) -> tuple[Line, ...]:
    """Return the faults, cut so that the beginning of each is shown."""
    small = fonts.small()
    share_px = max(room.height_px // len(faults), small.height_px)
    shown: tuple[Line, ...] = ()
    for fault in map(readable, faults):
        height_px = min(share_px, room.below(shown).height_px)
        shown += _dense(fault, replace(room, height_px=height_px))
    return shown


def _dense(text: str, room: Area) -> tuple[Line, ...]:
    """Return the text in the smallest font that has its characters."""
    shown = readable(text)
    font = fonts_for(shown)[-1]
    paragraph = fitted(shown, font, room.width_px, room.rows(font), indent=1)
    return room.lines(paragraph)
