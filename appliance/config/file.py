"""Reads the configuration: file, then environment, then `--set`, in rising order."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_type_hints
from urllib.parse import urlsplit

from appliance.config import Config, Preset, RoomConfig
from appliance.config.rules import findings, missing_room
from appliance.config.shape import Part
from appliance.config.source import PATH_VARIABLE, read_layers
from appliance.config.tree import Layer, Reading
from appliance.errors import ConfigError, Fault

DEFAULT_PATH = Path("/etc/ptt-appliance/config.yaml")
DEFAULT = "default"
"""Origin of a value that nobody gave."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration without faults, and where it came from."""

    config: Config
    origins: Mapping[str, str]
    """Full key → file, `environment` or `--set`, for every value that was given."""
    path: Path
    """The file that was looked for; only the default one may be absent."""

    def origin(self, key: str) -> str:
        """Return where the value of a full key came from."""
        return self.origins.get(key, DEFAULT)


def load(
    path: Path | None = None,
    settings: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Loaded:
    """Return the configuration that all sources make together.

    Args:
        path: from `--config`; None: from the environment, else the default one.
        settings: each `KEY=VALUE`, from `--set`.
        environment: `PTT_ROOM__TOKEN_URL` and the like.

    Raises:
        ConfigError: with every fault of all sources.
    """
    where = path or Path(environment.get(PATH_VARIABLE) or DEFAULT_PATH)
    is_wished = path is not None or PATH_VARIABLE in environment
    layers, faults = read_layers(where, settings, environment, is_wished=is_wished)
    reading = Reading(Config)
    config = _config(reading, layers)
    faults += reading.faults
    if faults:
        raise ConfigError(tuple(faults))
    origins = {key: layer.source for key, layer in reading.origins.items()}
    return Loaded(config, origins, where)


def need_room(loaded: Loaded) -> None:
    """Make sure that there is a room to join.

    Raises:
        ConfigError: neither a token source nor a fixed token is given.
    """
    sentence = missing_room(loaded.config.room)
    if sentence is not None:
        fault = Fault("room.token_url", sentence, str(loaded.path))
        raise ConfigError((fault,))


def _config(reading: Reading, layers: Sequence[Layer]) -> Config:
    """Return the whole tree; faults are left in `reading`."""
    config = reading.section(Config, "", layers)
    config = replace(config, presets=_presets(reading, layers, config.room))
    for key, sentence in findings(config):
        if key not in reading.blamed:
            reading.blame(key, sentence, reading.origins.get(key, layers[0]))
    return config


def _presets(
    reading: Reading, layers: Sequence[Layer], room: RoomConfig
) -> tuple[Preset, ...]:
    given = [
        (layer, section["presets"])
        for layer in layers
        if isinstance(section := layer.values.get("room"), dict)
        and "presets" in section
    ]
    if not given:
        return ()
    layer, wishes = given[-1]
    reading.origins["room.presets"] = layer
    if not isinstance(wishes, list):
        sentence = "expected a list such as [{name: garage}], found something else."
        reading.blame("room.presets", sentence, layer)
        return ()
    return tuple(
        _preset(reading, f"room.presets[{at}]", layer, wish, room)
        for at, wish in enumerate(wishes)
    )


def _preset(
    reading: Reading, key: str, layer: Layer, wish: object, room: RoomConfig
) -> Preset:
    if not isinstance(wish, dict):
        reading.blame(key, "expected {name: garage, …}, found something else.", layer)
        return Preset(name=key, room=room)
    wanted = get_type_hints(Preset, include_extras=True)["name"]
    part = Part(f"{key}.name", wanted, "garage", is_secret=False, is_apart=False)
    name = reading.value(part, layer, wish.get("name"))
    base = _base(room, wish)
    own = reading.section(RoomConfig, key, [layer.having(wish)], base, ["name"])
    return Preset(name=str(name), room=own)


def _base(room: RoomConfig, wish: Mapping[str, object]) -> RoomConfig:
    """Return what a preset inherits: everything, unless it has its own token source."""
    if "token_url" not in wish:
        return room
    # A fixed token would win over the preset's own token source.
    base = replace(room, token=None)
    if _host(wish["token_url"]) == _host(room.token_url):
        return base
    # Keys are often in these, and another host has no business with them.
    return replace(base, token_headers={}, token_query={}, token_body={})


def _host(url: object) -> str | None:
    try:
        return urlsplit(url).hostname if isinstance(url, str) else None
    except ValueError:
        return None
