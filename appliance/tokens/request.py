"""HTTP request to a token source, from the configuration of a room."""

from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from appliance.config import Preset, RoomConfig
from appliance.config.request_texts import ROOM_KEYS, filled, room_secrets
from appliance.net.url import without_query


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request, ready to be sent."""

    method: str
    url: str = field(repr=False)
    """As configured, including its own query."""
    headers: dict[str, bytes] = field(repr=False)
    query: dict[str, str] = field(repr=False)
    """Added to the query of `url`."""
    body: bytes | None = field(repr=False)
    allow_insecure: tuple[str, ...] = ()
    """Hosts to which a redirect without TLS is followed."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Texts of the request that no error sentence may contain."""
    is_body_private: bool = False
    """The body has values of the configuration, which no other host may get."""
    shown: str | None = None
    """Text for `where` in place of the address."""

    @property
    def where(self) -> str:
        """The address without its query, which may contain keys."""
        return without_query(self.url) if self.shown is None else self.shown


def token_request(room: RoomConfig | Preset, identity: str, name: str) -> Request:
    """Return the request for a token to join `room` as `identity`.

    `{room}` is the name of the room, or of the preset.
    """
    assert room.token_url is not None
    fills = {
        "identity": identity,
        "display_name": name,
        "name": name,
        "room": room.name or "",
    }
    body = None
    headers = {"accept": b"application/json"}
    if room.token_method == "POST":
        body = msgspec.json.encode(_body(room, fills))
        headers["content-type"] = b"application/json"
    for key, value in room.token_headers.items():
        headers[key.lower()] = _header(filled(value, fills))
    return Request(
        room.token_method,
        filled(room.token_url, {key: _escaped(fills[key]) for key in fills}),
        headers,
        {key: filled(value, fills) for key, value in room.token_query.items()},
        body,
        room.allow_insecure,
        _secrets(room, fills),
        is_body_private=_is_private(
            _filled_keys(room.token_body, fills), {*fills.values(), ""}
        ),
    )


def _body(room: RoomConfig | Preset, fills: dict[str, str]) -> dict[str, object]:
    """Return the body of a POST; the configuration overrides our own keys.

    Source: LiveKit's standard endpoint takes both in a JSON body. With null they are
    left out: Firebase refuses every key that it does not know.
    """
    own = {"participant_identity": "{identity}", "participant_name": "{display_name}"}
    values = _filled_keys(own | room.token_body, fills)
    return {key: values[key] for key in values if key not in own or values[key]}


def _filled_keys(values: dict[str, object], fills: dict[str, str]) -> dict[str, object]:
    return {key: _filled(value, fills) for key, value in values.items()}


def _filled(value: object, fills: dict[str, str]) -> object:
    match value:
        case str():
            return filled(value, fills)
        case list():
            return [_filled(item, fills) for item in value]
        case dict():
            return _filled_keys(value, fills)
        case _:
            return value


def _is_private(value: object, public: set[str]) -> bool:
    """Return whether a filled JSON value contains more than these public texts."""
    match value:
        case None | bool():
            return False
        case str():
            return value not in public
        case list():
            return any(_is_private(item, public) for item in value)
        case dict():
            items = (item for key, item in value.items() if key not in ROOM_KEYS)
            return any(_is_private(item, public) for item in items)
        case _:
            return True


def _escaped(text: str) -> str:
    """Return the text as one segment of a path, which `..` must not leave."""
    return quote(text, safe="") if text.strip(".") else "%2E" * len(text)


def _header(text: str) -> bytes:
    """Return the value of a header without unprintable characters.

    A display name from the page may contain any.
    """
    return "".join(filter(str.isprintable, text)).strip().encode(errors="replace")


def _secrets(room: RoomConfig | Preset, fills: dict[str, str]) -> frozenset[str]:
    """Return the texts that may authenticate the appliance, and the words in them.

    Identity and names are no secrets: everybody in the room sees them.
    """
    values = {filled(text, fills) for text in room_secrets(room)}
    words = {word for text in values for word in text.split()}
    return frozenset(values | words) - set(fills.values())
