"""One hardware fault: what is wrong, what to do, and what it does to its part."""

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

    def text(self, **facts: object) -> str:
        """Return what is wrong and what to do, as page, OLED and log show it."""
        found, advice = self.found(**facts), self.advice(**facts)
        if not advice:
            return found
        if self.kind is FaultKind.NOTICE:
            return f"{found}; {advice[0].lower()}{advice[1:].removesuffix('.')}"
        return f"{found}. {advice}"
