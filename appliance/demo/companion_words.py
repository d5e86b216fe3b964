"""What the companion writes, so that both ends know an answer when they see one."""

from typing import Final

ANSWER: Final = "You wrote: "
LONGEST_QUOTE: Final = 500
"""Characters of somebody's line that are quoted."""


def answer(text: str) -> str:
    """Return what is written in answer to this line."""
    return ANSWER + text[:LONGEST_QUOTE]


def is_answer(text: str) -> bool:
    """Whether this is an answer of the companion's."""
    return text.startswith(ANSWER)
