"""Strict YAML: plain values only, without tags, aliases and repeated keys.

Built on the events of PyYAML's C parser and not on its loaders: those keep the last of
two equal keys, read `017` as 15 and `2026-01-01` as a date, and quote text in their
messages, which may be part of a secret.
"""

import re
from collections.abc import Iterator
from json import dumps
from typing import Final

import msgspec
import yaml
from yaml._yaml import Mark as CMark
from yaml.error import Mark, MarkedYAMLError, YAMLError
from yaml.events import (
    CollectionStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from appliance.errors import ConfigError, Fault

MAX_BYTES = 256 * 1024
"""Our choice: fifty times the size of `config.yaml`."""
MAX_DEPTH = 20
"""Levels of keys and lists; our choice: four times those of `config.yaml`."""
_LONGEST_FOUND = 60

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
# At most 18 digits: no key needs a larger number.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})|0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}([eE][-+]?[0-9]{1,2})?")

SPACED: Final = "with a space after each colon"


class _UnwantedError(Exception):
    """A feature of YAML that no configuration needs; key and sentence of a fault."""


def read_yaml(text: str, source: str) -> object:
    """Return the one value that `text` holds, None if it holds nothing.

    The fault of a `ConfigError` names line and column, never a value.
    """
    if "\0" in text or len(text) > MAX_BYTES:
        sentence = "expected a short text, found something else."
        raise ConfigError(Fault("", sentence, source))
    try:
        return _document(yaml.parse(text, yaml.CSafeLoader))
    except _UnwantedError as exc:
        key, sentence = exc.args
        raise ConfigError(Fault(key, sentence, source)) from exc
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        sentence = (
            f'not YAML: {exc.problem}. Write "key: value", indented with spaces '
            "instead of tabs, and put values with special characters into quotes."
        )
        raise ConfigError(Fault(_where(mark), sentence, source)) from exc
    except (YAMLError, UnicodeError) as exc:
        sentence = "has characters that YAML forbids. Save it as UTF-8 text."
        raise ConfigError(Fault("", sentence, source)) from exc


def read_mapping(text: str, source: str) -> dict[str, object]:
    """Return the keys and values of a whole file, or raise `ConfigError`."""
    value = read_yaml(text, source)
    if value is None:
        return {}
    if not isinstance(value, dict):
        sentence = f'expected keys such as "room:", {SPACED}, found something else.'
        raise ConfigError(Fault("line 1, column 1", sentence, source))
    return value


def scalar(text: str) -> object:
    """Return the value of an unquoted `text`: null, a boolean, a number or itself."""
    if text in _NULL:
        return None
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if _INT.fullmatch(text):
        return int(text, 16 if text.startswith("0x") else 10)
    return float(text) if _FLOAT.fullmatch(text) else text


def written(value: object) -> str:
    """Return the value as YAML on one line."""
    text = yaml.safe_dump(
        msgspec.to_builtins(value),
        default_flow_style=True,
        allow_unicode=True,
        sort_keys=False,
        # Longer than any value, so that it is not broken.
        width=1_000_000,
    )
    return str(text).removesuffix("\n").removesuffix("\n...")


def found(value: object) -> str:
    """Return the value as it was written, cut to one short line, for a fault."""
    if value is None:
        return "nothing"
    is_text = isinstance(value, str)
    text = dumps(value, ensure_ascii=False) if is_text else written(value)
    if len(text) <= _LONGEST_FOUND:
        return text
    return f"{text[: _LONGEST_FOUND - 1]}…"


def _document(events: Iterator[Event]) -> object:
    values: list[object] = []
    for event in events:
        if isinstance(event, NodeEvent):
            if values:
                raise _unwanted(event, "found a second document. Keep one.")
            values.append(_value(event, events, ()))
    return values[0] if values else None


def _value(event: Event, events: Iterator[Event], path: tuple[str, ...]) -> object:
    assert isinstance(event, NodeEvent)
    if event.anchor is not None:
        raise _unwanted(event, "found an anchor or alias (& or *). Use quotes.")
    assert isinstance(event, ScalarEvent | CollectionStartEvent)
    if event.tag is not None:
        raise _unwanted(event, "found a tag (!). Use quotes if it is text.")
    if len(path) > MAX_DEPTH:
        raise _unwanted(event, "nested too deeply. Write it flatter.")
    if isinstance(event, ScalarEvent):
        return scalar(event.value) if _is_plain(event) else event.value
    if isinstance(event, SequenceStartEvent):
        return _sequence(events, path)
    return _mapping(events, path)


def _sequence(events: Iterator[Event], path: tuple[str, ...]) -> list[object]:
    values: list[object] = []
    while isinstance(event := next(events), NodeEvent):
        values.append(_value(event, events, (*path, str(len(values)))))
    return values


def _mapping(events: Iterator[Event], path: tuple[str, ...]) -> dict[str, object]:
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    while isinstance(event := next(events), NodeEvent):
        key = _key(event)
        line = 0 if event.start_mark is None else event.start_mark.line + 1
        if key in values:
            sentence = f"given twice, in lines {lines[key]} and {line}. Keep one."
            raise _UnwantedError(".".join((*path, key)), sentence)
        lines[key] = line
        values[key] = _value(next(events), events, (*path, key))
        if values[key] is None and ":" in key and _is_plain(event):
            # Not quoted: what is behind the colon may be a secret.
            raise _unwanted(event, "found a colon without a space. Write one after it.")
    return values


def _key(event: NodeEvent) -> str:
    """Return the key as it is written: `on` is a key of that name, not a boolean."""
    if not isinstance(event, ScalarEvent) or event.anchor or event.tag:
        raise _unwanted(event, 'expected a key such as "room:".')
    if "\N{NO-BREAK SPACE}" in event.value and _is_plain(event):
        raise _unwanted(event, "found a no-break space. Write ordinary spaces.")
    return event.value


def _is_plain(event: Event) -> bool:
    """Return whether the event is a text without quotes."""
    return isinstance(event, ScalarEvent) and event.implicit[0]


def _unwanted(event: Event, sentence: str) -> _UnwantedError:
    return _UnwantedError(_where(event.start_mark), sentence)


def _where(mark: Mark | CMark | None) -> str:
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
