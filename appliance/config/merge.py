"""Merge of layers of raw values, and one sentence about each that cannot be used.

Mappings merge key by key, everything else is replaced by the highest layer. The value
of a secret never appears in a fault.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from appliance.config.schema import (
    SchemaField,
    Section,
    as_section,
    fields_of,
    join,
    leaves,
    list_item,
    long_form,
    split_key,
)
from appliance.config.yaml import SPACED, found, scalar, written
from appliance.errors import Fault

_NAME: Final = r"[\w-]{1,40}(?:\[\d+\])?"
_KEY: Final = re.compile(rf"{_NAME}(?:\.{_NAME})*\.?")
"""Full key, as far as it cannot be the beginning of a secret value."""
_NUMBER: Final = re.compile(r"(?:GPIO|GP|BCM)?\s*(\d{1,9})\s*%?", re.IGNORECASE)
"""Text that stands for a number; `BOARD13` names no GPIO, and `2 min` is not 2 s."""
_UNIONS: Final = {Union, UnionType}


@dataclass(frozen=True, slots=True)
class Layer:
    """Raw values from one source."""

    source: str
    """Name in faults: a file, `environment` or `--set`."""
    values: Mapping[str, object]
    spell: Callable[[str], str] = str
    """Spelling of a full key such as `room.token_url` in this source."""


class Reading:
    """Usable values of all layers, and the faults of the others."""

    def __init__(
        self, root: type[Section], layers: Sequence[Layer], faults: Iterable[Fault]
    ) -> None:
        """Merge the layers, lowest first; `root` is the class of the configuration.

        `faults` are those found in reading the layers.
        """
        self.faults = [*faults]
        self.origins: dict[str, Layer] = {}
        """Full key → highest layer that gives it; of a section, the lowest one."""
        self._blamed: set[str] = set()
        self._root = root
        self._lowest = layers[0]
        self._sections = {x.key: as_section(x.wanted) for x in fields_of(root)}
        """Class of each section; None for a key that is not one."""
        self._mappings = {x.key for x in leaves(root) if get_origin(x.wanted) is dict}
        merged: dict[str, object] = {}
        for layer in layers:
            self._merge(merged, layer.values, layer)
        self.values: dict[str, Any] = self._section(root, "", merged)
        """Values from which `msgspec.convert` makes a `root`."""

    def blame(self, key: str, sentence: str) -> None:
        """Add a fault, with the key as its source spells it.

        The source is the layer that gives the key or the one above it, else the lowest.
        """
        self._blamed.add(key)
        layer = self._layer(key)
        self.faults.append(Fault(layer.spell(_shown(key)), sentence, layer.source))

    def blame_all(self, findings: Iterable[tuple[str, str]]) -> None:
        """Add key and sentence of each finding, unless the key has a fault already."""
        for key, sentence in findings:
            if key not in self._blamed:
                self.blame(key, sentence)

    def _merge(
        self,
        below: dict[str, object],
        values: Mapping[str, object],
        layer: Layer,
        key: str = "",
    ) -> None:
        """Add the values of one layer, at the full key, to those of the lower ones."""
        for name, value in values.items():
            full, known = join(key, name), below.get(name)
            is_section = self._sections.get(full) is not None
            if full in self._mappings and not isinstance(known, dict | None):
                # The value of a lower layer is wrong, and is reported.
                continue
            if is_section and not isinstance(value, dict):
                # The other layers count; null: all keys of the section are left out.
                if value is not None:
                    form = f"{_keys(self._sections[full])}, {SPACED}"
                    sentence = f"expected keys such as {form}, found something else."
                    self.faults.append(Fault(layer.spell(full), sentence, layer.source))
                continue
            if not is_section or full not in self.origins:
                self.origins[full] = layer
            if isinstance(value, dict):
                inner = known if isinstance(known, dict) else {}
                below[name] = inner
                self._merge(inner, value, layer, full)
            else:
                below[name] = value

    def _layer(self, key: str) -> Layer:
        while key and key not in self.origins:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.origins.get(key, self._lowest)

    def _section(
        self, shape: type[Section], key: str, given: Mapping[str, object]
    ) -> dict[str, object]:
        """Return the usable values of the section with this full key."""
        known = {split_key(field.key)[1]: field for field in fields_of(shape, key)}
        for name in given:
            if name not in known:
                full = join(key, name)
                self.blame(full, self._unknown(name, known, self._layer(full)))
        values = {
            name: self._usable(field, given.get(name))
            for name, field in known.items()
            if name in given or field.default is MISSING
        }
        return {name: x for name, x in values.items() if x is not MISSING}

    def _usable(self, field: SchemaField, value: object) -> object:
        """Return the usable part of a value; `MISSING`: the default takes its place."""
        key, wanted = field.key, field.wanted
        section, item = as_section(wanted), list_item(wanted)
        if section is not None and isinstance(value, dict):
            return self._section(section, key, value)
        if isinstance(value, list) and item is not None:
            return self._items(field, value, item)
        if (shape := as_section(item)) is not None:
            # Not the value, which may be a secret.
            example = written(_example_of(shape))
            seen = "nothing" if value is None else "something else"
            self.blame(key, f"expected a list such as [{example}], found {seen}.")
            return MISSING
        if isinstance(value, dict):
            return self._mapping(field, value)
        return self._leaf(field, value)

    def _mapping(self, field: SchemaField, value: Mapping[str, object]) -> object:
        """Return the usable part of a mapping that is not a section."""
        shape = long_form(field.wanted)
        if shape is not None:
            kept = self._section(shape, field.key, value)
            return kept if _example_of(shape).keys() <= kept.keys() else None
        if get_origin(field.wanted) is not dict:
            return self._leaf(field, value)
        inner = replace(field, wanted=get_args(field.wanted)[1], default=None)
        values = {
            name: self._leaf(replace(inner, key=join(field.key, name)), x)
            for name, x in value.items()
        }
        return {name: x for name, x in values.items() if x is not MISSING}

    def _items(
        self, field: SchemaField, values: list[object], wanted: object
    ) -> object:
        """Return the usable items of a list; sections keep their place and number."""
        shape = as_section(wanted)
        keys = [f"{field.key}[{at}]" for at in range(len(values))]
        if shape is not None:
            return [self._item(shape, *each) for each in zip(keys, values, strict=True)]
        inner = replace(field, wanted=wanted, default=MISSING)
        items = [
            self._leaf(replace(inner, key=key), value)
            for key, value in zip(keys, values, strict=True)
        ]
        return MISSING if MISSING in items else items

    def _item(self, shape: type[Section], key: str, value: object) -> dict[str, object]:
        """Return a section in a list; its key stands for required texts with a fault.

        No fault shows its value, which may be a secret.
        """
        example = _example_of(shape)
        kept: dict[str, object] = dict.fromkeys(example, key)
        if isinstance(value, dict):
            return kept | self._section(shape, key, value)
        sentence = f"expected {written(example)[:-1]}, …}}, found something else."
        self.blame(key, sentence)
        return kept

    def _leaf(self, field: SchemaField, value: object) -> object:
        """Return the value if it has its type; else null where that is allowed."""
        if _fits(value, field.wanted):
            return value
        # The query of an address may hold a key.
        if value is not None and (field.is_secret or field.key.endswith("url")):
            seen = "something else, which is not shown. Put text into quotes."
        else:
            seen = f"{found(value)}.{_advice(value, field.wanted, field.default)}"
        self.blame(field.key, f"expected {_expected(field.wanted)}, found {seen}")
        return None if _may_be_null(field.wanted) else MISSING

    def _unknown(
        self, name: str, known: Mapping[str, SchemaField], layer: Layer
    ) -> str:
        name, every = name.lower(), [leaf.key for leaf in leaves(self._root)]
        # The key of another section, or a full key with dots or underscores.
        near = [
            leaf
            for leaf in every
            if split_key(leaf)[1] == name
            or f"{name}.".replace("_", ".").startswith(f"{leaf}.".replace("_", "."))
        ]
        if "." in name:
            near += get_close_matches(name, every, n=1)
        near += [known[match].key for match in get_close_matches(name, known, n=1)]
        if not near:
            return f"unknown key. Known here: {', '.join(known)}."
        section, key = split_key(near[0])
        # In a file a key is written below its section, and not with dots.
        is_file = layer.source not in {"environment", "--set"}
        is_here = key in known and "." not in name
        if is_file and section and not is_here:
            form = f'"{section}:" and below it, indented, "{key}: …"'
            return f"unknown key. Write {form}."
        return f"unknown key. Did you mean {layer.spell(near[0])}?"


def _shown(key: str) -> str:
    """Return a full key, cut where a value may begin, which may be a secret."""
    begin = _KEY.match(key)
    known = begin[0] if begin else ""
    return key if known == key else f"{known}…"


def _fits(value: object, wanted: object) -> bool:
    """Return whether a key of type `wanted` accepts `value` as it is."""
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def _expected(wanted: object) -> str:
    """Return what may be written for a key of type `wanted`."""
    meta, bare = next(_metas(wanted), msgspec.Meta()), _bare(wanted)
    if meta.title is not None:
        return meta.title
    if choices := _choices(bare):
        words = [written(choice) for choice in choices]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if get_origin(bare) in _UNIONS:
        return " or ".join(map(_expected, _arms(bare))) or _keys(long_form(bare))
    if get_origin(bare) is tuple:
        return f"a list, each {_expected(get_args(bare)[0])}"
    if get_origin(bare) is dict:
        return "a mapping such as {key: text}"
    return _noun(bare, meta)


def _noun(bare: object, meta: msgspec.Meta) -> str:
    low, high = meta.ge, meta.le
    if bare is bool:
        return "true or false"
    if bare is str:
        most = meta.max_length
        return "text" if most is None else f"text of 1-{most} characters"
    noun = "a whole number" if bare is int else "a number"
    if low is None or high is None:
        return noun
    return f"{noun} {low}-{high}" if low >= 0 else f"{noun} {low} to {high}"


def _keys(shape: type[Section] | None) -> str:
    """Return the form of a section on one line: its first keys, without values."""
    keys = [field.key for field in fields_of(shape)][:2] if shape else []
    return f"{{{', '.join(f'{key}: …' for key in keys)}}}"


def _advice(value: object, wanted: object, default: object) -> str:
    """Return a sentence with a valid value to write instead of `value`."""
    for candidate in _candidates(value, wanted):
        if _fits(candidate, wanted):
            return f" Write {written(candidate)}."
    if default is MISSING:
        default = _example(wanted)
    if default is not None and (value is None or default not in ((), {})):
        return f" Write for example {written(default)}."
    return " Or write null to leave it out." if _may_be_null(wanted) else ""


def _candidates(value: object, wanted: object) -> Iterator[object]:
    """Yield values that may have been meant, the likeliest first."""
    if value is False or value == "none":
        yield None
    if isinstance(value, bool | int | float):
        yield written(value)
    if not isinstance(value, str):
        return
    names = [str(choice) for arm in _arms(wanted) for choice in _choices(_bare(arm))]
    written_as = {name.lower(): name for name in names}
    near = get_close_matches(value.lower(), written_as, n=1)
    yield from (scalar(written_as[name]) for name in near)
    yield scalar(value.strip())
    if number := _NUMBER.fullmatch(value.strip()):
        yield int(number[1])
    yield [value]


def _example_of(shape: type[Section]) -> dict[str, object]:
    """Return a section with an example for each required key."""
    required = (field for field in fields_of(shape) if field.default is MISSING)
    return {field.key: _example(field.wanted) for field in required}


def _example(wanted: object) -> object:
    return next((x.examples[0] for x in _metas(wanted) if x.examples), None)


def _may_be_null(wanted: object) -> bool:
    return NoneType in get_args(wanted)


def _metas(wanted: object) -> Iterator[msgspec.Meta]:
    return (part for part in get_args(wanted) if isinstance(part, msgspec.Meta))


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
