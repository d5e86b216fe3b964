"""Makes the JSON Schema of `config.yaml` from the dataclasses and their docstrings."""

import ast
import inspect
from dataclasses import MISSING
from enum import Enum
from functools import cache
from types import ModuleType
from typing import get_args

import msgspec

from appliance import config as config_module
from appliance.config import Config
from appliance.config.shape import (
    Part,
    Section,
    as_section,
    item_section,
    long_form,
    parts,
)

DIALECT = "http://json-schema.org/draft-07/schema#"

Schema = dict[str, object]


def config_schema() -> Schema:
    """Return the schema of the whole file."""
    schema = _section(Config)
    schema["$schema"] = DIALECT
    schema["title"] = "ptt-appliance"
    return schema


def _section(shape: type[Section]) -> Schema:
    """Return the schema of a section; one without keys is null in YAML."""
    own = list(parts(shape))
    return {
        "type": ["object", "null"],
        "description": inspect.cleandoc(shape.__doc__ or ""),
        "additionalProperties": False,
        "properties": {part.key: _part(shape, part) for part in own},
        "required": [part.key for part in own if part.default is MISSING],
    }


def _part(shape: type[Section], part: Part) -> Schema:
    inner = as_section(part.wanted)
    if inner is not None:
        return _section(inner)
    schema = _type(part.wanted)
    description = _documented(shape, part.key)
    if description:
        schema["description"] = description
    if part.default is not MISSING:
        schema["default"] = msgspec.to_builtins(part.default)
    return schema


def _documented(shape: type[Section], name: str) -> str:
    """Return the docstring of a field, of its own class or of one that it inherits."""
    found = _docstrings(config_module)
    keys = ((above.__name__, name) for above in shape.__mro__)
    return next((found[key] for key in keys if key in found), "")


def _items(shape: type[Section]) -> Schema:
    schema = _section(shape) | {"type": "object"}
    keys = schema["properties"]
    assert isinstance(keys, dict)
    for key in keys.values():
        # A key that is not given is as in `room`, not as by default.
        key.pop("default", None)
    return {"type": "array", "items": schema}


def _type(wanted: object) -> Schema:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return {"enum": [choice.value for choice in wanted]}
    items = item_section(wanted)
    if items is not None:
        return _items(items)
    if long_form(wanted) is not None:
        return {"anyOf": [_arm(arm) for arm in get_args(wanted)]}
    return msgspec.json.schema(wanted, schema_hook=_anything)


def _arm(arm: object) -> Schema:
    inner = as_section(arm)
    return _type(arm) if inner is None else _section(inner) | {"type": "object"}


def _anything(_: type) -> Schema:
    """Return the schema of what `object` means here: any value of YAML."""
    return {"type": ["null", "boolean", "number", "string", "array", "object"]}


@cache
def _docstrings(module: ModuleType) -> dict[tuple[str, str], str]:
    """Return (class, field) → the text below the field."""
    tree = ast.parse(inspect.getsource(module))
    found: dict[tuple[str, str], str] = {}
    for shape in tree.body:
        if isinstance(shape, ast.ClassDef):
            found |= {(shape.name, name): text for name, text in _below(shape)}
    return found


def _below(shape: ast.ClassDef) -> list[tuple[str, str]]:
    pairs = zip(shape.body, shape.body[1:], strict=False)
    return [
        (field.target.id, inspect.cleandoc(text.value.value))
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    ]
