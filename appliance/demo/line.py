"""The one live line, and plain lines where there is no terminal; pure."""

import unicodedata
from typing import Final

from appliance.core.chat import ChatLine
from appliance.core.view import TalkState, View

METER_CELLS: Final = 8
METER_FLOOR_DBFS: Final = -60
OWN_NAME: Final = "you"
PROMPT: Final = "say: "

_TALKING: Final = frozenset({TalkState.TALKING, TalkState.WARNING})


def live_line(view: View, columns: int, draft: str | None = None) -> str:
    """Return the box in one line of at most so many columns.

    Args:
        view: the newest.
        columns: of the terminal.
        draft: a line of chat that is being typed, shown instead.
    """
    if draft is not None:
        return _fitted(f"{PROMPT}{_tail(draft, columns - len(PROMPT) - 1)}_", columns)
    parts = (
        _mark(view),
        view.banner,
        _talk(view),
        f"mic {meter(view.microphone_dbfs)} speaker {meter(view.speaker_dbfs)}",
        _chat(view),
    )
    return _fitted(" │ ".join(part for part in parts if part), columns)


def plain_line(view: View) -> str:
    """Return what is worth a line of a log when it changes: no meters, no seconds."""
    talk = view.talk_text if view.talk is not TalkState.MUTED else ""
    parts = (view.connection.value, talk, _speakers(view), _chat(view))
    return " | ".join(part for part in parts if part)


def meter(dbfs: int) -> str:
    """Return a bar for a level between silence and full scale."""
    share = (dbfs - METER_FLOOR_DBFS) / -METER_FLOOR_DBFS
    lit = round(METER_CELLS * min(1.0, max(0.0, share)))
    return "▮" * lit + "▯" * (METER_CELLS - lit)


def _mark(view: View) -> str:
    lamps = view.lamps
    return "".join(
        sign if is_lit else "·"
        for sign, is_lit in (
            ("●", lamps.online),
            ("▲", lamps.talking),
            ("▼", lamps.receiving),
            ("!", lamps.fault),
        )
    )


def _talk(view: View) -> str:
    talk = view.talk_text.upper() if view.talk in _TALKING else view.talk_text
    return "  ".join(part for part in (talk, _speakers(view)) if part)


def _speakers(view: View) -> str:
    names = ", ".join(view.speakers)
    return f"{names} speaks" if names else ""


def _chat(view: View) -> str:
    return _said(view.chat[-1]) if view.chat else ""


def _said(line: ChatLine) -> str:
    who = OWN_NAME if line.is_own else line.sender_name
    state = f" ({line.state})" if line.is_own else ""
    text = f"{who}: {line.text}{state}"
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _fitted(text: str, columns: int) -> str:
    """Return as much of the text's start as fits, with an ellipsis if it is cut."""
    if _columns(text) <= columns:
        return text
    end = len(text)
    while end and _columns(text[:end]) > columns - 1:
        end -= 1
    return text[:end] + "…"


def _tail(text: str, columns: int) -> str:
    """Return as much of the text's end as fits."""
    start = 0
    while start < len(text) and _columns(text[start:]) > columns:
        start += 1
    return text[start:]


def _columns(text: str) -> int:
    """Return how wide a terminal shows the text; accents add nothing."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1
