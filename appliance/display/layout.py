"""What the OLED says, line by line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import assert_never

from appliance.core.chat import ChatLine, Delivery
from appliance.core.state import ScreenPage
from appliance.core.view import Connection, TalkState, View
from appliance.display.font import small
from appliance.display.text import cut, fitted, readable

TALL_ROWS = 7
"""From this many rows on there is room for a heading."""
LARGE_ROWS = 2
"""A large line takes the room of two."""
SPEAKER = "\N{SPEAKER}"


class Look(Enum):
    """How a line is drawn."""

    PLAIN = auto()
    RULED = auto()
    """Plain, with a rule under it on a tall screen."""
    HEADING = auto()
    FRAMED = auto()
    """Large, in an empty frame."""
    LIT = auto()
    """Large, dark on a lit bar: you are on the air."""
    LARGE = auto()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the screen."""

    text: str
    look: Look = Look.PLAIN
    aside: str = ""
    """Small letters at the right end, where there is room."""


def face(view: View, columns: int, rows: int) -> tuple[Line, ...]:
    """Return what the screen says now, from the top.

    Args:
        view: what people see of the box.
        columns: small letters that fit side by side.
        rows: small lines that fit; large ones take `LARGE_ROWS` of them.
    """
    match view.screen_page:
        case ScreenPage.TALK:
            return _talk(view, columns, rows)
        case ScreenPage.CHAT:
            return _chat_page(view, columns, rows)
        case ScreenPage.PAIRING:
            return _pairing(view, columns, rows)
        case ScreenPage.HEALTH:
            return _health(view, columns, rows)
        case _:
            assert_never(view.screen_page)


def _talk(view: View, columns: int, rows: int) -> tuple[Line, ...]:
    is_tall = rows >= TALL_ROWS
    bar = _bar(view, aside="" if is_tall else _read(view.banner))
    heading = (_heading(view, columns),) if is_tall else ()
    left = rows - LARGE_ROWS - len(heading)
    about = _about(view, columns, min(2, left - 1))
    if not about and not is_tall:
        # The bar's words may have left no room for it.
        about = (cut(_title(view), columns),)
    chat = _chat(view, columns, left - len(about))
    return (*heading, bar, *_ruled(about, has_chat=bool(chat)), *chat)


def _ruled(texts: tuple[str, ...], *, has_chat: bool) -> tuple[Line, ...]:
    lines = tuple(map(Line, texts))
    if not (lines and has_chat):
        return lines
    return (*lines[:-1], replace(lines[-1], look=Look.RULED))


def _heading(view: View, columns: int) -> Line:
    faults = _count(view.faults) if view.faults else ""
    room = columns - len(faults) - 1 if faults else columns
    return Line(cut(_title(view), room), Look.HEADING, faults)


def _title(view: View) -> str:
    if view.connection is Connection.CONNECTED:
        return _read(view.banner)
    return _read(view.name or view.address)


def _count(faults: tuple[str, ...]) -> str:
    return "1 fault" if len(faults) == 1 else f"{len(faults)} faults"


def _bar(view: View, aside: str) -> Line:
    """Return the large words: the talk state, or why there can be none."""
    if view.connection is not Connection.CONNECTED:
        return Line(view.connection.upper(), Look.FRAMED)
    match view.talk:
        case TalkState.TALKING:
            return Line("TALKING", Look.LIT, aside)
        case TalkState.WARNING:
            return Line(f"TALKING {view.talk_left_s or 0}", Look.LIT, aside)
        case TalkState.LOCKED:
            return Line("LET GO", Look.FRAMED, aside)
        case TalkState.MUTED:
            return Line("MUTED", Look.FRAMED, aside)
        case TalkState.UNAVAILABLE:
            reason = _read(view.talk_text).rpartition(": ")[2]
            return Line(reason.upper(), Look.FRAMED, aside)
        case _:
            assert_never(view.talk)


