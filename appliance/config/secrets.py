"""Values of a configuration that must never be logged."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from appliance.config import Config, RoomSettings
from appliance.config.placeholders import filled, texts, used

ROOM_KEYS = frozenset({"room", "room_name", "roomName"})
"""Keys that hold no secret: the log names the room that was joined."""


def secrets(config: Config) -> tuple[str, ...]:
    """Return the values that must never be logged, whatever their length.

    Values with placeholders (`{identity}`) are left out: they are filled in before use,
    so the text with the placeholder appears in no log line.
    """
    rooms = (config.room, *config.room.presets)
    found = {text: None for room in rooms for text in room_secrets(room)}
    query = urlsplit(config.metrics.post_url or "").query
    found |= dict.fromkeys(_query_values(query))
    return tuple(filled(text, {}) for text in found if text and not used(text))


def room_secrets(room: RoomSettings) -> Iterator[str]:
    """Yield every text that may authenticate the appliance to the token source."""
    yield room.token or ""
    yield from texts(room.token_headers, ROOM_KEYS)
    yield from texts(room.token_query, ROOM_KEYS)
    yield from texts(room.token_body, ROOM_KEYS)
    yield from _query_values(urlsplit(room.token_url or "").query)


def _query_values(query: str) -> Iterator[str]:
    yield query
    yield from texts(dict(parse_qsl(query)), ROOM_KEYS)
