"""HTTP request to a token source, from the configuration of a room."""

from dataclasses import dataclass, field

import msgspec

from appliance.config import RoomSettings
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

    @property
    def where(self) -> str:
        """The address without its query, which may contain keys."""
        return without_query(self.url)


def token_request(room: RoomSettings, identity: str, name: str) -> Request:
    """Return the request for a token to join `room` as `identity`.

    Source: LiveKit's standard endpoint takes `participant_identity` and
    `participant_name` in a JSON body; the configuration overrides both.
    """
    assert room.token_url is not None
    fills = {"{identity}": identity, "{name}": name}
    body = None
    headers = {"accept": b"application/json"}
    if room.token_method == "POST":
        own = {"participant_identity": identity, "participant_name": name}
        body = msgspec.json.encode(own | _filled_keys(room.token_body, fills))
        headers["content-type"] = b"application/json"
    for key, value in room.token_headers.items():
        headers[key.lower()] = _header(_filled_text(value, fills))
    query = {key: _filled_text(value, fills) for key, value in room.token_query.items()}
    return Request(room.token_method, room.token_url, headers, query, body)


def _filled_text(text: str, fills: dict[str, str]) -> str:
    for mark, value in fills.items():
        text = text.replace(mark, value)
    return text


def _filled_keys(values: dict[str, object], fills: dict[str, str]) -> dict[str, object]:
    return {key: _filled(value, fills) for key, value in values.items()}


def _filled(value: object, fills: dict[str, str]) -> object:
    match value:
        case str():
            return _filled_text(value, fills)
        case list():
            return [_filled(item, fills) for item in value]
        case dict():
            return _filled_keys(value, fills)
        case _:
            return value


def _header(text: str) -> bytes:
    """Return the value of a header without unprintable characters.

    A display name from the page may contain any.
    """
    return "".join(filter(str.isprintable, text)).strip().encode(errors="replace")
