"""Effective configuration with the origin of each value, secrets hidden."""

from collections.abc import Iterator

import msgspec

from appliance.config import Config
from appliance.config.load import Loaded
from appliance.config.messages import written
from appliance.config.schema_fields import (
    Part,
    Section,
    as_section,
    item_section,
    parts,
    split_key,
)
from appliance.net.url import without_query

_HIDDEN = "…"
_COMMENT_COLUMN = 48


def show(loaded: Loaded) -> str:
    """Return YAML with the origin of each value in a comment."""
    return "\n".join(_lines(loaded))


def values(loaded: Loaded) -> dict[str, dict[str, object]]:
    """Return full key → value and origin, for scripts."""
    return {
        part.key: {"value": seen(part), "origin": loaded.origin(part.key)}
        for part in _flat(loaded.config)
    }


def seen(part: Part) -> object:
    """Return the value as it may be shown: no secret, no query of an address."""
    value = part.default
    if item_section(part.wanted) is not None:
        assert isinstance(value, tuple)
        return [_given(item) for item in value]
    if isinstance(value, dict) and part.is_secret:
        return dict.fromkeys(value, _HIDDEN)
    if value is not None and part.is_secret:
        return _HIDDEN
    if isinstance(value, str) and "?" in value and part.key.endswith("url"):
        return f"{without_query(value)}?{_HIDDEN}"
    return msgspec.to_builtins(value)


def _lines(loaded: Loaded) -> Iterator[str]:
    section = ""
    for part in _flat(loaded.config):
        parent, name = split_key(part.key)
        if parent and parent != section:
            yield f"{parent}:"
        section = parent
        line = f"{'  ' if parent else ''}{name}: {written(seen(part))}"
        yield f"{line:<{_COMMENT_COLUMN}}  # {loaded.origin(part.key)}"


def _flat(base: Config) -> Iterator[Part]:
    """Yield every key that holds a value, with that value as its default."""
    for part in parts(Config, "", base):
        inner = as_section(part.wanted)
        if inner is None:
            yield part
        else:
            yield from parts(inner, part.key, part.default)


def _given(section: Section) -> dict[str, object]:
    """Return what differs from the defaults in an item of a list."""
    shape = type(section)
    return {
        part.key: seen(part)
        for part, default in zip(parts(shape, "", section), parts(shape), strict=True)
        if part.default != default.default
    }
