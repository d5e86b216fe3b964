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
from appliance.config import Config, Preset, RoomConfig
from appliance.config.shape import (
    Part,
    Section,
    as_section,
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
    besides = {"presets": _presets()} if shape is RoomConfig else {}
    own = [part for part in parts(shape) if not part.is_apart]
    return {
        "type": ["object", "null"],
        "description": inspect.cleandoc(shape.__doc__ or ""),
        "additionalProperties": False,
        "properties": {part.key: _part(shape, part) for part in own} | besides,
        "required": [part.key for part in own if part.default is MISSING],
    }


def _part(shape: type[Section], part: Part) -> Schema:
    inner = as_section(part.wanted)
    if inner is not None:
        return _section(inner)
    schema = _type(part.wanted)
    description = _docstrings(config_module).get((shape.__name__, part.key))
    if description:
        schema["description"] = description
    if part.default is not MISSING:
        schema["default"] = msgspec.to_builtins(part.default)
    return schema


def _presets() -> Schema:
    """Return the schema of the list that makes `Config.presets`."""
    room = [part for part in parts(RoomConfig) if not part.is_apart]
    keys = {part.key: _part(RoomConfig, part) for part in room}
    for schema in keys.values():
        # What is not given is as in `room`, not as by default.
        schema.pop("default", None)
    name = next(part for part in parts(Preset) if part.key == "name")
    item: Schema = {
        "type": "object",
        "description": inspect.cleandoc(Preset.__doc__ or ""),
        "additionalProperties": False,
        "properties": {"name": _part(Preset, name)} | keys,
        "required": ["name"],
    }
    about = _docstrings(config_module)["Config", "presets"]
    return {"type": "array", "description": about, "default": [], "items": item}


def _type(wanted: object) -> Schema:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return {"enum": [choice.value for choice in wanted]}
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
