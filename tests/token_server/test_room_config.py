"""Room configuration, and the agents of a room."""

from typing import get_args

import pytest
from msgspec.structs import fields

from appliance.token_server.config import RoomField
from appliance.token_server.request import RoomConfiguration
from tests.token_server.clients import asking, claims_of

EVERYTHING = get_args(RoomField)


async def ask(config, **keys):
    async with asking(**keys) as client:
        body = {"room_name": "lab-1", "room_config": config}
        return await client.post("/api/token", json=body)


async def room_config(config=None, **keys):
    return claims_of(await ask(config or {}, **keys)).get("roomConfig")


async def test_accepted_fields_have_the_names_of_a_token():
    config = {
        "agents": [{"agent_name": "a", "metadata": "m"}, {"agentName": "b"}],
        "departure_timeout": 20,
        "emptyTimeout": 0,
        "max_participants": 5,
        "metadata": "text",
    }
    assert await room_config(config, room_config=EVERYTHING) == {
        "departureTimeout": 20,
        "agents": [
            {"agentName": "a", "metadata": "m"},
            {"agentName": "b", "metadata": ""},
        ],
        "emptyTimeout": 0,
        "maxParticipants": 5,
        "metadata": "text",
    }


def test_every_field_that_a_request_may_have_can_be_accepted():
    assert {field.name for field in fields(RoomConfiguration)} == set(EVERYTHING)


async def test_a_room_with_an_agent_closes_one_second_after_the_last_person_left():
    config = {"agents": [{"agent_name": "a"}]}
    found = await room_config(config, room_config=["agents"])
    assert found == {
        "departureTimeout": 1,
        "agents": [{"agentName": "a", "metadata": ""}],
    }


async def test_agents_are_configured_for_each_room():
    agents = [
        {"name": "assistant", "room": "lab-*", "metadata": '{"a": 1}'},
        {"name": "cook", "room": "kitchen"},
    ]
    assert await room_config(agents=agents) == {
        "departureTimeout": 1,
        "agents": [{"agentName": "assistant", "metadata": '{"a": 1}'}],
    }


AGENTS = {"agents": [{"name": "a", "metadata": "good"}], "room_config": ["agents"]}


async def test_of_two_configured_agents_of_one_name_the_last_one_counts():
    agents = [
        {"name": "a", "metadata": "all"},
        {"name": "a", "room": "lab-*", "metadata": "lab"},
        {"name": "a", "room": "kitchen", "metadata": "kitchen"},
    ]
    found = await room_config(agents=agents)
    assert found["agents"] == [{"agentName": "a", "metadata": "lab"}]


@pytest.mark.parametrize("metadata", ["", "good"])
async def test_a_requested_agent_may_be_a_configured_one(metadata):
    config = {"agents": [{"agent_name": "a", "metadata": metadata}, {"agentName": "b"}]}
    found = await room_config(config, **AGENTS)
    assert found["agents"] == [
        {"agentName": "a", "metadata": "good"},
        {"agentName": "b", "metadata": ""},
    ]


@pytest.mark.parametrize("configured", ["good", ""])
async def test_other_metadata_for_a_configured_agent_is_refused(configured):
    config = {"agents": [{"agent_name": "b"}, {"agent_name": "a", "metadata": "evil"}]}
    keys = AGENTS | {"agents": [{"name": "a", "metadata": configured}]}
    response = await ask(config, **keys)
    assert response.status_code == 403
    assert response.json() == {
        "error": "there is such an agent with other metadata; leave it out.",
        "key": "room_config.agents",
    }


@pytest.mark.parametrize(
    "config",
    [
        {"agents": [{"agent_name": "a"}, {"agentName": "a"}]},
        {"agents": [{"agent_name": "a"}, {"agent_name": "a", "metadata": "m"}]},
        {"agents": [{"agent_name": "a", "agentName": "b"}]},
        {"empty_timeout": 5, "emptyTimeout": 6},
    ],
)
async def test_what_is_asked_for_twice_is_refused_and_not_dropped(config):
    response = await ask(config, room_config=EVERYTHING)
    assert response.status_code == 400
    assert response.json()["key"].startswith("room_config")


async def test_a_room_without_agents_has_a_token_without_room_configuration():
    assert await room_config() is None
    assert await room_config(agents=[{"name": "cook", "room": "kitchen"}]) is None


@pytest.mark.parametrize(
    "config",
    [
        "agents",
        ["agents"],
        {"agents": "a"},
        {"agents": ["a"]},
        {"agents": [{"name": "a"}]},
        {"agents": [{"agent_name": 5}]},
        {"agents": [{"agent_name": "x" * 201}]},
        {"agents": [{"agent_name": "a"}] * 9},
        {"departure_timeout": -1},
        {"departure_timeout": True},
        {"departure_timeout": "20"},
        {"departure_timeout": 1e9},
        {"max_participants": 10**30},
        {"metadata": 5},
        {"unknown": 1},
    ],
)
async def test_a_wrong_value_is_refused(config):
    response = await ask(config, room_config=EVERYTHING)
    assert response.status_code == 400
    assert response.json()["key"].startswith("room_config")
