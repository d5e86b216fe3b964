"""Strict YAML: plain values only, without tags, aliases and repeated keys.

Built on the events of PyYAML's C parser and not on its loaders: those keep the last of
two equal keys, read `017` as 15 and `2026-01-01` as a date, and the C loader of 6.0.3
crashes on a hundred thousand brackets. A subclass of the Python loader would save 30
lines, but needs 3.1 ms instead of 0.2 ms for `config.yaml`, and its messages quote the
offending text, which may be part of a secret.
"""

import re
from collections.abc import Iterator

import yaml
from yaml._yaml import Mark as CMark
from yaml.error import Mark, MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from appliance.errors import ConfigError, Fault

MAX_BYTES = 256 * 1024
"""Our choice: fifty times the size of `config.yaml`."""
_MAX_DEPTH = 20
_TAG = "found a tag (!). Use quotes if it is text."
_TOO_DEEP = "nested too deeply. Write it flatter."

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
# At most 18 digits: no key needs a larger number.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})|0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}([eE][-+]?[0-9]{1,2})?")


def read_yaml(text: str, source: str) -> object:
    """Return the one value that `text` holds, None if it holds nothing.

    Raises:
        ConfigError: it is not YAML, or uses features that no configuration needs; the
            fault names line and column, never a value.
    """
    if "\0" in text or len(text) > MAX_BYTES:
        raise _error(source, "expected a short text, found something else.")
    try:
        return _document(yaml.parse(text, yaml.CSafeLoader), source)
    except MarkedYAMLError as exc:
        raise _not_yaml(exc, source) from exc
    except (YAMLError, UnicodeError) as exc:
        raise _error(
            source, "has characters that YAML forbids. Save it as UTF-8 text."
        ) from exc


def read_mapping(text: str, source: str) -> dict[str, object]:
    """Return the keys and values of a whole file; an empty one has none.

    Raises:
        ConfigError: see `read_yaml`; or the text is not a mapping.
    """
    value = read_yaml(text, source)
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a single value"
        sentence = f'expected keys such as "room:", found {kind}.'
        raise ConfigError((Fault("line 1, column 1", sentence, source),))
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


def _document(events: Iterator[Event], source: str) -> object:
    value: object = None
    documents = 0
    for event in events:
        if isinstance(event, DocumentEndEvent):
            documents += 1
        elif isinstance(
            event, ScalarEvent | AliasEvent | MappingStartEvent | SequenceStartEvent
        ):
            if documents:
                raise _error(source, "found a second document. Keep one.", event)
            value = _value(event, events, source, ())
    return value


def _value(
    event: Event, events: Iterator[Event], source: str, path: tuple[str, ...]
) -> object:
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
        raise _error(source, "found an anchor or alias (& or *). Use quotes.", event)
    if isinstance(event, MappingStartEvent | SequenceStartEvent) and event.tag:
        raise _error(source, _TAG, event)
    if len(path) > _MAX_DEPTH:
        raise _error(source, _TOO_DEEP, event)
    if isinstance(event, MappingStartEvent):
        return _mapping(events, source, path)
    if isinstance(event, SequenceStartEvent):
        return _sequence(events, source, path)
    assert isinstance(event, ScalarEvent)
    return _scalar(event, source)


def _scalar(event: ScalarEvent, source: str) -> object:
    if event.tag is not None:
        raise _error(source, _TAG, event)
    is_plain = event.implicit[0]
    return scalar(event.value) if is_plain else event.value


def _sequence(
    events: Iterator[Event], source: str, path: tuple[str, ...]
) -> list[object]:
    values: list[object] = []
    for event in events:
        if isinstance(event, SequenceEndEvent):
            break
        values.append(_value(event, events, source, (*path, str(len(values)))))
    return values


def _mapping(
    events: Iterator[Event], source: str, path: tuple[str, ...]
) -> dict[str, object]:
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    for event in events:
        if isinstance(event, MappingEndEvent):
            break
        key = _key(event, source)
        line = _line(event)
        if key in values:
            raise _twice(source, (*path, key), lines[key], line)
        lines[key] = line
        following = next(events)
        values[key] = _value(following, events, source, (*path, key))
    return values


def _key(event: Event, source: str) -> str:
    """Return the key as it is written: `on` is a key of that name, not a boolean."""
    if not isinstance(event, ScalarEvent) or event.anchor or event.tag:
        raise _error(source, 'expected a key such as "room:".', event)
    return event.value


def _twice(source: str, path: tuple[str, ...], first: int, second: int) -> ConfigError:
    sentence = f"given twice, in lines {first} and {second}. Keep one."
    return ConfigError((Fault(".".join(path), sentence, source),))


def _not_yaml(exc: MarkedYAMLError, source: str) -> ConfigError:
    mark = exc.problem_mark or exc.context_mark
    problem = exc.problem or "unreadable"
    # PyYAML 6.0.4 limits the depth itself.
    if "nesting depth" in problem:
        return ConfigError((Fault(_where(mark), _TOO_DEEP, source),))
    sentence = (
        f'not YAML: {problem}. Write "key: value", indented with spaces, and put '
        "values with special characters into quotes."
    )
    return ConfigError((Fault(_where(mark), sentence, source),))


def _error(source: str, sentence: str, event: Event | None = None) -> ConfigError:
    if event is None:
        return ConfigError((Fault("", sentence, source),))
    return ConfigError((Fault(_where(event.start_mark), sentence, source),))


def _where(mark: Mark | CMark | None) -> str:
    if mark is None:
        return ""
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _line(event: Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.line + 1
