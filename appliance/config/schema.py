"""Keys of a section, read from the fields of its dataclass, and the JSON Schema.

A field declared with `repr=False` holds a secret.
"""

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Protocol, get_args, get_origin, get_type_hints

import msgspec

from appliance.config import Config, Preset

Schema = dict[str, Any]


class Section(Protocol):
    """Protocol of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


@dataclass(frozen=True, slots=True)
class SchemaField:
    """One key of a section."""

    key: str
    """Full key, levels joined with dots."""
    wanted: object
    """Annotated type."""
    default: object
    """`MISSING` for a required key."""
    is_secret: bool


def fields_of(shape: type[Section], key: str = "") -> Iterator[SchemaField]:
    """Yield the keys of a section, required ones first; `key` is its full key."""
    hints = get_type_hints(shape, include_extras=True)
    for field in sorted(fields(shape), key=lambda x: _default(x) is not MISSING):
        full, wanted = join(key, field.name), hints[field.name]
        yield SchemaField(full, wanted, _default(field), is_secret=not field.repr)


def leaves(shape: type[Section], key: str = "") -> Iterator[SchemaField]:
    """Yield every key that holds a value, at any depth; `key` is the section's."""
    for field in fields_of(shape, key):
        inner = as_section(field.wanted)
        if inner is not None:
            yield from leaves(inner, field.key)
        else:
            yield field


def join(key: str, name: str) -> str:
    """Return the full key of `name` in the section `key`."""
    return f"{key}.{name}" if key else name


def split_key(full: str) -> tuple[str, str]:
    """Return the section and the name of a full key."""
    section, _, name = full.rpartition(".")
    return section, name


def long_form(wanted: object) -> type[Section] | None:
    """Return the dataclass in a union such as `GpioNumber | Pin | None`, if any."""
    arms = () if get_origin(wanted) is tuple else get_args(wanted)
    return next(filter(None, map(as_section, arms)), None)


def list_item(wanted: object) -> object:
    """Return the type of the items of a list, or of the list in a union; else None."""
    arms = (wanted, *get_args(wanted))
    lists = (arm for arm in arms if get_origin(arm) is tuple)
    return next((get_args(arm)[0] for arm in lists), None)


def as_section(wanted: object) -> type[Section] | None:
    """Return the type if it is a section of its own, else None."""
    return wanted if isinstance(wanted, type) and is_dataclass(wanted) else None


def _default(field: Field[Any]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def config_schema() -> Schema:
    """Return the schema of the whole file."""
    # Of `object`: any value of YAML.
    value = {"type": ["null", "boolean", "number", "string", "array", "object"]}
    _, schemas = msgspec.json.schema_components(
        [Config], schema_hook=lambda _: value, ref_template="#/$defs/{name}"
    )
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    for about in schemas[Preset.__name__]["properties"].values():
        # A key that is not given is as in `room`, not as by default.
        about.pop("default", None)
    whole = schemas.pop(Config.__name__)
    # In YAML a section is null when all of its keys are left out.
    whole["properties"] |= {
        key: {"anyOf": [about, {"type": "null"}]}
        for key, about in whole["properties"].items()
        if "$ref" in about
    }
    # That is the dialect which msgspec writes.
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **whole, "title": "ptt-appliance", "$defs": schemas}
