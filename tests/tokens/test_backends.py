"""The documented configurations, used with what they are for."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
import yaml

from appliance.config import Config, RoomConfig
from appliance.config.load import load, need_room
from appliance.core.commands import FetchToken
from appliance.core.events import TokenFailed, TokenReady
from appliance.tokens.adapter import TokenAdapter
from tests.tokens.backends import PROXY, SERVER, Network
from tests.tokens.token_texts import NOW_S

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "appliance/tokens/BACKENDS.md"
FENCE = re.compile(r"```(?:yaml|sh)\n(.*?)```", re.DOTALL)
SECRET = "0123456789abcdef0123456789abcdef"
ENVIRONMENT = {
    "LIVEKIT_URL": SERVER,
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": SECRET,
    "TOKEN_SERVER_ROOMS": "[kitchen, garage]",
    "TOKEN_SERVER_HOSTS": "[nas.local, tokens.example.com]",
    "TOKEN_SERVER_BOXES": "{kitchen: the-secret-of-this-box}",
    "TOKEN_SERVER_TRUSTED_PROXIES": "[127.0.0.1]",
    "TOKEN_SERVER_USER_HEADER": "X-Forwarded-User",
}


def rooms(path: Path) -> list[str]:
    """Return the blocks of a document that are a configuration with a room."""
    blocks = [found[1] for found in FENCE.finditer(path.read_text())]
    return [block for block in blocks if re.search(r"^room:", block, re.MULTILINE)]


def title(block: str) -> str:
    found = re.search(r"token_url: *\"?https?://([^\s,}\"]+)", block)
    return found[1] if found else "no address"


BLOCKS = [*rooms(DOCUMENT), *rooms(REPOSITORY / "README.md")]


@pytest.fixture(scope="module")
def port():
    """Start our own token server and return its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "appliance", "token-server", "--listen", "127.0.0.1:0"],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stderr is not None
        lines = iter(program.stderr.readline, "")
        yield int(next(x for x in lines if "port=" in x).rsplit("port=")[1])
        program.terminate()


def config_of(block: str, tmp_path: Path) -> Config:
    """Return the configuration; in README it may be part of a shell command."""
    start = re.search(r"^room:", block, re.MULTILINE)
    assert start is not None
    lines = block if "<<" not in block else block[start.start() :].partition("END")[0]
    path = tmp_path / "config.yaml"
    path.write_text(lines)
    loaded = load(path, (), {})
    need_room(loaded)
    return loaded.config


async def answers(
    config: Config, port: int, times: int, preset: str | None = None
) -> AsyncIterator[object]:
    """Yield the answers to so many requests of one token source."""
    events: asyncio.Queue[object] = asyncio.Queue()
    async with TokenAdapter(
        config,
        identity="box-1",
        post=events.put_nowait,
        transport=Network(port),
        now_s=now_s,
    ) as source:
        for ticket in range(times):
            source.do(FetchToken(ticket, preset, None))
            yield await events.get()


async def fetched(config: Config, port: int, preset: str | None = None) -> object:
    (answer,) = [answer async for answer in answers(config, port, 1, preset)]
    return answer


def room_of(answer: TokenReady) -> object:
    claims = jwt.decode(answer.details.token, options={"verify_signature": False})
    return claims["video"]["room"]


def now_s() -> float:
    """Return the time at which the stand-in's tokens are valid."""
    return NOW_S


@pytest.mark.parametrize("block", BLOCKS, ids=title)
async def test_a_documented_configuration_gets_a_token(block, tmp_path, port):
    answer = await fetched(config_of(block, tmp_path), port)
    assert isinstance(answer, TokenReady), answer
    assert answer.details.url == SERVER
    asked_room = (
        yaml.safe_load(block)["room"].get("name") if "<<" not in block else None
    )
    assert asked_room in {None, room_of(answer)}
    assert answer.details.expects_agent == ("agent_name" in block)


async def test_the_lines_for_our_own_server_get_the_identity_they_are_for(
    tmp_path, port
):
    blocks = [x for x in rooms(DOCUMENT) if "nas.local" in x or PROXY in x]
    answers = [await fetched(config_of(block, tmp_path), port) for block in blocks]
    identities = [
        answer.details.identity for answer in answers if isinstance(answer, TokenReady)
    ]
    assert identities == ["box-1", "kitchen", "user"]


