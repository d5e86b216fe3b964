"""Names and identities of participants, made safe for screens and logs.

Every participant chooses them, so they may hold anything.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

AGENT_NAME: Final = "lk.agent.name"
"""Attribute of an agent's participant."""
AGENT_STATE: Final = "lk.agent.state"
"""Another; it is missing until the agent is ready."""
_NAME_CHARACTERS: Final = 64
_ID_CHARACTERS: Final = 6
"""Of an identity: enough to tell people apart, not enough to know them elsewhere."""
_OWN_NAMES: Final = frozenset({"this box", "me"})
"""Names of this box on the page and on the OLED."""
_GUEST: Final = " (guest)"
_UNKNOWN: Final = "unknown"
_CLAIM_CHARACTERS: Final = _NAME_CHARACTERS - len("unknown (says: )")
_NEEDED: Final = frozenset("\n\t\u200c\u200d")
"""Control characters that belong into a text; the last two join emoji and letters."""


@lru_cache(maxsize=256)
def display_name(name: str, identity: str, own_name: str = "") -> str:
    """Return the name to show: never empty, one line, at most 64 characters.

    Somebody with a name that stands for this box is marked as a guest. The result is
    cached: while somebody speaks, all names are compared ten times a second.
    """
    shown = _one_line(name) or _one_line(identity) or "?"
    if _spelling(shown) in {_spelling(own_name), *_OWN_NAMES}:
        return shown[: _NAME_CHARACTERS - len(_GUEST)] + _GUEST
    return shown


def agent_name(name: str, attributes: Mapping[str, str]) -> str:
    """Return the name to show of a voice agent; its participant seldom has one."""
    return _one_line(name) or _one_line(attributes.get(AGENT_NAME, "")) or "Agent"


def unknown(claimed_name: str) -> str:
    """Return the name to show of a sender that the server does not confirm."""
    claim = _one_line(claimed_name)[:_CLAIM_CHARACTERS]
    return f"{_UNKNOWN} (says: {claim})" if claim else _UNKNOWN


def short_id(identity: str) -> str:
    """Return an identity for a log line: short, one line, printable."""
    return display_name("", identity)[:_ID_CHARACTERS]


def is_text(character: str) -> bool:
    """Return whether the character belongs into a text.

    Control codes, lone surrogates and marks that change the writing direction do not;
    the joiners that emoji and several scripts need do.
    """
    if character in _NEEDED:
        return True
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs"}


def _spelling(name: str) -> str:
    """Return the name without differences that cannot be seen."""
    visible = "".join(x for x in name if unicodedata.category(x) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold().strip()


def _one_line(name: str) -> str:
    words = "".join(x if is_text(x) else " " for x in name).split()
    return " ".join(words)[:_NAME_CHARACTERS].strip()
