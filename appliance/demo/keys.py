"""What a key in the terminal means; pure."""

import codecs
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from appliance.core.events import Button

HINT: Final = "space talk   l leave   t type   n next page   + − volume   q quit"
LONGEST_LINE: Final = 500

_BUTTONS: Final = {
    " ": Button.TALK,
    "l": Button.LEAVE,
    "n": Button.NEXT_PAGE,
    "+": Button.VOLUME_UP,
    "=": Button.VOLUME_UP,
    "-": Button.VOLUME_DOWN,
}
# Arrow and function keys: CSI and SS3 sequences, and Alt with a letter.
_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])")
_ESCAPE: Final = "\x1b"
_RUBOUT: Final = frozenset("\b\x7f")
_ENTER: Final = frozenset("\r\n")


@dataclass(frozen=True, slots=True)
class Typed:
    """A line of chat was typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Quit:
    """Somebody has seen enough."""


Deed: TypeAlias = Button | Typed | Quit


class Keyboard:
    """Makes deeds of bytes from a terminal."""

    def __init__(self) -> None:
        """Start with nothing typed."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self.draft: str | None = None
        """The line of chat that is being typed; None: keys are buttons."""

    def pressed(self, data: bytes) -> list[Deed]:
        """Return what these keys mean, oldest first; unknown ones mean nothing.

        Args:
            data: what one read of the terminal gave; a key's sequence is not split.
        """
        text = _SEQUENCE.sub("", self._decoder.decode(data))
        deeds = [self._deed(letter) for letter in text]
        return [deed for deed in deeds if deed is not None]

    def _deed(self, letter: str) -> Deed | None:
        if self.draft is not None:
            return self._write(self.draft, letter)
        if letter == "t":
            self.draft = ""
            return None
        if letter in {"q", "Q", "\x04"}:
            return Quit()
        return _BUTTONS.get(letter.lower())

    def _write(self, draft: str, letter: str) -> Typed | None:
        if letter in _ENTER:
            self.draft = None
            return Typed(draft.strip()) if draft.strip() else None
        if letter == _ESCAPE:
            self.draft = None
        elif letter in _RUBOUT:
            self.draft = draft[:-1]
        elif letter.isprintable() and len(draft) < LONGEST_LINE:
            self.draft = draft + letter
        return None
