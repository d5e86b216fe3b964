"""Requests to the token server, and what a token then says."""

import json

import pytest

from tests.token_server.clients import asking, claims_of


async def ask(body=None, headers=None, **keys):
    async with asking(**keys) as client:
        return await client.post("/api/token", json=body or {}, headers=headers)


async def refusal(body, **keys):
    response = await ask(body, **keys)
    return response.status_code, response.json().get("key"), response.json()["error"]


@pytest.mark.parametrize("room", ["garage", "lab", "kitchen2", "*", "KITCHEN"])
async def test_a_room_that_is_not_allowed_is_refused(room):
    sentence = "tokens for this room are not issued here."
    assert await refusal({"room": room}) == (403, "room_name", sentence)


async def test_a_room_is_needed_where_the_first_one_is_a_pattern():
    assert (await refusal({}, rooms=["lab-*"]))[:2] == (400, "room_name")


async def test_the_header_of_a_back_end_names_the_identity():
    response = await ask(headers={"X-User-Id": "box-1"})
    assert claims_of(response)["sub"] == "box-1"
    response = await ask(headers={"X-User-Id": "Küche".encode()})
    assert claims_of(response)["sub"] == "Küche"
    response = await ask(headers={"X-User-Id": "Küche".encode("latin-1")})
    assert claims_of(response)["sub"] == "Küche"
    same = {"participant_identity": "box-1"}
    response = await ask(same, {"X-User-Id": "box-1"})
    assert claims_of(response)["sub"] == "box-1"


async def test_a_header_that_names_another_identity_than_the_body_is_refused():
    response = await ask({"identity": "box-1"}, {"X-User-Id": "box-2"})
    assert (response.status_code, response.json()["key"]) == (400, "X-User-Id")


async def test_provider_and_voice_become_metadata():
    body = {"provider": "elevenlabs", "voice_id": "EXAV"}
    claims = claims_of(await ask(body))
    assert claims["metadata"] == '{"provider":"elevenlabs","voice_id":"EXAV"}'
    async with asking() as client:
        response = await client.get("/api/token?provider=elevenlabs&voice_id=EXAV")
    assert claims_of(response)["metadata"] == claims["metadata"]


async def test_provider_is_added_to_the_metadata_of_the_request():
    body = {"provider": "é", "participant_metadata": '{"a": [1]}'}
    claims = claims_of(await ask(body, metadata=True))
    assert json.loads(claims["metadata"]) == {"a": [1], "provider": "é"}
    body["participant_metadata"] = "text"
    assert (await refusal(body, metadata=True))[:2] == (400, "participant_metadata")
    body["participant_metadata"] = "[" * 4000
    assert (await refusal(body, metadata=True))[:2] == (400, "participant_metadata")


async def test_other_fields_for_the_metadata_are_configured():
    keys = {"metadata_fields": ["language"]}
    claims = claims_of(await ask({"language": "de"}, **keys))
    assert claims["metadata"] == '{"language":"de"}'
    assert (await refusal({"provider": "x"}, **keys))[:2] == (400, "provider")


@pytest.mark.parametrize(
    ("body", "key", "line"),
    [
        (
            {"participant_metadata": "x"},
            "participant_metadata",
            "metadata: true",
        ),
        (
            {"participantAttributes": {"a": "b"}},
            "participant_attributes",
            "attributes: [a]",
        ),
        (
            {"room_config": {"agents": [{"agent_name": "a"}]}},
            "room_config.agents",
            "room_config: [agents]",
        ),
        (
            {"roomConfig": {"emptyTimeout": 5}},
            "room_config.empty_timeout",
            "room_config: [empty_timeout]",
        ),
    ],
)
async def test_a_field_that_is_not_accepted_says_what_would_accept_it(body, key, line):
    sentence = f"this is not accepted here; the server's file needs {line}."
    assert await refusal(body) == (403, key, sentence)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"region": "eu"}, "region"),
        ({"a\nb": ""}, "a\nb"),
        ({"room_config": {"egress": {"room": 1}}}, "room_config"),
    ],
)
async def test_an_unknown_field_is_refused_and_not_dropped(body, key):
    assert (await refusal(body))[:2] == (400, key)


async def test_two_spellings_of_a_field_have_to_agree():
    assert (await refusal({"room_name": "kitchen", "room": "lab-1"}))[1] == "room"
    response = await ask({"room_name": "lab-1", "room": "lab-1", "roomName": ""})
    assert claims_of(response)["video"]["room"] == "lab-1"


async def test_accepted_metadata_and_attributes_are_in_the_token():
    body = {
        "participant_metadata": "line 1\nline 2",
        "participant_attributes": {"color": "red", "app.mode": ""},
    }
    claims = claims_of(await ask(body, metadata=True, attributes=["color", "app.*"]))
    assert claims["metadata"] == "line 1\nline 2"
    assert claims["attributes"] == {"color": "red", "app.mode": ""}


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"other": "x"}, 403),
        ({"a": 1}, 400),
        ({"a": None}, 400),
        (["a"], 400),
        ("a=b", 400),
        ({"a": "x" * 5000}, 400),
    ],
)
async def test_other_attributes_are_refused(attributes, status):
    body = {"participant_attributes": attributes}
    assert (await refusal(body, attributes=["a*"]))[0] == status


async def test_a_star_does_not_open_the_attributes_of_agents():
    body = {"participant_attributes": {"lk.agent.state": "listening"}}
    assert (await refusal(body, attributes=["*"]))[0] == 403
    assert (await ask(body, attributes=["*", "lk.*"])).status_code == 201
