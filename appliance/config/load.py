"""Configuration from file, environment and `--set`; the later source wins."""

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from appliance.config import (
    Config,
    Preset,
    RoomConfig,
    RoomSettings,
    ScreenConfig,
)
from appliance.config.checks import findings, missing_room
from appliance.config.layers import PATH_VARIABLE, read_layers
from appliance.config.merge import Layer, Reading
from appliance.config.schema_fields import join
from appliance.errors import ConfigError, Fault

DEFAULT_PATH = Path("/etc/ptt-appliance/config.yaml")
DEFAULT = "default"
"""Origin of a value that no source gave."""
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
        return self.origins.get(key, DEFAULT)


def load(
    path: Path | None = None,
    settings: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Loaded:
    """Return the configuration made from all sources.

    Args:
        path: from `--config`; None: from the environment, else the default one.
        settings: each `KEY=VALUE`, from `--set`.
        environment: `PTT_ROOM__TOKEN_URL` and the like.

    Raises:
        ConfigError: with every fault of all sources.
    """
    where, is_wished = _path(path, environment)
    layers, faults = read_layers(where, settings, environment, is_wished=is_wished)
    reading = Reading(Config)
    config = _config(reading, layers)
    faults += reading.faults
    if faults:
        raise ConfigError(tuple(faults))
    origins = {key: layer.source for key, layer in reading.origins.items()}
    if config.name is None:
        # Once, so that the screen, the page, the token and the reports agree.
        config = replace(config, name=socket.gethostname())
        origins["name"] = HOST_NAME
    return Loaded(config, origins, where)


def screen_of(
    path: Path | None, settings: Sequence[str], environment: Mapping[str, str]
) -> ScreenConfig | None:
    """Return the screen's section of a configuration that has faults elsewhere.

    A source that cannot be read at all is left out: the screen is then as by default.

    Returns:
        None: the screen's section has a fault itself.
    """
    where, is_wished = _path(path, environment)
    layers, _ = read_layers(where, settings, environment, is_wished=is_wished)
    reading = Reading(Config)
    config = reading.section(Config, "", layers)
    is_wrong = any(key.partition(".")[0] == "screen" for key in reading.blamed)
    return None if is_wrong else config.screen


def need_room(loaded: Loaded) -> None:
    """Check that there is a room to join.

    Raises:
        ConfigError: neither a token source nor a fixed token is given.
    """
    sentence = missing_room(loaded.config.room)
    if sentence is not None:
        fault = Fault("room.token_url", sentence, str(loaded.path))
        raise ConfigError((fault,))


def _path(path: Path | None, environment: Mapping[str, str]) -> tuple[Path, bool]:
    """Return the file to read, and whether it has to exist."""
    where = path or Path(environment.get(PATH_VARIABLE) or DEFAULT_PATH)
    return where, path is not None or PATH_VARIABLE in environment


def _config(reading: Reading, layers: Sequence[Layer]) -> Config:
    """Return the whole configuration; faults are kept in `reading`."""
    config = reading.section(Config, "", layers)
    config = replace(config, room=_with_inherited(config.room, reading.origins))
    for key, sentence in findings(config):
        if key not in reading.blamed:
            reading.blame(key, sentence, reading.origins.get(key, layers[0]))
    return config


def _with_inherited(room: RoomConfig, given: Collection[str]) -> RoomConfig:
    """Return the room; its presets have the room's values for all keys not `given`."""
    presets = []
    for at, preset in enumerate(room.presets):
        key = f"room.presets[{at}]"
        base = _base(room, preset) if join(key, "token_url") in given else room
        inherited = {
            field.name: getattr(base, field.name)
            for field in fields(RoomSettings)
            if join(key, field.name) not in given
        }
        presets.append(replace(preset, **inherited))
    return replace(room, presets=tuple(presets))


def _base(room: RoomConfig, preset: Preset) -> RoomConfig:
    """Return what a preset with its own token source inherits."""
    # A fixed token would win over the preset's own token source.
    base = replace(room, token=None)
    if _host(preset.token_url) == _host(room.token_url):
        return base
    # These often hold credentials, which must not be sent to another host.
    return replace(base, token_headers={}, token_query={}, token_body={})


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None
