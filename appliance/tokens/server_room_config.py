"""Room configuration in a token: voice agents and limits of the room.

LiveKit applies it when the token creates the room. The field `agents` also tells the
client that an agent is coming: it is part of its own token (`roomConfig.agents`), and a
room without agents has a token without that field.
"""

from typing import Final

from appliance.tokens.server_config import TokenServerConfig, matches
from appliance.tokens.server_fields import (
    is_given,
    long_text,
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
comes back meets the deaf agent, after one second a new room with a new one."""
MOST_AGENTS: Final = 8
MOST: Final = 86_400
"""Largest number: a day in seconds."""

_AGENT_FIELDS: Final = {"agent_name", "agentName", "metadata"}


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
    for agent in wished if isinstance(wished, list) else ():
        agents.setdefault(agent["agentName"], agent)
    if not agents:
        return asked
    return {"departureTimeout": DEPARTURE_S, **asked, "agents": [*agents.values()]}


def _asked(value: object, key: str, allowed: tuple[str, ...]) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(key, "expected fields and their values.")
    asked = {}
    for name, item in value.items():
        if not is_given(item):
            continue
        full = f"{key}.{shown(name)}"
        known = next((x for x in ROOM_FIELDS if name in {x, ROOM_FIELDS[x]}), None)
        if known is None:
            raise wrong(full, "this field is not known here; leave it out.")
        if known not in allowed:
            raise not_passed(full, f"room_config: [{known}]")
        asked[ROOM_FIELDS[known]] = _value(known, item, full)
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
        case _ if type(value) is not int or not 0 <= value <= MOST:
            raise wrong(key, f"expected a whole number 0-{MOST}.")
        case _:
            return value


def _agents(value: object, key: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MOST_AGENTS:
        raise wrong(key, f"expected a list of at most {MOST_AGENTS} agents.")
    return [_agent(item, f"{key}[{at}]") for at, item in enumerate(value)]


def _agent(value: object, key: str) -> dict[str, str]:
    if not isinstance(value, dict) or not value.keys() <= _AGENT_FIELDS:
        raise wrong(key, "expected agent_name and metadata.")
    name = text(value.get("agent_name") or value.get("agentName"), key) or ""
    return {"agentName": name, "metadata": long_text(value.get("metadata"), key)}
