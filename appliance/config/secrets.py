"""Values of a configuration that must never be logged."""

from collections.abc import Iterator, Mapping
from itertools import chain
from urllib.parse import parse_qsl, urlsplit

from appliance.config import Config, RoomSettings

_ROOM_KEYS = {"room", "room_name", "roomName"}
"""Keys that hold no secret: the log names the room that was joined."""


def secrets(config: Config) -> tuple[str, ...]:
    """Return the values that must never be logged, whatever their length.

    Values with placeholders (`{identity}`) are left out: they are filled in before use,
    so the text with the placeholder appears in no log line.
    """
    rooms = (config.room, *config.room.presets)
    found = {text: None for room in rooms for text in _room_secrets(room)}
    query = urlsplit(config.metrics.post_url or "").query
    found |= dict.fromkeys(_query_values(query))
    return tuple(text for text in found if text and "{" not in text)


def _room_secrets(room: RoomSettings) -> Iterator[str]:
    """Yield every text that may authenticate the appliance to the token source."""
    yield room.token or ""
    yield from _texts(room.token_headers)
    yield from _texts(room.token_query)
    yield from _texts(room.token_body)
    yield from _query_values(urlsplit(room.token_url or "").query)


def _query_values(query: str) -> Iterator[str]:
    yield query
    yield from _texts(dict(parse_qsl(query)))


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value, at any depth."""
    match value:
        case str():
            yield value
        case Mapping():
            inner = (item for key, item in value.items() if key not in _ROOM_KEYS)
            yield from chain.from_iterable(map(_texts, inner))
        case list():
            yield from chain.from_iterable(map(_texts, value))
