"""Requests to the token server: from the fields of a request to what a token says.

Every field is used or refused, none is dropped: a client that asks for an agent and
gets a token without one would wait for it in vain.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from appliance.config.schema import join
from appliance.token_server.access import Access, Reason, Refused
from appliance.token_server.config import LONGEST_NAME, TokenServerConfig, matches

LONGEST_TEXT: Final = 4096
"""Characters of metadata, and of all attributes together."""
DEPARTURE_S: Final = 1
"""Seconds after which a room with agents is closed when the last person left. An agent
stops listening when the participant it serves leaves: with LiveKit's 20 s somebody who
comes back meets that agent, after one second a new room with a new one."""
MOST_AGENTS: Final = 8
MOST: Final = 86_400
"""Largest number: a day in seconds."""

Values = Mapping[str, object]
Spellings = Mapping[str, tuple[str, ...]]
"""Fields by their names in LiveKit's standard endpoint, with all that are in use."""
Fields = dict[str, tuple[object, str]]
"""Value and full key of each field that says something, by its standard name."""
_IDENTITY: Final = "participant_identity"
_METADATA: Final = "participant_metadata"
_ATTRIBUTES: Final = "participant_attributes"
_SPELLINGS: Final[Spellings] = {
    "room_name": ("room_name", "roomName", "room"),
    _IDENTITY: (_IDENTITY, "participantIdentity", "identity"),
    "participant_name": ("participant_name", "participantName", "name"),
    _METADATA: (_METADATA, "participantMetadata", "metadata"),
    _ATTRIBUTES: (_ATTRIBUTES, "participantAttributes", "attributes"),
    "room_config": ("room_config", "roomConfig"),
}
_AGENT_SPELLINGS: Final[Spellings] = {
    "agent_name": ("agent_name", "agentName"),
    "metadata": ("metadata",),
}


def wrong(key: str, sentence: str) -> Refused:
    """Return the refusal of a field with a wrong value."""
    return Refused(400, Reason.FIELD, sentence, key)


def not_passed(key: str, configuration: str) -> Refused:
    """Return the refusal of a field that `configuration` would accept."""
    sentence = f"this is not accepted here; the server's file needs {configuration}."
    return Refused(403, Reason.FIELD, sentence, key)


def is_given(value: object) -> bool:
    """Return whether a value says anything."""
    return value not in (None, "", [], {})


def shown(name: str) -> str:
    """Return the name of a field for a sentence, whatever the client sent."""
    return "".join(sign if sign.isprintable() else "�" for sign in name[:60])


def text(value: object, key: str) -> str | None:
    """Return a short text on one line; None if it is missing or empty.

    Raises:
        Refused: it is something else.
    """
    if not is_given(value):
        return None
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise wrong(key, f"expected text of 1-{LONGEST_NAME} characters.")
    if not value.isprintable():
        raise wrong(key, "expected text on one line.")
    return value


def long_text(value: object, key: str) -> str:
    """Return a text that may have several lines.

    Raises:
        Refused: it is something else.
    """
    if not is_given(value):
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise wrong(key, f"expected text of at most {LONGEST_TEXT} characters.")
    return value


def _number(value: object, key: str) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise wrong(key, f"expected a whole number 0-{MOST}.")
    return value


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(key, "expected true or false.")
    return value


