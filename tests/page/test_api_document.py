"""The description of the API names everything that the page serves."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import appliance.page
from appliance.core.view import ConnectionState, TalkState
from appliance.page.application import POSTS
from appliance.page.messages import AnyRequest, from_command
from appliance.page.snapshot import Snapshot

DOCUMENT = (Path(appliance.page.__file__).parent / "API.md").read_text()
_SPLIT = re.split(r"^## (.*)$", DOCUMENT, flags=re.MULTILINE)
PARTS = dict(zip(_SPLIT[1::2], _SPLIT[2::2], strict=True))


def test_every_field_of_the_view_is_described_and_no_other():
    rows = re.findall(r"^\| (`.*?) \|", PARTS["View"], flags=re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    sent = msgspec.json.decode(Snapshot((128, 64)).json(), type=dict[str, object])
    assert described == set(sent)


@pytest.mark.parametrize("kind", [ConnectionState, TalkState])
def test_every_value_of_a_state_is_described(kind):
    assert [word for word in kind if f"`{word}`" not in PARTS["View"]] == []


def test_every_request_is_described_with_its_fields():
    for path, ask in POSTS.items():
        rows = PARTS["Requests"].splitlines()
        row = next(row for row in rows if f"POST {path}`" in row)
        names = [item.name for item in msgspec.structs.fields(ask)]
        assert [name for name in names if f'"{name}"' not in row] == []


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
