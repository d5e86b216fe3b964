"""Report: table of figures and goals, ours and others' side by side; pure."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import compress
from typing import Literal

from tests.bench.spread import Spread

COLUMNS = ("figure", "goal", "ours", "MediaDevices", "Chromium", "verdict")


class Verdict(StrEnum):
    """Result of a figure."""

    MET = "met"
    MISSED = "MISSED"
    UNKNOWN = "NOT MEASURED"
    NONE = ""
    """There is no goal."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Largest acceptable value."""

    most: float
    of: Literal["median", "high"] = "median"
    words: str = ""
    """Source of the number, if it needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Row of the table."""

    name: str
    unit: str
    ours: Spread | None
    rival: Spread | None = None
    browser: Spread | None = None
    goal: Goal | None = None
    is_asked: bool = True
    """False: a line for context, which may be empty."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Section of the table: the results of one module."""

    title: str
    rows: tuple[Row, ...]


def verdict(row: Row) -> Verdict:
    """Return whether the goal was reached."""
    if row.ours is None:
        return Verdict.UNKNOWN if row.is_asked else Verdict.NONE
    if row.goal is None:
        return Verdict.NONE
    value: float = getattr(row.ours, row.goal.of)
    return Verdict.MET if value <= row.goal.most else Verdict.MISSED


def is_complete(sections: Iterable[Section]) -> bool:
    """Whether every requested figure was measured."""
    rows = [row for section in sections for row in section.rows]
    return all(verdict(row) is not Verdict.UNKNOWN for row in rows)


def table(sections: Sequence[Section]) -> str:
    """Return the table as text, one section after the other."""
    rows = [row for section in sections for row in section.rows]
    # Few sections measure a browser.
    is_shown = [x != "Chromium" or any(row.browser for row in rows) for x in COLUMNS]
    columns = tuple(compress(COLUMNS, is_shown))
    lines = [tuple(compress(_cells(row), is_shown)) for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    rule = "  ".join("-" * width for width in widths)
    out = [_line(columns, widths), rule]
    for section in sections:
        out.append(section.title)
        for row in section.rows:
            out.append(_line(tuple(compress(_cells(row), is_shown)), widths))
            out.extend(_note(row))
    return "\n".join(out) + "\n"


def as_json(machine: dict[str, object], sections: Sequence[Section]) -> object:
    """Return the JSON output."""
    figures = [
        {"section": section.title, "verdict": verdict(row), **asdict(row)}
        for section in sections
        for row in section.rows
    ]
    return {"machine": machine, "figures": figures}


def _cells(row: Row) -> tuple[str, ...]:
    name = f"  {row.name} [{row.unit}]" if row.unit else f"  {row.name}"
    found = (shown(x) for x in (row.ours, row.rival, row.browser))
    return name, _goal(row.goal), *found, verdict(row)


def _goal(goal: Goal | None) -> str:
    if goal is None:
        return "-"
    of = "" if goal.of == "median" else " high"
    words = f" ({goal.words})" if goal.words else ""
    return f"<= {number(goal.most)}{of}{words}"


def shown(found: Spread | None) -> str:
    """Return low, median and high, or the one value there is."""
    if found is None:
        return "-"
    if found.count == 1:
        return number(found.median)
    return " / ".join(map(number, (found.low, found.median, found.high)))


def number(value: float) -> str:
    """Return the number with its significant digits."""
    if math.isfinite(value) and value == int(value):
        return str(int(value))
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:.{digits}f}"


def _note(row: Row) -> Iterator[str]:
    if row.note:
        yield f"      {row.note}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
