"""One hardware fault: what is wrong, what to do, and what it does to its part."""

import re
from dataclasses import dataclass
from enum import Enum


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
    help: str = ""
    """Part of the first column of README's table that covers it; empty: `doctor`."""

    def found(self, **facts: object) -> str:
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
        found, advice = self.found(**facts), self.advice(**facts)
        if not advice:
            return found
        if self.kind is FaultKind.NOTICE:
            return f"{found}; {advice[0].lower()}{advice[1:].removesuffix('.')}"
        return f"{found}. {advice}"


def _pieces(words: str) -> list[str]:
    """Return the words between the facts."""
    return re.split(r"\{\w+\}", words)


def _is_telling(piece: str) -> bool:
    return any(map(str.isalpha, piece))
