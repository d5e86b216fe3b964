"""Parts of a fault sentence: expected type, value found, advice."""

import re
from collections.abc import Iterator
from dataclasses import MISSING
from difflib import get_close_matches
from enum import Enum
from json import dumps
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, Union, get_args, get_origin

import msgspec
import yaml

from appliance.config.schema import Section, as_section, fields_of, fits, long_form
from appliance.config.yaml import scalar

_LONGEST_FOUND = 60
_UNIONS = {Union, UnionType}
_NUMBER: Final = re.compile(r"(?:GPIO|GP|BCM)?\s*(\d{1,9})\s*%?", re.IGNORECASE)
"""Text that stands for a number; `BOARD13` names no GPIO, and `2 min` is not 2 s."""


def expected(wanted: object) -> str:
    """Return what may be written for a key of type `wanted`."""
    meta, bare = next(_metas(wanted), msgspec.Meta()), _bare(wanted)
    if meta.title is not None:
        return meta.title
    if choices := _choices(bare):
        words = [written(choice) for choice in choices]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if get_origin(bare) in _UNIONS:
        return " or ".join(map(expected, _arms(bare))) or _long_form(bare)
    if get_origin(bare) is tuple:
        return f"a list, each {expected(get_args(bare)[0])}"
    if get_origin(bare) is dict:
        return "a mapping such as {key: text}"
    return _noun(bare, meta)


def found(value: object) -> str:
    """Return the value as it was written, cut to one short line."""
    if value is None:
        return "nothing"
    is_text = isinstance(value, str)
    text = dumps(value, ensure_ascii=False) if is_text else written(value)
    if len(text) <= _LONGEST_FOUND:
        return text
    return f"{text[: _LONGEST_FOUND - 1]}…"


def advice(value: object, wanted: object, default: object) -> str:
    """Return a sentence with a valid value to write instead of `value`."""
    for candidate in _candidates(value, wanted):
        if fits(candidate, wanted):
            return f" Write {written(candidate)}."
    if default is MISSING:
        default = _example(wanted)
    if default not in (None, (), {}):
        return f" Write for example {written(default)}."
    return " Or write null to leave it out." if may_be_null(wanted) else ""


def example_of(shape: type[Section]) -> dict[str, object]:
    """Return a section with an example for each required key."""
    required = (field for field in fields_of(shape) if field.default is MISSING)
    return {field.key: _example(field.wanted) for field in required}


def may_be_null(wanted: object) -> bool:
    """Return whether a key of type `wanted` may be null."""
    return NoneType in get_args(wanted)


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


def _candidates(value: object, wanted: object) -> Iterator[object]:
    """Yield values that may have been meant, the likeliest first."""
    if isinstance(value, bool | int | float):
        yield written(value)
    if not isinstance(value, str):
        return
    names = [str(choice) for arm in _arms(wanted) for choice in _choices(_bare(arm))]
    near = get_close_matches(value.lower(), names, n=1)
    yield from (scalar(name) for name in near)
    yield scalar(value.strip())
    if number := _NUMBER.fullmatch(value.strip()):
        yield int(number[1])
    yield [value]


def _noun(bare: object, meta: msgspec.Meta) -> str:
    low, high = meta.ge, meta.le
    if bare is bool:
        return "true or false"
    if bare in {int, float}:
        noun = "a whole number" if bare is int else "a number"
        if low is None or high is None:
            return noun
        return f"{noun} {low}-{high}" if low >= 0 else f"{noun} {low} to {high}"
    if bare is str:
        most = meta.max_length
        return "text" if most is None else f"text of 1-{most} characters"
    return "a value"


def _metas(wanted: object) -> Iterator[msgspec.Meta]:
    return (part for part in get_args(wanted) if isinstance(part, msgspec.Meta))


def _example(wanted: object) -> object:
    return next((x.examples[0] for x in _metas(wanted) if x.examples), None)


def _bare(wanted: object) -> object:
    return get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted


def _choices(bare: object) -> tuple[object, ...]:
    if isinstance(bare, type) and issubclass(bare, Enum):
        return tuple(choice.value for choice in bare)
    return get_args(bare) if get_origin(bare) is Literal else ()


def _arms(wanted: object) -> list[object]:
    """Return the types to name in a sentence: not null and not the long form."""
    bare = _bare(wanted)
    arms = get_args(bare) if get_origin(bare) in _UNIONS else (bare,)
    return [arm for arm in arms if arm is not NoneType and as_section(arm) is None]


def _long_form(union: object) -> str:
    """Return the keys of a union that has only the long form."""
    shape = long_form(union)
    keys = [field.key for field in fields_of(shape)] if shape else []
    return f"{{{', '.join(f'{key}: …' for key in keys)}}}"
