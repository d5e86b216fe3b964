"""The description of the API names everything that the page serves."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import appliance.page
from appliance.core.chat import ChatLine, Delivery
from appliance.core.events import AgentState, Caption, VoiceAgent
from appliance.core.view import ConnectionState, TalkState
from appliance.page.application import POSTS
from appliance.page.messages import AnyRequest, LatestView, from_command
from tests.page.fake_app import IN_ROOM

DOCUMENT = (Path(appliance.page.__file__).parent / "API.md").read_text()
_SPLIT = re.split(r"^## (.*)$", DOCUMENT, flags=re.MULTILINE)
PARTS = dict(zip(_SPLIT[1::2], _SPLIT[2::2], strict=True))
FULL = replace(
    IN_ROOM,
    chat=(
        *IN_ROOM.chat,
        ChatLine("2", "", "", "text", 0, Delivery.FAILED, "nobody is there"),
    ),
    agent=VoiceAgent("agent-7", "Assistant", AgentState.IDLE),
    captions=(Caption("s", "anna", "Anna", "text", False, 0),),
)
"""A view in which no field is empty that has fields of its own."""


def test_every_field_of_the_view_is_described_and_no_other():
    rows = re.findall(r"^\| (`.*?) \|", PARTS["View"], flags=re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    sent = msgspec.json.decode(LatestView((128, 64)).json(), type=dict[str, object])
    assert described == set(sent)


def test_every_field_of_a_part_of_the_view_is_described_and_no_other():
    latest = LatestView((128, 64))
    latest.show(FULL)
    sent = msgspec.json.decode(latest.json())
    found = {name: keys for name, value in sent.items() if (keys := keys_in(value))}
    assert {"people", "chat", "agent", "captions", "lamps", "picture"} == set(found)
    assert {name: described_keys(name) for name in found} == found


def keys_in(value):
    """Return the keys of an object, or of all objects in a list."""
    objects = value if isinstance(value, list) else [value]
    return {key for each in objects if isinstance(each, dict) for key in each}


def described_keys(field):
    """Return the keys in the object that the row of this field of the view shows."""
    cells = (row.split("|")[1:3] for row in PARTS["View"].splitlines() if "|" in row)
    (content,) = [content for names, content in cells if f"`{field}`" in names]
    # `screen` and `picture` share a row; only the picture is an object.
    objects = re.findall(r"`\[?(\{.*?\})\]?`", content)
    return {key for each in objects for key in re.findall(r'"(\w+)"', each)}


@pytest.mark.parametrize("kind", [ConnectionState, TalkState])
def test_every_value_of_a_state_is_described(kind):
    assert [word for word in kind if f"`{word}`" not in PARTS["View"]] == []


def test_every_request_is_described_with_its_fields():
    for path, ask in POSTS.items():
        rows = PARTS["Requests"].splitlines()
        row = next(row for row in rows if f"POST {path}`" in row)
        body = row.split("|")[2]
        names = [item.name for item in msgspec.structs.fields(ask)]
        assert [name for name in names if f'"{name}"' not in body] == []


def test_every_example_of_a_command_is_valid():
    block = re.search(r"```json\n(.*?)```", PARTS["WebSocket"], flags=re.DOTALL)
    assert block
    commands = [from_command(line) for line in block[1].splitlines()]
    assert {type(command) for command in commands} == set(get_args(AnyRequest))


async def test_every_field_of_the_health_is_described_and_no_other(served):
    (row,) = [line for line in DOCUMENT.splitlines() if "`GET /health`" in line]
    async with served.client() as client:
        sent = (await client.get("/health")).json()
    assert set(re.findall(r'"(\w+)":', row)) == set(sent)
