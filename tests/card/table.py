"""Rows of the table of conditions, the goals of each row, and their text."""

from dataclasses import dataclass
from typing import Final

NAMED_S: Final = 5.0
HANG_NAMED_S: Final = 8.0
ZEROS_NAMED_S: Final = 6.0
"""A microphone with a noise gate delivers zeros in a pause."""
HEALED_S: Final = 3.0
LINES: Final = 20
WIDTH: Final = 34
HEADER: Final = (
    f"{'condition':{WIDTH}} | named | healed | lines | others | goals | "
    "what the box says"
)


@dataclass(frozen=True, slots=True)
class Row:
    """Result of one condition; times are None where it never happened."""

    name: str
    named_goal_s: float | None
    """Longest time until the fault is named; None: nothing is to be named."""
    is_for_ever: bool = False
    """Whether the cause does not end, so that nothing heals."""
    healed_goal_s: float = HEALED_S
    said: str = ""
    named_s: float | None = None
    healed_s: float | None = None
    lines: int = 0
    disturbed: tuple[str, ...] = ()
    """What else did not work meanwhile, or afterwards."""

    @property
    def misses(self) -> tuple[str, ...]:
        """Goals that are missed."""
        goal_s = self.named_goal_s
        goals = {
            "named": goal_s is None or within(self.named_s, goal_s),
            "healed": self.is_for_ever or within(self.healed_s, self.healed_goal_s),
            "lines": self.lines <= LINES,
            "others": not self.disturbed,
        }
        return tuple(name for name, is_met in goals.items() if not is_met)


def within(value_s: float | None, goal_s: float) -> bool:
    """Return whether it happened within this time."""
    return value_s is not None and value_s <= goal_s


def line(row: Row) -> str:
    """Return the row as text."""
    named, healed = (
        "–" if seconds is None else f"{seconds:.1f}"
        for seconds in (row.named_s, row.healed_s)
    )
    verdict = f"MISSED: {', '.join(row.misses)}" if row.misses else "ok"
    cells = (f"{row.name:{WIDTH}}", f"{named:>5}", f"{healed:>6}")
    others = ", ".join(row.disturbed) or "work"
    return " | ".join((*cells, f"{row.lines:>5}", others, verdict, row.said))
