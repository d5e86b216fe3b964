"""Configuration from file, environment and `--set`; the later source wins. Its output.

A preset inherits the keys that it does not give from the section `room`.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from appliance.config import Config, ScreenConfig
from appliance.config.checks import findings
from appliance.config.merge import Layer, Reading
from appliance.config.schema import (
    SchemaField,
    Section,
    as_section,
    fields_of,
    leaves,
    list_item,
    split_key,
)
from appliance.config.yaml import MAX_DEPTH, read_mapping, read_yaml, written
from appliance.errors import ConfigError, Fault
from appliance.net.url import without_query

DEFAULT_PATH = Path("/etc/ptt-appliance/config.yaml")
PATH_VARIABLE = "PTT_APPLIANCE_CONFIG"
"""Variable with the path of the file; it is not a key of the configuration."""
PREFIX = "PTT_"
"""Prefix of the variables that are keys of the configuration."""
HOST_NAME = "host name"
"""Origin of a `name` that no source gave."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Configuration without faults, and the origin of its values."""

    config: Config
    """Its `name` is the host name where none is configured."""
    origins: Mapping[str, str]
    """Full key → file, `environment` or `--set`, for every value that was given."""
    path: Path
    """File that was read; only the default one may be absent."""

    def origin(self, key: str) -> str:
        """Return the origin of a full key's value."""
        return self.origins.get(key, "default")


