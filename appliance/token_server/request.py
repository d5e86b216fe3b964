"""Requests to the token server: from the fields of a request to what a token says.

Every field is used or refused, none is dropped: a client that asks for an agent and
gets a token without one would wait for it in vain.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from appliance.token_server.access import LONGEST_NAME, Access, Reason, Refused
from appliance.token_server.config import ROOM_FIELDS, TokenServerConfig

LONGEST_TEXT: Final = 4096
"""Characters of metadata, and of all attributes together."""
DEPARTURE_S: Final = 1
"""Seconds after which a room with agents is closed when the last person left. An agent
stops listening when the participant it serves leaves: with LiveKit's 20 s somebody who
comes back meets that agent, after one second a new room with a new one."""
MAX_AGENTS: Final = 8
MAX: Final = 86_400
"""Largest number: a day in seconds."""

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


def _room_config(
    value: object, key: str, room: str, config: TokenServerConfig
) -> dict[str, object]:
    """Return the configuration of `room`: what is asked, and the configured agents.

    `value` is the field `room_config`, None if it is missing; `key` is its spelling.
    """
    asked = _asked(value, key, config.room_config)
    agents = {
        agent.name: {"agentName": agent.name, "metadata": agent.metadata}
        for agent in config.agents
        if _matches(room, (agent.room,))
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
        raise _wrong(key, "expected fields and their values.")
    asked: dict[str, object] = {}
    for name, item in value.items():
        if not _is_given(item):
            continue
        full = f"{key}.{shown(name)}"
        known = next((x for x in ROOM_FIELDS if name in {x, ROOM_FIELDS[x]}), None)
        if known is None:
            raise _wrong(full, "this field is not known here; leave it out.")
        if known not in allowed:
            raise _not_passed(full, f"room_config: [{known}]")
        given = _value(known, item, full)
        if asked.setdefault(ROOM_FIELDS[known], given) != given:
            raise _wrong(full, "differs from its other spelling; send one of them.")
    return asked


def _value(name: str, value: object, key: str) -> object:
    match name:
        case "agents":
            return _agents(value, key)
        case "metadata":
            return _long_text(value, key)
        case "name":
            return _text(value, key)
        case "sync_streams" if not isinstance(value, bool):
            raise _wrong(key, "expected true or false.")
        case "sync_streams":
            return value
        case _ if type(value) is not int or not 0 <= value <= MAX:
            raise _wrong(key, f"expected a whole number 0-{MAX}.")
        case _:
            return value


def _agents(value: object, key: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MAX_AGENTS:
        raise _wrong(key, f"expected a list of at most {MAX_AGENTS} agents.")
    agents: dict[str, dict[str, str]] = {}
    for at, item in enumerate(value):
        where = f"{key}[{at}]"
        agent = _agent(item, where)
        if agents.setdefault(agent["agentName"], agent) is not agent:
            raise _wrong(where, "the name of an earlier agent; name each of them once.")
    return [*agents.values()]


def _agent(value: object, key: str) -> dict[str, str]:
    known = {"agent_name", "agentName", "metadata"}
    if not isinstance(value, dict) or not value.keys() <= known:
        raise _wrong(key, "expected agent_name and metadata.")
    names = [value[name] for name in ("agent_name", "agentName") if value.get(name)]
    if any(name != names[0] for name in names):
        where = f"{key}.agentName"
        raise _wrong(where, "differs from agent_name; send one of them.")
    name = _text(names[0] if names else None, key) or ""
    return {"agentName": name, "metadata": _long_text(value.get("metadata"), key)}


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


def grant(
    values: Values,
    user_id: str | None,
    own: str | None,
    access: Access,
    config: TokenServerConfig,
) -> Grant:
    """Return what the token says.

    `values` are the fields of the request, `user_id` is the header `X-User-Id`, and
    `own` the only identity that the sender may use, if there is such a one.

    Raises:
        Refused: with the name of the field.
    """
    for name in values:
        if name not in _KNOWN and name not in config.metadata_fields:
            raise _wrong(shown(name), "this field is not known here; leave it out.")
    room = _room(values, config.rooms)
    identity = access.identity(_wished_identity(values, user_id), own)
    identity = identity or f"guest-{secrets.token_hex(4)}"
    return Grant(
        room,
        identity,
        _text(*_found(values, "participant_name")) or identity,
        _metadata(values, config),
        _attributes(*_found(values, _ATTRIBUTES), config.attributes),
        _room_config(*_found(values, "room_config"), room, config),
    )


def _room(values: Values, rooms: tuple[str, ...]) -> str:
    room = _text(*_found(values, "room_name"))
    if room is None and rooms[0].endswith("*"):
        sentence = "expected the name of a room, found none."
        raise Refused(400, Reason.ROOM, sentence, "room_name")
    room = room or rooms[0]
    if not _matches(room, rooms):
        sentence = "tokens for this room are not issued here."
        raise Refused(403, Reason.ROOM, sentence, "room_name")
    return room


def _metadata(values: Values, config: TokenServerConfig) -> str:
    """Return the metadata of the request with `metadata_fields` added."""
    value, key = _found(values, _METADATA)
    own = _long_text(value, key)
    if own and not config.metadata:
        raise _not_passed(key, "metadata: true")
    added = {
        name: _text(values[name], name)
        for name in config.metadata_fields
        if _is_given(values.get(name))
    }
    if not added:
        return own
    try:
        merged = msgspec.json.decode(own or "{}", type=dict[str, object]) | added
        return json.dumps(merged, separators=(",", ":"), ensure_ascii=False)
    except (msgspec.MsgspecError, RecursionError) as exc:
        field_name = next(iter(added))
        sentence = f"expected a JSON object, because {field_name} is added to it."
        raise _wrong(key, sentence) from exc


def _found(values: Values, name: str) -> tuple[object, str]:
    """Return value and spelling of a field; None if it is missing or empty."""
    spelled = [x for x in _SPELLINGS[name] if _is_given(values.get(x))]
    if not spelled:
        return None, name
    value = values[spelled[0]]
    if any(values[other] != value for other in spelled[1:]):
        raise _wrong(spelled[1], f"differs from {spelled[0]}; send one of them.")
    return value, spelled[0]


def _wished_identity(values: Values, user_id: str | None) -> str | None:
    identity = _text(*_found(values, _IDENTITY))
    header = _text(user_id, "X-User-Id")
    if None not in {identity, header} and identity != header:
        sentence = f"differs from {_IDENTITY}; send one of them."
        raise Refused(400, Reason.IDENTITY, sentence, "X-User-Id")
    return identity or header


def _attributes(value: object, key: str, allowed: tuple[str, ...]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(key, "expected names and their texts.")
    for name, item in value.items():
        if not isinstance(item, str) or not name.isprintable():
            raise _wrong(key, "expected names and their texts.")
        # "*" does not mean those of LiveKit.
        own = [x for x in allowed if x.startswith("lk.") or not name.startswith("lk.")]
        if not _matches(name, own):
            raise _not_passed(key, f"attributes: [{shown(name)}]")
    if sum(len(name) + len(item) for name, item in value.items()) > LONGEST_TEXT:
        raise _wrong(key, f"expected at most {LONGEST_TEXT} characters.")
    return value


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns is `name`, or its start followed by `*`."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def _wrong(key: str, sentence: str) -> Refused:
    """Return the refusal of a field with a wrong value."""
    return Refused(400, Reason.FIELD, sentence, key)


def _not_passed(key: str, configuration: str) -> Refused:
    """Return the refusal of a field that `configuration` would accept."""
    sentence = f"this is not accepted here; the server's file needs {configuration}."
    return Refused(403, Reason.FIELD, sentence, key)


def _is_given(value: object) -> bool:
    """Return whether a value is neither null nor empty."""
    return value not in (None, "", [], {})


def _text(value: object, key: str) -> str | None:
    """Return a short text on one line, or refuse it; None: it is missing or empty."""
    if not _is_given(value):
        return None
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise _wrong(key, f"expected text of 1-{LONGEST_NAME} characters.")
    if not value.isprintable():
        raise _wrong(key, "expected text on one line.")
    return value


def _long_text(value: object, key: str) -> str:
    """Return a text that may have several lines, or refuse it."""
    if not _is_given(value):
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise _wrong(key, f"expected text of at most {LONGEST_TEXT} characters.")
    return value


def shown(name: str) -> str:
    """Return the name of a field for a sentence, whatever the client sent."""
    return "".join(sign if sign.isprintable() else "�" for sign in name[:60])
