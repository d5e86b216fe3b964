"""Requests to the token server: from the fields of a request to what a token says.

Every field is used or refused, none is dropped: a client that asks for an agent and
gets a token without one would wait for it in vain.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.token_server.access import LONGEST_NAME, Access, Refused
from appliance.token_server.config import TokenServerConfig

LONGEST_TEXT: Final = 4096
"""Characters of metadata, and of all attributes together."""
DEPARTURE_S: Final = 1
"""Seconds from the last person's leaving to the end of a room with agents. An agent
stops listening when the participant it serves leaves: with LiveKit's 20 s somebody who
comes back meets that agent, after one second a new one."""
MAX_AGENTS: Final = 8
MAX: Final = 86_400
"""Largest number: a day in seconds."""

Fields = Iterable[tuple[str, object]]
"""Name and value of each field, in any spelling; a name may occur twice."""
USER_ID: Final = "X-User-Id"
"""Header that counts as a field with the identity."""
_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "room_name": ("roomName", "room"),
    "participant_identity": ("participantIdentity", "identity", USER_ID),
    "participant_name": ("participantName", "name"),
    "participant_metadata": ("participantMetadata", "metadata"),
    "participant_attributes": ("participantAttributes", "attributes"),
    "room_config": ("roomConfig",),
}
"""Fields by their names in LiveKit's standard endpoint, with those that others use."""
_NAMES: Final = {x: name for name in _SPELLINGS for x in (name, *_SPELLINGS[name])}
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
"""Values that count as missing."""
_Number = Annotated[int, Meta(ge=0, le=MAX)] | UnsetType