def _about(view: View, columns: int, rows: int) -> tuple[str, ...]:
    """Return the lines under the bar: why it says so, or who is there."""
    if view.connection is not Connection.CONNECTED:
        return fitted(_cause(view), columns, rows)
    if view.talk is TalkState.LOCKED or view.is_muted_by_room:
        return fitted(_read(view.talk_text), columns, rows)
    return tuple(cut(text, columns) for text in (_company(view),) if text)


def _cause(view: View) -> str:
    """Return the banner without the state, which the bar has said already."""
    banner = _read(view.banner)
    state, _, cause = banner.partition(": ")
    said = cause or banner.removeprefix(view.connection.value).lstrip(" ,")
    if said == state and said in view.connection.value:
        return ""
    # "in 12 s" as "in 12s": a line has no room for a blank before the unit.
    return said.removesuffix(" s") + "s" if said.endswith(" s") else said


def _company(view: View) -> str:
    deaf = "" if view.has_speaker else "no speaker! "
    if view.speakers:
        return f"{deaf}{SPEAKER} {_read(', '.join(view.speakers))}"
    names = _read(", ".join(person.name for person in view.people))
    return deaf + (f"{len(view.people)} here: {names}" if names else _nobody(view))


def _nobody(view: View) -> str:
    return "" if view.talk is TalkState.UNAVAILABLE else "nobody else here"


def _chat(view: View, columns: int, rows: int) -> tuple[Line, ...]:
    """Return the newest lines, whole if possible, the newest at the bottom."""
    shown: list[str] = []
    for line in reversed(view.chat):
        left = rows - len(shown)
        if left <= 0:
            break
        shown[:0] = fitted(_read(_said(line)), columns, left, indent=1)
    return tuple(map(Line, shown))


def _chat_page(view: View, columns: int, rows: int) -> tuple[Line, ...]:
    if rows >= TALL_ROWS or not view.chat:
        return _listed("chat", _chat(view, columns, rows - 1), rows)
    return _chat(view, columns, rows)


def _said(line: ChatLine) -> str:
    if not line.is_own:
        return f"{line.sender_name}: {line.text}"
    match line.state:
        case Delivery.QUEUED:
            return f"me (waiting): {line.text}"
        case Delivery.FAILED:
            return f"me (not sent): {line.text}"
        case _:
            return f"me: {line.text}"


def _pairing(view: View, columns: int, rows: int) -> tuple[Line, ...]:
    if not view.page_url:
        return _listed("pairing", (Line("there is no page now"),), rows)
    url = tuple(map(Line, fitted(_read(view.page_url), columns, rows - LARGE_ROWS)))
    pin = Line(f"PIN {view.pin}", Look.LARGE)
    if rows < TALL_ROWS:
        return (pin, *url)
    hint = (Line("Open this on a phone:"), *url, Line(""), pin)
    return _listed("pairing", hint, rows)


def _health(view: View, columns: int, rows: int) -> tuple[Line, ...]:
    if not view.faults:
        rtt = "" if view.rtt_ms is None else f"server in {view.rtt_ms} ms"
        facts = ("all is well", _read(view.banner), rtt, view.address)
        shown = tuple(Line(cut(fact, columns)) for fact in facts if fact)
        return _listed("health", shown, rows)
    return _listed(_count(view.faults), _faults(view, columns, rows), rows)


def _faults(view: View, columns: int, rows: int) -> tuple[Line, ...]:
    """Return each fault, cut so that every one of them is at least begun."""
    each = max(1, (rows - 1) // len(view.faults))
    lines: Iterator[str] = (
        line
        for fault in view.faults
        for line in fitted(_read(fault), columns, each, indent=1)
    )
    return tuple(map(Line, lines))


def _listed(heading: str, lines: tuple[Line, ...], rows: int) -> tuple[Line, ...]:
    return (Line(heading, Look.HEADING), *lines[: rows - 1])


def _read(text: str) -> str:
    return readable(text, small().glyphs)
