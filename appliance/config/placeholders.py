"""Placeholders such as `{identity}` in the token request of a room."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from typing import Final

PLACEHOLDERS: Final = ("identity", "display_name", "room")
"""Names that are filled in; `name` is the older spelling of `display_name`."""
_KNOWN: Final = {*PLACEHOLDERS, "name"}
# `{{x}}` is written for the text `{x}`.
_MARK: Final = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return the text with each placeholder replaced once; `{{x}}` becomes `{x}`."""
    return _MARK.sub(lambda mark: _replacement(mark, values), text)


def used(value: object) -> set[str]:
    """Return the names in braces in all texts of a JSON value."""
    marks = chain.from_iterable(map(_MARK.finditer, texts(value)))
    return {mark[2] for mark in marks if mark[2]}


def placeholder_fault(value: object) -> str | None:
    """Return what is wrong with the placeholders of a JSON value; None: nothing."""
    for name in sorted(used(value) - _KNOWN):
        near = get_close_matches(name.lower(), PLACEHOLDERS, n=1, cutoff=0.4)
        known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
        hint = f"Did you mean {{{near[0]}}}?" if near else f"Known here: {known}."
        return (
            f"unknown placeholder {{{name}}}. {hint} "
            f"Write {{{{{name}}}}} for the text itself."
        )
    return None


def texts(value: object, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield every text in a JSON value, at any depth.

    Args:
        value: of the configuration.
        without: keys whose values are left out.
    """
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                if key not in without:
                    yield from texts(item, without)
        case list():
            for item in value:
                yield from texts(item, without)


def _replacement(mark: re.Match[str], values: Mapping[str, str]) -> str:
    literal, name = mark.groups()
    if literal is not None:
        return f"{{{literal}}}"
    return values.get(name, mark[0])