class _Agent(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    agent_name: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""
    metadata: Annotated[str, Meta(max_length=LONGEST_TEXT)] = ""


class RoomConfiguration(
    msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """What a request may ask for its room, with the names of a token.

    Without `egress`, which can send a recording anywhere. Source: livekit_room.proto,
    the message of this name.
    """

    agents: Annotated[list[_Agent], Meta(max_length=MAX_AGENTS)] = []
    departure_timeout: _Number = UNSET
    empty_timeout: _Number = UNSET
    max_participants: _Number = UNSET
    metadata: Annotated[str, Meta(max_length=LONGEST_TEXT)] = ""


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
    fields: Fields, own: str | None, access: Access, config: TokenServerConfig
) -> Grant:
    """Return what the token says; `own` is what `Access.caller` returned.

    Raises:
        Refused: with the name of the field.
    """
    values = _collected(fields, {x: x for x in config.metadata_fields} | _NAMES)
    room = _room(_text(values, "room_name"), config.rooms)
    identity = access.identity(_text(values, "participant_identity") or None, own)
    identity = identity or f"guest-{secrets.token_hex(4)}"
    return Grant(
        room,
        identity,
        _text(values, "participant_name") or identity,
        _metadata(values, config),
        _attributes(values.get("participant_attributes", {}), config.attributes),
        _room_config(values.get("room_config", {}), room, config),
    )


def _collected(fields: Fields, names: Mapping[str, str]) -> dict[str, object]:
    """Return the fields by their names; empty ones are left out."""
    values: dict[str, object] = {}
    for spelled, value in fields:
        name = names.get(spelled)
        if name is None:
            sentence = "this field is not known here; leave it out."
            raise Refused(400, sentence, spelled)
        if value not in _EMPTY and values.setdefault(name, value) != value:
            sentence = "this field is given twice, with different values."
            raise Refused(400, sentence, spelled)
    return values


def _room(room: str, rooms: tuple[str, ...]) -> str:
    if not room and rooms[0].endswith("*"):
        raise Refused(400, "expected the name of a room, found none.", "room_name")
    room = room or rooms[0]
    if not _matches(room, rooms):
        raise Refused(403, "tokens for this room are not issued here.", "room_name")
    return room


def _metadata(values: Mapping[str, object], config: TokenServerConfig) -> str:
    """Return the metadata of the request with `metadata_fields` and role added."""
    key = "participant_metadata"
    own = values.get(key, "")
    if not isinstance(own, str) or len(own) > LONGEST_TEXT:
        sentence = f"expected text of at most {LONGEST_TEXT} characters."
        raise Refused(400, sentence, key)
    if own and not config.metadata:
        raise _not_accepted(key, "metadata: true")
    given = filter(values.__contains__, config.metadata_fields)
    added = {name: _text(values, name) for name in given}
    if config.kind == "dtelecom" and config.dtelecom.role is not None:
        added["role"] = config.dtelecom.role
    if not added:
        return own
    try:
        merged = msgspec.json.decode(own or "{}", type=dict[str, object]) | added
        return msgspec.json.encode(merged).decode()
    except (msgspec.MsgspecError, RecursionError) as exc:
        sentence = f"expected a JSON object: {next(iter(added))} is added to it."
        raise Refused(400, sentence, key) from exc


def _attributes(value: object, allowed: tuple[str, ...]) -> dict[str, str]:
    key = "participant_attributes"
    try:
        attributes = msgspec.convert(value, dict[str, str])
    except msgspec.ValidationError as exc:
        sentence = "expected names and their texts."
        raise Refused(400, sentence, key) from exc
    for name in attributes:
        # "*" does not mean those of LiveKit.
        own = [x for x in allowed if x.startswith("lk.") or not name.startswith("lk.")]
        if not _matches(name, own):
            raise _not_accepted(key, f"attributes: [{name}]")
    if sum(len(name) + len(text) for name, text in attributes.items()) > LONGEST_TEXT:
        sentence = f"expected at most {LONGEST_TEXT} characters."
        raise Refused(400, sentence, key)
    return attributes


def _room_config(
    value: object, room: str, config: TokenServerConfig
) -> dict[str, object]:
    """Return the configuration of `room`: what is asked, and the configured agents."""
    asked = _asked(value, config.room_config)
    agents = {
        agent.name: {"agentName": agent.name, "metadata": agent.metadata}
        for agent in config.agents
        if _matches(room, (agent.room,))
    }
    for agent in asked.get("agents", []):
        known = agents.setdefault(agent["agentName"], agent)
        if agent["metadata"] not in {"", known["metadata"]}:
            sentence = "there is such an agent with other metadata; leave it out."
            raise Refused(403, sentence, "room_config.agents")
    if not agents:
        return asked
    return {"departureTimeout": DEPARTURE_S, **asked, "agents": [*agents.values()]}


def _asked(value: object, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a request's `room_config`, if all of them are allowed."""
    try:
        converted = msgspec.convert(_camel_case(value), RoomConfiguration)
    except msgspec.ValidationError as exc:
        raise Refused(400, f"{exc}.", "room_config") from exc
    if len({agent.agent_name for agent in converted.agents}) < len(converted.agents):
        raise Refused(400, "name each agent once.", "room_config.agents")
    asked: dict[str, Any] = msgspec.to_builtins(converted)
    for each in msgspec.structs.fields(RoomConfiguration):
        if each.encode_name in asked and each.name not in allowed:
            key = f"room_config.{each.name}"
            raise _not_accepted(key, f"room_config: [{each.name}]")
    return asked


def _camel_case(value: object) -> object:
    """Return the JSON value with keys as in a token, and without empty values."""
    match value:
        case dict():
            given = {key: x for key, x in value.items() if x not in _EMPTY}
            renamed = {
                re.sub("_([a-z])", lambda found: found[1].upper(), key): _camel_case(x)
                for key, x in given.items()
            }
            if len(renamed) < len(given):
                raise Refused(400, "a field has two spellings.", "room_config")
            return renamed
        case list():
            return [_camel_case(item) for item in value]
        case _:
            return value


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns is `name`, or its start followed by `*`."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def _not_accepted(key: str, configuration: str) -> Refused:
    """Return the refusal of a field that `configuration` would accept."""
    sentence = f"this is not accepted here; the server's file needs {configuration}."
    return Refused(403, sentence, key)


def _text(values: Mapping[str, object], name: str) -> str:
    """Return a short text on one line, or refuse it; "": it is missing."""
    text = values.get(name, "")
    if not isinstance(text, str) or len(text) > LONGEST_NAME or not text.isprintable():
        sentence = f"expected text of 1-{LONGEST_NAME} characters on one line."
        raise Refused(400, sentence, name)
    return text
