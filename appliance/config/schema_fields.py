"""Keys of a section, read from the fields of its dataclass and their annotations.

A field declared with `repr=False` holds a secret.
"""

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import (
    Any,
    ClassVar,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec


class Section(Protocol):
    """Protocol of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


SectionT = TypeVar("SectionT", bound=Section)


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


def fields_of(
    shape: type[Section], key: str = "", base: object = None
) -> Iterator[SchemaField]:
    """Yield the keys of a section, required ones first.

    Args:
        shape: the section's dataclass.
        key: full key of the section.
        base: section whose values are yielded as defaults; None: those of `shape`.
    """
    hints = get_type_hints(shape, include_extras=True)
    for field in sorted(fields(shape), key=lambda x: _default(x) is not MISSING):
        default = _default(field) if base is None else getattr(base, field.name)
        full = join(key, field.name)
        yield SchemaField(full, hints[field.name], default, is_secret=not field.repr)


def leaves(shape: type[Section], key: str = "") -> Iterator[str]:
    """Yield the full key of everything that holds a value."""
    for field in fields_of(shape, key):
        inner = as_section(field.wanted)
        if inner is not None:
            yield from leaves(inner, field.key)
        else:
            yield field.key


def join(key: str, name: str) -> str:
    """Return the full key of `name` in the section `key`."""
    return f"{key}.{name}" if key else name


def split_key(full: str) -> tuple[str, str]:
    """Return the section and the name of a full key."""
    section, _, name = full.rpartition(".")
    return section, name


def long_form(wanted: object) -> type[Section] | None:
    """Return the dataclass in a union such as `GpioNumber | Pin | None`, if any."""
    return None if get_origin(wanted) is tuple else _section_in(wanted)


def item_section(wanted: object) -> type[Section] | None:
    """Return the dataclass in a list such as `tuple[Preset, ...]`, if any."""
    return _section_in(wanted) if get_origin(wanted) is tuple else None


def list_item(wanted: object) -> object:
    """Return the type of the items of a list, or of the list in a union; else None."""
    arms = (wanted, *get_args(wanted))
    lists = (arm for arm in arms if get_origin(arm) is tuple)
    return next((get_args(arm)[0] for arm in lists), None)


def as_section(wanted: object) -> type[Section] | None:
    """Return the type if it is a section of its own, else None."""
    return wanted if isinstance(wanted, type) and is_dataclass(wanted) else None


def fits(value: object, wanted: object) -> bool:
    """Return whether a key of type `wanted` accepts `value` as it is."""
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def _section_in(wanted: object) -> type[Section] | None:
    return next(filter(None, map(as_section, get_args(wanted))), None)


def _default(field: Field[Any]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