def load(
    path: Path | None = None,
    settings: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Loaded:
    """Return the configuration made from all sources; `ConfigError` has every fault.

    `path` is from `--config` (None: from the environment, else the default one), each
    of `settings` is `KEY=VALUE` from `--set`.
    """
    where, reading = _reading(path, settings, environment)
    room = _with_inherited(reading.values.get("room", {}))
    config = msgspec.convert(reading.values | {"room": room}, Config)
    reading.blame_all(findings(config))
    if reading.faults:
        raise ConfigError(*reading.faults)
    origins = {key: layer.source for key, layer in reading.origins.items()}
    if config.name is None:
        # Once, so that the screen, the page, the token and the reports agree.
        config = replace(config, name=socket.gethostname())
        origins["name"] = HOST_NAME
    return Loaded(config, origins, where)


def screen_of(
    path: Path | None, settings: Sequence[str], environment: Mapping[str, str]
) -> ScreenConfig:
    """Return the screen's section of a configuration with faults, as far as usable."""
    _, reading = _reading(path, settings, environment)
    return msgspec.convert(reading.values, Config).screen


def need_room(loaded: Loaded, remark: str = "") -> None:
    """Raise `ConfigError`, which ends with `remark`, if there is no room to join."""
    room = loaded.config.room
    if room.token is None and room.token_url is None:
        found = "nothing" if loaded.path.exists() else "no such file"
        sentence = (
            f"expected the address that issues tokens, found {found}. "
            f"Write https://…, or give room.url and room.token.{remark}"
        )
        raise ConfigError(Fault("room.token_url", sentence, str(loaded.path)))


def _reading(
    path: Path | None, settings: Sequence[str], environment: Mapping[str, str]
) -> tuple[Path, Reading]:
    """Return the file, which has to exist if it is named, and the values of all."""
    is_wished = path is not None or PATH_VARIABLE in environment
    where = path or Path(environment.get(PATH_VARIABLE) or DEFAULT_PATH)
    layers = read_layers(where, settings, environment, is_wished=is_wished)
    return where, Reading(Config, *layers)


def read_layers(
    path: Path,
    settings: Sequence[str],
    environment: Mapping[str, str],
    *,
    is_wished: bool,
    prefix: str = PREFIX,
) -> tuple[list[Layer], list[Fault]]:
    """Return the layers of all sources, lowest first, and the faults in reading them.

    Each variable with the prefix is a layer. The file has to exist if it `is_wished`.
    """
    layers: list[Layer] = []
    faults: list[Fault] = []

    def add(read: Callable[..., Layer], *values: object) -> None:
        try:
            layers.append(read(*values))
        except ConfigError as exc:
            faults.extend(exc.faults)

    add(lambda: _file_layer(path, is_wished=is_wished))
    for name, value in sorted(environment.items()):
        if name.startswith(prefix) and name != PATH_VARIABLE:
            add(_variable_layer, prefix, name, value)
    for setting in settings:
        key, _, value = setting.partition("=")
        add(_one_value, "--set", str, key.strip().split(".", MAX_DEPTH), value)
    # A missing key is reported for the file, so there is always its layer.
    return layers or [Layer(str(path), {})], faults


def _file_layer(path: Path, *, is_wished: bool) -> Layer:
    """Return the layer of a file, which may be absent unless `is_wished`."""
    source = str(path)
    try:
        content = path.read_bytes()
        return Layer(source, read_mapping(content.decode("utf-8-sig"), source))
    except FileNotFoundError as exc:
        if not is_wished:
            return Layer(source, {})
        sentence = "there is no such file. Write one, or fix the path."
        raise ConfigError(Fault("", sentence, source)) from exc
    except PermissionError as exc:
        remedy = "Fix its rights."
        if DEFAULT_PATH.parent in path.parents:
            remedy = (
                "Use sudo. If it does not help, or the service says so, run: "
                f"sudo chgrp ptt-appliance {path} && sudo chmod 640 {path}"
            )
        sentence = f"cannot be read: permission denied. {remedy}"
        raise ConfigError(Fault("", sentence, source)) from exc
    except OSError as exc:
        reason = (exc.strerror or "unknown error").lower()
        sentence = f"cannot be read: {reason}. Fix path or rights."
        raise ConfigError(Fault("", sentence, source)) from exc
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        column = exc.start - content.rfind(b"\n", 0, exc.start)
        where = f"line {line}, column {column}"
        sentence = "found bytes that are not text. Save it as UTF-8."
        raise ConfigError(Fault(where, sentence, source)) from exc


def _variable_layer(prefix: str, name: str, value: str) -> Layer:
    """Return the layer of a variable.

    Capitals stand for a lower-case key; `roomName` in a token request stays as it is.
    """

    def spell(key: str) -> str:
        parts = (part.upper() if part.islower() else part for part in key.split("."))
        return prefix + "__".join(parts)

    parts = name.removeprefix(prefix).split("__", MAX_DEPTH)
    path = [part.lower() if part.isupper() else part for part in parts]
    return _one_value("environment", spell, path, value)


def _one_value(
    source: str, spell: Callable[[str], str], path: list[str], text: str
) -> Layer:
    try:
        value = read_yaml(text, source)
    except ConfigError as exc:
        # The reason would quote the value, which may be a secret.
        sentence = "is not YAML. Put the value into quotes of its own."
        raise ConfigError(Fault(spell(".".join(path)), sentence, source)) from exc
    for name in reversed(path[1:]):
        value = {name: value}
    return Layer(source, {path[0]: value}, spell)


def _with_inherited(room: dict[str, Any]) -> dict[str, Any]:
    """Return the room; its presets have its values for the keys that they lack."""
    own = {key: value for key, value in room.items() if key not in {"name", "presets"}}
    presets = []
    for preset in room.get("presets", ()):
        base = dict(own)
        if "token_url" in preset:
            # A fixed token would win over the preset's own token source.
            base.pop("token", None)
            if _host(preset["token_url"]) != _host(room.get("token_url")):
                # These often hold credentials, which no other host may get.
                for key in ("token_headers", "token_query", "token_body"):
                    base.pop(key, None)
        presets.append(base | preset)
    return room | {"presets": presets}


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None


def show(loaded: Loaded) -> str:
    """Return YAML with the origin of each value in a comment; secrets are hidden."""
    lines = []
    section = ""
    for key, shown in values(loaded).items():
        parent, name = split_key(key)
        if parent and parent != section:
            lines.append(f"{parent}:")
        section = parent
        line = f"{'  ' if parent else ''}{name}: {written(shown['value'])}"
        lines.append(f"{line:<48}  # {shown['origin']}")
    return "\n".join(lines)


def values(loaded: Loaded) -> dict[str, dict[str, object]]:
    """Return full key → value and origin, for scripts; secrets are hidden."""
    return {
        field.key: {
            "value": _shown(field, attrgetter(field.key)(loaded.config)),
            "origin": loaded.origin(field.key),
        }
        for field in leaves(Config)
    }


def _shown(field: SchemaField, value: object) -> object:
    """Return the value as it may be shown: no secret, no query of an address."""
    if isinstance(value, tuple) and as_section(list_item(field.wanted)) is not None:
        return [_given(item) for item in value]
    if isinstance(value, dict) and field.is_secret:
        return dict.fromkeys(value, "…")
    if value is not None and field.is_secret:
        return "…"
    if isinstance(value, str) and "?" in value and field.key.endswith("url"):
        return f"{without_query(value)}?…"
    return msgspec.to_builtins(value)


def _given(section: Section) -> dict[str, object]:
    """Return what differs from the defaults in an item of a list."""
    return {
        field.key: _shown(field, value)
        for field in fields_of(type(section))
        if (value := getattr(section, field.key)) != field.default
    }
