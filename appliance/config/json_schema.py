"""JSON Schema of `config.yaml`, written by msgspec.

The description of a key is the docstring below its field, where editors show it too.
Python does not keep these docstrings at run time, so they are read from the source.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, is_dataclass
from itertools import pairwise
from typing import Any

import msgspec

from appliance import config as config_module
from appliance.config import Config, Preset
from appliance.config.schema_fields import Section, as_section, fields_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""Dialect that msgspec writes."""

Schema = dict[str, Any]


def config_schema() -> Schema:
    """Return the schema of the whole file."""
    _, schemas = msgspec.json.schema_components(
        [Config], schema_hook=_any_value, ref_template="#/$defs/{name}"
    )
    for name, schema in schemas.items():
        shape = as_section(getattr(config_module, name))
        if shape is not None:
            _complete(schema, shape)
    whole = schemas.pop(Config.__name__)
    return {"$schema": DIALECT, **whole, "title": "ptt-appliance", "$defs": schemas}


def _complete(schema: Schema, shape: type[Section]) -> None:
    """Add descriptions and defaults, and forbid other keys."""
    schema["description"] = inspect.getdoc(shape)
    schema["additionalProperties"] = False
    keys = schema["properties"]
    docs = _docs(shape)
    for field in fields_of(shape):
        key = keys[field.key]
        section = as_section(field.wanted)
        if section is not None:
            # In YAML a section is null when all of its keys are left out.
            key = {"anyOf": [key, {"type": "null"}]}
            docs[field.key] = inspect.getdoc(section) or ""
        elif shape is Preset:
            # A key that is not given is as in `room`, not as by default.
            key.pop("default", None)
        elif field.default is not MISSING:
            key["default"] = msgspec.to_builtins(field.default)
        keys[field.key] = key | {"description": docs[field.key]}


def _any_value(_: type) -> Schema:
    """Return the schema of `object`: any value of YAML."""
    return {"type": ["null", "boolean", "number", "string", "array", "object"]}


def _docs(shape: type) -> dict[str, str]:
    """Return field → the docstring below it, those of the base classes included."""
    sources = (inspect.getsource(x) for x in reversed(shape.__mro__) if is_dataclass(x))
    return {
        name: inspect.cleandoc(text)
        for source in sources
        for pair in pairwise(ast.walk(ast.parse(source)))
        for name, text in _documented(pair)
    }


def _documented(pair: tuple[ast.AST, ast.AST]) -> Iterator[tuple[str, str]]:
    """Yield name and docstring if a field is followed by one."""
    match pair:
        case (
            ast.AnnAssign(target=ast.Name(id=name)),
            ast.Expr(value=ast.Constant(value=str(text))),
        ):
            yield name, text
