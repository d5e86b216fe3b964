"""Results of a run: one line for each check, and the summary; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field


class CheckError(Exception):
    """Error: a check cannot go on, because something did not happen."""


@dataclass(slots=True)
class Findings:
    """What a check has measured so far, and what of it is wrong."""

    measured: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, words: str) -> None:
        """Add a figure that is neither right nor wrong."""
        self.measured.append(words)

    def expect(self, is_right: bool, words: str) -> None:
        """Add a figure, and whether it is as it should be; the check goes on."""
        (self.measured if is_right else self.wrong).append(words)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one check."""

    name: str
    seconds: float
    measured: tuple[str, ...]
    wrong: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


def line(result: Result) -> str:
    """Return name, verdict, seconds and figures; what is wrong comes first."""
    verdict = "ok    " if result.is_ok else "FAILED"
    words = "; ".join((*(f"WRONG: {x}" for x in result.wrong), *result.measured))
    return f"{result.name:<14} {verdict} {result.seconds:5.0f} s  {words}"


def summary(results: Sequence[Result]) -> str:
    """Return the line at the end."""
    failed = [x.name for x in results if not x.is_ok]
    passed = len(results) - len(failed)
    names = f" ({', '.join(failed)})" if failed else ""
    return f"{passed} passed, {len(failed)} failed{names}"


def exit_status(results: Sequence[Result]) -> int:
    """Return 0 if there are results and none of them is wrong."""
    return 0 if results and all(x.is_ok for x in results) else 1
