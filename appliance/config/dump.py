"""Dump of the configuration: what is in force and its origin, secrets hidden."""

from collections.abc import Iterator

import msgspec

from appliance.config import Config
from appliance.config.load import Loaded
from appliance.config.messages import written
from appliance.config.schema import (
    SchemaField,
    Section,
    as_section,
    fields_of,
    item_section,
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
        field.key: {"value": _shown(field), "origin": loaded.origin(field.key)}
        for field in _flat(loaded.config)
    }


def _shown(field: SchemaField) -> object:
    """Return the value as it may be shown: no secret, no query of an address."""
    value = field.default
    if item_section(field.wanted) is not None:
        assert isinstance(value, tuple)
        return [_given(item) for item in value]
    if isinstance(value, dict) and field.is_secret:
        return dict.fromkeys(value, _HIDDEN)
    if value is not None and field.is_secret:
        return _HIDDEN
    if isinstance(value, str) and "?" in value and field.key.endswith("url"):
        return f"{without_query(value)}?{_HIDDEN}"
    return msgspec.to_builtins(value)


def _lines(loaded: Loaded) -> Iterator[str]:
    section = ""
    for field in _flat(loaded.config):
        parent, name = split_key(field.key)
        if parent and parent != section:
            yield f"{parent}:"
        section = parent
        line = f"{'  ' if parent else ''}{name}: {written(_shown(field))}"
        yield f"{line:<{_COMMENT_COLUMN}}  # {loaded.origin(field.key)}"


def _flat(base: Config) -> Iterator[SchemaField]:
    """Yield every key that holds a value, with that value as its default."""
    for field in fields_of(Config, "", base):
        inner = as_section(field.wanted)
        if inner is None:
            yield field
        else:
            yield from fields_of(inner, field.key, field.default)


def _given(section: Section) -> dict[str, object]:
    """Return what differs from the defaults in an item of a list."""
    shape = type(section)
    return {
        field.key: _shown(field)
        for field, default in zip(
            fields_of(shape, "", section), fields_of(shape), strict=True
        )
        if field.default != default.default
    }
