"""Tokens of the token server at a real LiveKit server."""

import time

import httpx
import jwt
import pytest
from livekit import rtc

from appliance.demo.livekit_server import LocalServer, find_or_build
from tests.token_server.clients import asking_server, settings

KEYS = {
    "metadata": True,
    "attributes": ["color"],
    "room_config": ["max_participants", "metadata"],
    "agents": [{"name": "assistant", "metadata": "for the agent"}],
}
ASKED = {
    "room_name": "lab-1",
    "participant_identity": "box",
    "participant_name": "Küche",
    "participant_metadata": '{"a":1}',
    "participant_attributes": {"color": "red"},
    "provider": "elevenlabs",
    "room_config": {"max_participants": 5, "metadata": "about the room"},
}


@pytest.fixture(scope="module")
def binary():
    return find_or_build(print)


async def administer(server, service, method, **body):
    grant = {"roomAdmin": True, "roomList": True, "room": "lab-1"}
    claims = {"iss": server.api_key, "exp": int(time.time()) + 60, "video": grant}
    token = jwt.encode(claims, server.api_secret, "HS256")
    url = server.url.replace("ws://", "http://")
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{url}/twirp/livekit.{service}/{method}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
    assert answer.is_success, answer.text
    return answer.json()


async def test_livekit_gives_the_participant_and_the_room_what_the_token_says(binary):
    async with LocalServer(binary) as server:
        variables = {
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": server.api_key,
            "LIVEKIT_API_SECRET": server.api_secret,
        }
        chosen = settings(variables, **KEYS)
        async with asking_server(chosen, now_s=time.time) as client:
            answer = (await client.post("/api/token", json=ASKED)).json()
        room = rtc.Room()
        await room.connect(answer["server_url"], answer["participant_token"])
        try:
            me = room.local_participant
            assert (me.identity, me.name) == ("box", "Küche")
            assert me.metadata == '{"a":1,"provider":"elevenlabs"}'
            assert me.attributes == {"color": "red"}
            (made,) = (await administer(server, "RoomService", "ListRooms"))["rooms"]
            assert (made["name"], made["metadata"]) == ("lab-1", "about the room")
            assert (made["departure_timeout"], made["max_participants"]) == (1, 5)
            service = "AgentDispatchService"
            listed = await administer(server, service, "ListDispatch", room="lab-1")
            (dispatch,) = listed["agent_dispatches"]
            assert dispatch["agent_name"] == "assistant"
            assert dispatch["metadata"] == "for the agent"
        finally:
            await room.disconnect()
