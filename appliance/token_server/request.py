"""Requests to the token server: from the fields of a request to what a token says.

Every field is used or refused, none is dropped: a client that asks for an agent and
gets a token without one would wait for it in vain.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from appliance.token_server.access import Access, Caller
from appliance.token_server.config import (
    LONGEST_TEXT,
    Reason,
    Refused,
    TokenServerConfig,
    is_given,
    long_text,
    matches,
    not_passed,
    shown,
    text,
    wrong,
)

ROOM_FIELDS: Final = {
    "agents": "agents",
    "departure_timeout": "departureTimeout",
    "empty_timeout": "emptyTimeout",
    "max_participants": "maxParticipants",
    "max_playout_delay": "maxPlayoutDelay",
    "metadata": "metadata",
    "min_playout_delay": "minPlayoutDelay",
    "name": "name",
    "sync_streams": "syncStreams",
}
"""Fields of a request's `room_config` that may be accepted, and their names in a token.

Without `egress`, which can send a recording anywhere. Source: livekit_room.proto,
`RoomConfiguration`.
"""
DEPARTURE_S: Final = 1
"""Seconds after which a room with agents is closed when the last person left. An agent
stops listening when the participant it serves leaves: with LiveKit's 20 s somebody who
comes back meets that agent, after one second a new room with a new one."""
MAX_AGENTS: Final = 8
MAX: Final = 86_400
"""Largest number: a day in seconds."""

_AGENT_FIELDS: Final = {"agent_name", "agentName", "metadata"}

Values = Mapping[str, object]
_IDENTITY: Final = "participant_identity"
_METADATA: Final = "participant_metadata"
_ATTRIBUTES: Final = "participant_attributes"
_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "room_name": ("room_name", "roomName", "room"),
    _IDENTITY: (_IDENTITY, "participantIdentity", "identity"),
    "participant_name": ("participant_name", "participantName", "name"),
    _METADATA: (_METADATA, "participantMetadata", "metadata"),
    _ATTRIBUTES: (_ATTRIBUTES, "participantAttributes", "attributes"),
    "room_config": ("room_config", "roomConfig"),
}
"""Fields by their names in LiveKit's standard endpoint, with those that others use."""
_KNOWN: Final = {name for names in _SPELLINGS.values() for name in names}


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
    asked: dict[str, object] = {}
    for name, item in value.items():
        if not is_given(item):
            continue
        full = f"{key}.{shown(name)}"
        known = next((x for x in ROOM_FIELDS if name in {x, ROOM_FIELDS[x]}), None)
        if known is None:
            raise wrong(full, "this field is not known here; leave it out.")
        if known not in allowed:
            raise not_passed(full, f"room_config: [{known}]")
        given = _value(known, item, full)
        if asked.setdefault(ROOM_FIELDS[known], given) != given:
            raise wrong(full, "differs from its other spelling; send one of them.")
    return asked


def _value(name: str, value: object, key: str) -> object:
    match name:
        case "agents":
            return _agents(value, key)
        case "metadata":
            return long_text(value, key)
        case "name":
            return text(value, key)
        case "sync_streams" if not isinstance(value, bool):
            raise wrong(key, "expected true or false.")
        case "sync_streams":
            return value
        case _ if type(value) is not int or not 0 <= value <= MAX:
            raise wrong(key, f"expected a whole number 0-{MAX}.")
        case _:
            return value


def _agents(value: object, key: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MAX_AGENTS:
        raise wrong(key, f"expected a list of at most {MAX_AGENTS} agents.")
    agents: dict[str, dict[str, str]] = {}
    for at, item in enumerate(value):
        agent = _agent(item, f"{key}[{at}]")
        if agents.setdefault(agent["agentName"], agent) is not agent:
            sentence = "the name of an earlier agent; name each of them once."
            where = f"{key}[{at}]"
            raise wrong(where, sentence)
    return [*agents.values()]


def _agent(value: object, key: str) -> dict[str, str]:
    if not isinstance(value, dict) or not value.keys() <= _AGENT_FIELDS:
        raise wrong(key, "expected agent_name and metadata.")
    names = [value[name] for name in ("agent_name", "agentName") if value.get(name)]
    if any(name != names[0] for name in names):
        sentence = "differs from agent_name; send one of them."
        where = f"{key}.agentName"
        raise wrong(where, sentence)
    name = text(names[0] if names else None, key) or ""
    return {"agentName": name, "metadata": long_text(value.get("metadata"), key)}


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

    def grant(self, values: Values, user_id: str | None, caller: Caller) -> Grant:
        """Return what the token says; `user_id` is the header `X-User-Id`.

        Raises:
            Refused: with the name of the field.
        """
        config = self._config
        self._check_names(values)
        room = self._room(values)
        wished = _wished_identity(values, user_id)
        identity = self._access.identity(wished, caller)
        identity = identity or f"guest-{secrets.token_hex(4)}"
        return Grant(
            room,
            identity,
            text(*_found(values, "participant_name")) or identity,
            self._metadata(values),
            _attributes(*_found(values, _ATTRIBUTES), config.attributes),
            room_config(*_found(values, "room_config"), room, config),
        )

    def _check_names(self, values: Values) -> None:
        for name in values:
            if name not in _KNOWN and name not in self._config.metadata_fields:
                raise wrong(shown(name), "this field is not known here; leave it out.")

    def _room(self, values: Values) -> str:
        room = text(*_found(values, "room_name"))
        first = self._config.rooms[0]
        if room is None and first.endswith("*"):
            sentence = "expected the name of a room, found none."
            raise Refused(400, Reason.ROOM, sentence, "room_name")
        room = room or first
        if not matches(room, self._config.rooms):
            sentence = "tokens for this room are not issued here."
            raise Refused(403, Reason.ROOM, sentence, "room_name")
        return room

    def _metadata(self, values: Values) -> str:
        """Return the metadata of the request with `metadata_fields` added."""
        value, key = _found(values, _METADATA)
        own = long_text(value, key)
        if own and not self._config.metadata:
            raise not_passed(key, "metadata: true")
        added = {
            name: text(values[name], name)
            for name in self._config.metadata_fields
            if is_given(values.get(name))
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


def _found(values: Values, name: str) -> tuple[object, str]:
    """Return value and spelling of a field; None if it is missing or empty.

    Raises:
        Refused: two spellings of it have different values.
    """
    spelled = [x for x in _SPELLINGS[name] if is_given(values.get(x))]
    if not spelled:
        return None, name
    value = values[spelled[0]]
    if any(values[other] != value for other in spelled[1:]):
        raise wrong(spelled[1], f"differs from {spelled[0]}; send one of them.")
    return value, spelled[0]


def _wished_identity(values: Values, user_id: str | None) -> str | None:
    identity = text(*_found(values, _IDENTITY))
    header = text(user_id, "X-User-Id")
    if None not in {identity, header} and identity != header:
        sentence = f"differs from {_IDENTITY}; send one of them."
        raise Refused(400, Reason.IDENTITY, sentence, "X-User-Id")
    return identity or header


def _attributes(value: object, key: str, allowed: tuple[str, ...]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(key, "expected names and their texts.")
    for name, item in value.items():
        if not isinstance(item, str) or not name.isprintable():
            raise wrong(key, "expected names and their texts.")
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