@pytest.mark.parametrize(
    ("without", "line"),
    [("  identity: kitchen\n", "kitchen"), (", participant_identity: null", "user")],
)
async def test_without_its_line_about_the_identity_our_own_server_says_what_to_write(
    tmp_path, port, without, line
):
    (block,) = (x for x in rooms(DOCUMENT) if without in x and "Authorization" in x)
    answer = await fetched(config_of(block.replace(without, ""), tmp_path), port)
    assert isinstance(answer, TokenFailed)
    assert f'write room: {{identity: "{line}"}} in a box' in answer.failure.reason


async def test_our_own_server_says_which_field_it_does_not_know(port):
    room = RoomConfig(
        token_url="http://nas.local:8787/api/token",
        token_body={"roomname": "kitchen"},
        allow_insecure=("nas.local",),
    )
    answer = await fetched(Config(room=room), port)
    assert isinstance(answer, TokenFailed)
    assert answer.failure.reason.endswith(
        'It says: "roomname: this field is not known here; leave it out.".'
    )


async def test_a_preset_needs_only_a_name_where_the_room_is_a_placeholder(
    tmp_path, port
):
    (block,) = (x for x in rooms(DOCUMENT) if "/v2/sandbox" in x)
    config = config_of(f"{block}  presets: [{{name: garage}}]", tmp_path)
    answer = await fetched(config, port, "garage")
    assert isinstance(answer, TokenReady)
    assert room_of(answer) == "garage"


async def test_the_identity_that_meet_gives_stays_the_same(tmp_path, port):
    (block,) = (x for x in rooms(DOCUMENT) if "meet.example.com" in x)
    config = config_of(block, tmp_path)
    identities = [
        answer.details.identity
        async for answer in answers(config, port, 2)
        if isinstance(answer, TokenReady)
    ]
    assert len(identities) == 2
    assert len(set(identities)) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://cloud-api.livekit.io/api/v2/sandbox/connection-details",
        "https://cloud-api.livekit.io/api/sandbox/connection-details",
        "https://standard.example.com/getToken",
        "https://starter.example.com/api/connection-details",
        "https://us-central1-your-project.cloudfunctions.net/getToken",
        "https://dtelecom.example.com/api/join",
        "https://gateway.example.com/v1/webrtc/token",
        "https://meet.example.com/api/connection-details",
        "https://quickstart.example.com/getToken",
        "https://react.example.com/api/get-participant-token",
        "https://dtelecom.example.com/api/token",
    ],
)
async def test_without_its_lines_a_token_source_refuses(url, port):
    answer = await fetched(Config(room=RoomConfig(token_url=url)), port)
    assert isinstance(answer, TokenFailed)
    assert f"{url} answered " in answer.failure.reason


@pytest.mark.parametrize(
    ("url", "method", "status", "said"),
    [
        (
            "https://us-central1-your-project.cloudfunctions.net/getToken",
            *("POST", 400, "Bad Request"),
        ),
        (
            "https://meet.example.com/api/connection-details",
            *("GET", 400, "Missing required query parameter: roomName"),
        ),
        (
            "https://starter.example.com/api/connection-details",
            *("POST", 500, "agent_name is missing"),
        ),
    ],
)
async def test_the_words_of_a_token_source_are_shown(port, url, method, status, said):
    room = RoomConfig(token_url=url, token_method=method)
    answer = await fetched(Config(room=room), port)
    assert isinstance(answer, TokenFailed)
    assert answer.failure.reason.endswith(
        f'answered {status} instead of a token. It says: "{said}".'
    )


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub("[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_every_token_source_of_the_table_has_a_block():
    text = DOCUMENT.read_text()
    rows = re.findall(r"\[(\d+)\]\(#(\S+)\)", text)
    headings = re.findall(r"^## (\d+) (.+)$", text, re.MULTILINE)
    assert rows == [(n, anchor(f"{n} {heading}")) for n, heading in headings]
    # Three for our own server, two for dTelecom's documentation.
    assert len(rooms(DOCUMENT)) == len(rows) + 3
    assert len(rooms(REPOSITORY / "README.md")) >= 4