def _agents(value: object, key: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MOST_AGENTS:
        raise wrong(key, f"expected a list of at most {MOST_AGENTS} agents.")
    agents: dict[str, dict[str, str]] = {}
    for at, item in enumerate(value):
        where = f"{key}[{at}]"
        agent = _agent(item, where)
        if agents.setdefault(agent["agentName"], agent) is not agent:
            sentence = "the name of an earlier agent; name each of them once."
            raise wrong(where, sentence)
    return [*agents.values()]


def _agent(value: object, key: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise wrong(key, "expected agent_name and metadata.")
    fields = _fields(value, _AGENT_SPELLINGS, key)
    return {
        "agentName": text(*_found(fields, "agent_name")) or "",
        "metadata": long_text(*_found(fields, "metadata")),
    }


ROOM_FIELDS: Final[Mapping[str, Callable[[object, str], object]]] = {
    "agents": _agents,
    "departure_timeout": _number,
    "empty_timeout": _number,
    "max_participants": _number,
    "max_playout_delay": _number,
    "metadata": long_text,
    "min_playout_delay": _number,
    "name": text,
    "sync_streams": _flag,
}
"""Fields of a request's `room_config` that may be accepted, and their checks.

Without `egress`, which can send a recording anywhere. Source: livekit_room.proto,
`RoomConfiguration`.
"""


def _in_token(name: str) -> str:
    """Return the name that a field of `room_config` has in a token."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


_ROOM_SPELLINGS: Final[Spellings] = {
    name: (name, _in_token(name)) for name in ROOM_FIELDS
}


def room_config(
    value: object, key: str, room: str, config: TokenServerConfig
) -> dict[str, object]:
    """Return the room configuration: what is asked, and the configured agents.

    Args:
        value: field `room_config` of the request; None: missing.
        key: its spelling in the request.
        room: for which the token is.
        config: what may be asked.

    Raises:
        Refused: not allowed, or wrong.
    """
    asked = _asked(value, key, config.room_config)
    agents = {
        agent.name: {"agentName": agent.name, "metadata": agent.metadata}
        for agent in config.agents
        if matches(room, (agent.room,))
    }
    wished = asked.get("agents")
    for at, agent in enumerate(wished if isinstance(wished, list) else ()):
        known = agents.setdefault(agent["agentName"], agent)
        if agent["metadata"] not in {"", known["metadata"]}:
            sentence = "the server's file has this agent with other metadata; "
            where = f"{key}.agents[{at}].metadata"
            raise Refused(403, Reason.FIELD, f"{sentence}leave it out.", where)
    if not agents:
        return asked
    return {"departureTimeout": DEPARTURE_S, **asked, "agents": [*agents.values()]}


def _asked(value: object, key: str, allowed: tuple[str, ...]) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(key, "expected fields and their values.")
    given = {name: item for name, item in value.items() if is_given(item)}
    asked: dict[str, object] = {}
    for name, (item, full) in _fields(given, _ROOM_SPELLINGS, key).items():
        if name not in allowed:
            raise not_passed(full, f"room_config: [{name}]")
        asked[_in_token(name)] = ROOM_FIELDS[name](item, full)
    return asked


@dataclass(frozen=True, slots=True)
class Grant:
    """Content of a token."""

    room: str
    identity: str
    name: str
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    room_config: dict[str, object] = field(default_factory=dict)
    """With the names of the token, not of the request."""


class GrantReader:
    """Rules of one server for what a token may say."""

    def __init__(self, config: TokenServerConfig, access: Access) -> None:
        """Keep the rules; `access` knows the identities that are taken."""
        self._config = config
        self._access = access

    def grant(self, values: Values, user_id: str | None, own: str | None) -> Grant:
        """Return what the token says.

        Args:
            values: query and body of the request.
            user_id: header `X-User-Id`.
            own: the only identity that the sender may use, if there is one.

        Raises:
            Refused: with the name of the field.
        """
        config = self._config
        further = {name: (name,) for name in config.metadata_fields}
        fields = _fields(values, {**further, **_SPELLINGS})
        room = self._room(fields)
        identity = self._access.identity(_wished_identity(fields, user_id), own)
        identity = identity or f"guest-{secrets.token_hex(4)}"
        return Grant(
            room,
            identity,
            text(*_found(fields, "participant_name")) or identity,
            self._metadata(fields),
            _attributes(*_found(fields, _ATTRIBUTES), config.attributes),
            room_config(*_found(fields, "room_config"), room, config),
        )

    def _room(self, fields: Fields) -> str:
        room = text(*_found(fields, "room_name"))
        first = self._config.rooms[0]
        if room is None and first.endswith("*"):
            sentence = "expected the name of a room, found none."
            raise Refused(400, Reason.ROOM, sentence, "room_name")
        room = room or first
        if not matches(room, self._config.rooms):
            sentence = "tokens for this room are not issued here."
            raise Refused(403, Reason.ROOM, sentence, "room_name")
        return room

    def _metadata(self, fields: Fields) -> str:
        """Return the metadata of the request with `metadata_fields` added."""
        value, key = _found(fields, _METADATA)
        own = long_text(value, key)
        if own and not self._config.metadata:
            raise not_passed(key, "metadata: true")
        added = {
            name: text(*fields[name])
            for name in self._config.metadata_fields
            if name in fields
        }
        if not added:
            return own
        try:
            merged = msgspec.json.decode(own or "{}", type=dict[str, object]) | added
            return json.dumps(merged, separators=(",", ":"), ensure_ascii=False)
        except (msgspec.MsgspecError, RecursionError) as exc:
            field_name = next(iter(added))
            sentence = f"expected a JSON object, because {field_name} is added to it."
            raise wrong(key, sentence) from exc


def _fields(values: Values, spellings: Spellings, key: str = "") -> Fields:
    """Return the fields that say something.

    Raises:
        Refused: a field is not known, or two spellings of one have different values.
    """
    standard = {spelling: name for name, used in spellings.items() for spelling in used}
    fields: Fields = {}
    for spelling, value in values.items():
        full = join(key, shown(spelling))
        name = standard.get(spelling)
        if name is None:
            raise wrong(full, "this field is not known here; leave it out.")
        if is_given(value):
            earlier, where = fields.setdefault(name, (value, full))
            if earlier != value:
                raise wrong(full, f"differs from {where}; send one of them.")
    return fields


def _found(fields: Fields, name: str) -> tuple[object, str]:
    """Return value and key of a field; None if it is missing or empty."""
    return fields.get(name, (None, name))


def _wished_identity(fields: Fields, user_id: str | None) -> str | None:
    identity = text(*_found(fields, _IDENTITY))
    header = text(user_id, "X-User-Id")
    if None not in {identity, header} and identity != header:
        sentence = f"differs from {_IDENTITY}; send one of them."
        raise Refused(400, Reason.IDENTITY, sentence, "X-User-Id")
    return identity or header


def _attributes(value: object, key: str, allowed: tuple[str, ...]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
        isinstance(item, str) and name.isprintable() for name, item in value.items()
    ):
        raise wrong(key, "expected names and their texts.")
    for name in value:
        if not _is_allowed(name, allowed):
            configuration = f"attributes: [{shown(name)}]"
            raise not_passed(key, configuration)
    if sum(len(name) + len(item) for name, item in value.items()) > LONGEST_TEXT:
        raise wrong(key, f"expected at most {LONGEST_TEXT} characters.")
    return value


def _is_allowed(name: str, allowed: tuple[str, ...]) -> bool:
    """Return whether an attribute may be set; "*" does not mean those of LiveKit."""
    if name.startswith("lk."):
        allowed = tuple(pattern for pattern in allowed if pattern.startswith("lk."))
    return matches(name, allowed)
