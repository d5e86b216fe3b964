"""Merge of layers of raw values into dataclasses, with one sentence per fault.

Mappings merge layer by layer, everything else is replaced by the highest layer. The
value of a secret never appears in a fault.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from difflib import get_close_matches
from typing import Final, get_args, get_origin

import msgspec

from appliance.config.messages import (
    advice,
    example_of,
    expected,
    found,
    may_be_null,
    written,
)
from appliance.config.schema import (
    SchemaField,
    Section,
    SectionT,
    as_section,
    fields_of,
    fits,
    join,
    leaves,
    list_item,
    long_form,
    split_key,
)
from appliance.config.yaml import SPACED
from appliance.errors import Fault


@dataclass(frozen=True, slots=True)
class Layer:
    """Raw values from one source."""

    source: str
    """Name in faults: a file, `environment` or `--set`."""
    values: Mapping[str, object]
    spell: Callable[[str], str] = str
    """Spelling of a full key such as `room.token_url` in this source."""


Given = list[tuple[Layer, object]]
"""Values of one key with their layers, lowest first."""

_NAME: Final = re.compile(r"[\w.-]{1,40}")


class Reading:
    """One pass over the layers, which collects faults and origins."""

    def __init__(self, root: type[Section]) -> None:
        """Start without faults; `root` is the class of the whole configuration."""
        self.faults: list[Fault] = []
        self.blamed: set[str] = set()
        """Full keys that have a fault already."""
        self.origins: dict[str, Layer] = {}
        self._root = root

    def section(
        self, shape: type[SectionT], key: str, layers: Sequence[Layer]
    ) -> SectionT:
        """Return a `shape` with the values of the layers, lowest first, else defaults.

        `key` is its full key, empty for the whole.
        """
        known = {split_key(field.key)[1]: field for field in fields_of(shape, key)}
        for layer in layers:
            for name in layer.values:
                if name not in known:
                    sentence = self._unknown(name, known, layer)
                    self.blame(join(key, _shown(name)), sentence, layer)
        values = {name: self._read(name, known[name], layers) for name in known}
        return shape(**values)

    def value(self, field: SchemaField, layer: Layer, value: object) -> object:
        """Return the value converted to its type; None or the default on a fault."""
        if fits(value, field.wanted):
            return msgspec.convert(value, field.wanted)
        # The query of an address may hold a key.
        if field.is_secret or field.key.endswith("url"):
            seen = "something else, which is not shown. Put text into quotes."
        else:
            seen = f"{found(value)}.{advice(value, field.wanted, field.default)}"
        self.blame(field.key, f"expected {expected(field.wanted)}, found {seen}", layer)
        return None if may_be_null(field.wanted) else field.default

    def blame(self, key: str, sentence: str, layer: Layer) -> None:
        """Add a fault, with the key as the source spells it."""
        self.blamed.add(key)
        self.faults.append(Fault(layer.spell(key), sentence, layer.source))

    def blame_all(self, findings: Iterable[tuple[str, str]], lowest: Layer) -> None:
        """Add key and sentence of each finding, unless the key has a fault already.

        `lowest` is the source of a key that none gave.
        """
        for key, sentence in findings:
            if key not in self.blamed:
                self.blame(key, sentence, self.origins.get(key, lowest))

    def _read(self, name: str, field: SchemaField, layers: Sequence[Layer]) -> object:
        given = [
            (layer, layer.values[name]) for layer in layers if name in layer.values
        ]
        inner = as_section(field.wanted)
        if inner is not None:
            return self.section(inner, field.key, self._inner(field, given))
        if given:
            self.origins[field.key] = given[-1][0]
            return self._leaf(field, given)
        if field.default is MISSING:
            self.value(field, layers[-1], None)
        return field.default

    def _inner(self, field: SchemaField, given: Given) -> list[Layer]:
        """Return the layers of a section that is itself a key."""
        for layer, value in given:
            if value is not None and not isinstance(value, dict):
                sentence = f"expected keys and values, {SPACED}, found something else."
                self.blame(field.key, sentence, layer)
        return _sections(given)

    def _leaf(self, field: SchemaField, given: Given) -> object:
        layer, value = given[-1]
        if get_origin(field.wanted) is dict:
            return self._mapping(field, given)
        long = long_form(field.wanted)
        if long is not None and isinstance(value, dict):
            return self.section(long, field.key, _sections(given))
        item = list_item(field.wanted)
        if isinstance(value, list) and item is not None:
            return self._items(field, layer, value, item)
        shape = as_section(item)
        if shape is None:
            return self.value(field, layer, value)
        # Not the value, which may be a secret.
        example = written(example_of(shape))
        sentence = f"expected a list such as [{example}], found something else."
        self.blame(field.key, sentence, layer)
        return field.default

    def _mapping(self, field: SchemaField, given: Given) -> dict[str, object]:
        merged: dict[str, object] = {}
        wanted = get_args(field.wanted)[1]
        for layer, values in given:
            if not isinstance(values, dict):
                self.value(field, layer, values)
                continue
            for name, value in values.items():
                key = join(field.key, name)
                item = replace(field, key=key, wanted=wanted, default=None)
                self.origins[key] = layer
                merged[name] = self.value(item, layer, value)
        return {x: merged[x] for x in merged if join(field.key, x) not in self.blamed}

    def _items(
        self, field: SchemaField, layer: Layer, values: list[object], wanted: object
    ) -> object:
        """Return a list; faults show no value of a section, which may be a secret."""
        shape = as_section(wanted)
        made: list[object] = []
        for at, value in enumerate(values):
            key = f"{field.key}[{at}]"
            if shape is None:
                item = replace(field, key=key, wanted=wanted, default=MISSING)
                made.append(self.value(item, layer, value))
            elif isinstance(value, dict):
                made.append(self.section(shape, key, [replace(layer, values=value)]))
            else:
                example = written(example_of(shape))[:-1]
                sentence = f"expected {example}, …}}, found something else."
                self.blame(key, sentence, layer)
                made.append(_placeholder(shape, key))
        return field.default if MISSING in made else tuple(made)

    def _unknown(self, name: str, known: dict[str, SchemaField], layer: Layer) -> str:
        every = [leaf.key for leaf in leaves(self._root)]
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


def _sections(given: Given) -> list[Layer]:
    """Return the layers in which the key is a section."""
    return [
        replace(layer, values=value)
        for layer, value in given
        if isinstance(value, dict)
    ]


def _placeholder(shape: type[SectionT], key: str) -> SectionT:
    """Return a section in place of one with a fault: later items keep their number."""
    required = (x.key for x in fields_of(shape, key) if x.default is MISSING)
    return shape(**{split_key(full)[1]: full for full in required})


def _shown(name: str) -> str:
    """Return an unknown key, cut where a value may begin, which may be a secret."""
    if _NAME.fullmatch(name):
        return name
    begin = _NAME.match(name)
    return f"{begin[0] if begin else ''}…"
