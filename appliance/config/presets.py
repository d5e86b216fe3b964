"""Presets: further rooms, which inherit what they do not give from the room itself."""

from collections.abc import Collection
from dataclasses import fields, replace
from urllib.parse import urlsplit

from appliance.config import Preset, RoomConfig, RoomSettings
from appliance.config.schema_fields import join


def with_inherited(room: RoomConfig, given: Collection[str]) -> RoomConfig:
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
