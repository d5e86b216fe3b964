"""Texts in the token request of a room: placeholders as `{identity}`, and secrets."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from appliance.config import Config, RoomSettings

PLACEHOLDERS: Final = ("identity", "display_name", "room")
"""Names that are filled in; `name` is the older spelling of `display_name`."""
_KNOWN: Final = {*PLACEHOLDERS, "name"}
ROOM_KEYS: Final = frozenset({"room", "room_name", "roomName"})
"""Keys that hold no secret: the log names the room that was joined."""
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
    # On the first level `room` may be a key, as it is written.
    inner = value.values() if isinstance(value, Mapping) else ()
    for name in chain.from_iterable(map(_unquoted, inner)):
        return f'{{{name}}} without quotes is no placeholder. Write "{{{name}}}".'
    return None


def _unquoted(value: object) -> Iterator[str]:
    """Yield the placeholders without quotes, of which YAML makes `{room: null}`."""
    match value:
        case Mapping() if list(value.values()) == [None]:
            yield from _KNOWN.intersection(value)
        case Mapping():
            for item in value.values():
                yield from _unquoted(item)
        case list():
            for item in value:
                yield from _unquoted(item)


def texts(value: object, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield every text in a JSON value at any depth, but for the keys `without`."""
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


def secrets(config: Config) -> tuple[str, ...]:
    """Return the values that must never be logged, whatever their length.

    Values with placeholders (`{identity}`) are left out: they are filled in before use,
    so the text with the placeholder appears in no log line.
    """
    rooms = (config.room, *config.room.presets)
    found = {text: None for room in rooms for text in room_secrets(room)}
    query = urlsplit(config.metrics.post_url or "").query
    found |= dict.fromkeys(_query_values(query))
    return tuple(filled(text, {}) for text in found if text and not used(text))


def room_secrets(room: RoomSettings) -> Iterator[str]:
    """Yield every text that may authenticate the appliance to the token source."""
    yield room.token or ""
    yield from texts(room.token_headers, ROOM_KEYS)
    yield from texts(room.token_query, ROOM_KEYS)
    yield from texts(room.token_body, ROOM_KEYS)
    yield from _query_values(urlsplit(room.token_url or "").query)


def _query_values(query: str) -> Iterator[str]:
    yield query
    yield from texts(dict(parse_qsl(query)), ROOM_KEYS)
