"""Kinds of hardware faults, and the texts made of one entry of the fault table."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

ALSO: Final = "; also "
"""Between two notices of one part."""


class FaultKind(Enum):
    """Effect of a fault on its part."""

    LOST = "the part does not work"
    NOTICE = "the part works, but not as it should"
    HELD = "a button is down"
    CHECK = "only `doctor` examines it"


@dataclass(frozen=True, slots=True)
class HardwareFault:
    """One thing that can be wrong with the hardware or the system under the box."""

    id: str
    """Identifier, the same in all versions."""
    words: str
    """What is wrong; `{names}` are replaced by what was found."""
    remedy: str = ""
    """What to do, as a sentence; empty: nobody has to do anything, or it depends."""
    kind: FaultKind = FaultKind.LOST
    readme_row: str = ""
    """Part of the first column of README's table that covers it; empty: `doctor`."""

    def described(self, **facts: object) -> str:
        """Return what is wrong, with these facts."""
        return self.words.format(**facts)

    def advice(self, **facts: object) -> str:
        """Return what to do, with these facts."""
        return self.remedy.format(**facts)

    def outline(self) -> str:
        """Return what is wrong, without any facts; empty: the words are all facts."""
        pieces = _pieces(self.words)
        return "…".join(pieces) if any(map(_is_telling, pieces)) else ""

    def likeness(self, text: str) -> int:
        """Return how many letters of the text are this fault's own; 0: it is another.

        Args:
            text: as `text` returns it, of any fault.
        """
        start, *others = pieces = _pieces(self.words)
        if not text.startswith(start):
            return 0
        end = len(start)
        for piece in others:
            found = text.find(piece, end)
            if found < 0:
                return 0
            end = found + len(piece)
        # The first letter of the remedy depends on the kind.
        remedy = _pieces(self.remedy)[0][1:].removesuffix(".")
        own = "".join((*pieces, remedy if remedy in text[end:] else ""))
        return sum(map(str.isalpha, own))

    def text(self, **facts: object) -> str:
        """Return what is wrong and what to do, as page, OLED and log show it."""
        words, advice = self.described(**facts), self.advice(**facts)
        if not advice:
            return words
        if self.kind is FaultKind.NOTICE:
            return f"{words}; {advice[0].lower()}{advice[1:].removesuffix('.')}"
        return f"{words}. {advice}"


def joined(notices: Iterable[str]) -> str:
    """Return the notices of one part as one text; empty ones are left out."""
    return ALSO.join(filter(None, notices))


def separated(notice: str) -> list[str]:
    """Return the notices in a text that `joined` returned; none in an empty one."""
    return notice.split(ALSO) if notice else []


def _pieces(words: str) -> list[str]:
    """Return the words between the facts."""
    return re.split(r"\{\w+\}", words)


def _is_telling(piece: str) -> bool:
    return any(map(str.isalpha, piece))
