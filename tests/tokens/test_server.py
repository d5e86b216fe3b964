import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from appliance.errors import ConfigError
from appliance.tokens.claims import read_claims
from appliance.tokens.server import MAX_BODY, app
from appliance.tokens.server_config import read_settings

ENVIRONMENT = {
    "LIVEKIT_URL": "wss://lk.example.com",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "0123456789abcdef0123456789abcdef",
    "TOKEN_SERVER_ROOMS": "[kitchen, 'lab-*']",
    "TOKEN_SERVER_ORIGINS": "['https://app.example.com']",
}
NOW_S = 1_700_000_000


@pytest.fixture
async def client():
    server = app(read_settings(None, None, ENVIRONMENT), now_s=lambda: NOW_S)
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8787"
    ) as client:
        yield client


async def test_the_standard_request_is_answered_with_both_spellings(client):
    asked = {
        "room_name": "lab-1",
        "participant_identity": "box",
        "participant_name": "Küche",
        "room_config": {"agents": []},
    }
    response = await client.post("/api/token", json=asked)
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    token = answer.pop("participant_token")
    assert answer == {
        "server_url": "wss://lk.example.com",
        "room_name": "lab-1",
        "participant_name": "Küche",
        "serverUrl": "wss://lk.example.com",
        "roomName": "lab-1",
        "participantName": "Küche",
        "participantToken": token,
        "expires_at": NOW_S + 600,
    }
    claims = read_claims(token)
    assert claims is not None
    assert (claims.identity, claims.room, claims.expires_at_s) == (
        "box",
        "lab-1",
        NOW_S + 600,
    )


async def test_a_get_with_a_query_is_answered_too(client):
    response = await client.get("/api/token?roomName=kitchen&identity=box&name=Box")
    assert response.status_code == 200
    claims = read_claims(response.json()["participantToken"])
    assert claims is not None
    assert (claims.identity, claims.room) == ("box", "kitchen")


async def test_an_empty_request_gets_the_first_room_and_an_identity(client):
    answers = [(await client.post("/api/token")).json() for _ in range(2)]
    claims = [read_claims(answer["participant_token"]) for answer in answers]
    assert {claim.room for claim in claims if claim} == {"kitchen"}
    assert len({claim.identity for claim in claims if claim}) == 2


@pytest.mark.parametrize("room", ["garage", "lab", "kitchen2", "*", "KITCHEN"])
async def test_a_room_that_is_not_allowed_is_refused(client, room):
    response = await client.post("/api/token", json={"room": room})
    assert response.status_code == 403
    assert response.json() == {
        "error": "tokens for this room are not issued here.",
        "key": "room_name",
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"nonsense", 400),
        (b"\xff", 400),
        (b"[" * 10_000, 400),
        (b'{"room_name": 5}', 400),
        (b'{"room_name": ["kitchen"]}', 400),
        (b'{"participant_identity": {"a": 1}}', 400),
        (b'{"participant_name": "a\\nb"}', 400),
        (json.dumps({"identity": "x" * 201}).encode(), 400),
        (b" " * (MAX_BODY + 1), 413),
    ],
)
async def test_an_invalid_request_is_answered_with_an_error(client, body, status):
    response = await client.post("/api/token", content=body)
    assert response.status_code == status
    assert response.json()["error"].endswith(".")


async def test_only_listed_origins_are_allowed(client):
    evil = {"origin": "https://evil.example.com"}
    response = await client.post("/api/token", headers=evil)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    good = {"origin": "https://app.example.com"}
    response = await client.post("/api/token", headers=good)
    assert response.status_code == 201
    assert response.headers["access-control-allow-origin"] == good["origin"]


async def test_a_cors_preflight_is_answered(client):
    headers = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    assert (await client.options("/api/token", headers=headers)).status_code == 200


async def test_a_foreign_name_that_resolves_to_loopback_is_refused(client):
    response = await client.get("/api/token", headers={"host": "evil.example.com"})
    assert response.status_code == 400


def reaching(listen="127.0.0.1:8787", hosts="[]", local="127.0.0.1"):
    """Return a client of a server that listens there, connected to address `local`."""
    given = {"TOKEN_SERVER_LISTEN": listen, "TOKEN_SERVER_HOSTS": hosts}
    server = app(read_settings(None, None, ENVIRONMENT | given), now_s=lambda: NOW_S)
    transport = httpx.ASGITransport(server)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{local}:8787")


async def status_for(host, **settings):
    async with reaching(**settings) as client:
        return (await client.get("/api/token", headers={"host": host})).status_code


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "evil.example.com:8787",
        "10.evil.com",
        "",
        "a b",
        "[::1",
        "@",
    ],
)
async def test_a_foreign_name_that_resolves_to_the_lan_is_refused(host):
    assert await status_for(host, listen="0.0.0.0:8787") == 400


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8787",
        "[::1]",
        "localhost:8787",
        "LOCALHOST",
        socket.gethostname(),
        f"{socket.gethostname().partition('.')[0]}.local:8787",
    ],
)
@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "127.0.0.1:8787"])
async def test_this_machines_names_and_loopback_are_accepted(host, listen):
    assert await status_for(host, listen=listen) == 200


@pytest.mark.parametrize("local", ["192.168.1.20", "[2001:db8::1]"])
async def test_the_ip_address_of_the_connection_is_accepted(local):
    assert await status_for(f"{local}:8787", local=local) == 200
    assert await status_for("192.168.1.21:8787", local=local) == 400
    hosts = '["192.168.1.21"]'
    assert await status_for("192.168.1.21:8787", local=local, hosts=hosts) == 200


async def test_the_name_of_a_proxy_is_accepted_if_it_is_listed():
    hosts = "[Tokens.example.com]"
    assert await status_for("tokens.example.com", hosts=hosts) == 200
    assert await status_for("sub.tokens.example.com", hosts=hosts) == 400


async def test_a_body_that_is_not_sent_times_out():
    server = app(read_settings(None, None, ENVIRONMENT), body_s=0.01)
    ended = asyncio.Event()

    async def body():
        yield b"{"
        await ended.wait()

    transport = httpx.ASGITransport(server)
    async with (
        asyncio.timeout(10),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        response = await client.post("/api/token", content=body())
    assert response.status_code == 408


async def test_health_is_open(client):
    assert (await client.get("/health")).json() == {"status": "ok"}


def faults_of(environment, path=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings(path, None, environment)
    return str(caught.value).splitlines()


def test_each_missing_setting_is_named():
    assert faults_of({}) == [
        (
            "/etc/ptt-appliance/token-server.yaml: rooms: expected room names, "
            "found none. Write [kitchen]."
        ),
        (
            "environment: LIVEKIT_URL: expected the address of your LiveKit server, "
            "wss://…, found nothing. Set this variable."
        ),
        (
            "environment: LIVEKIT_API_KEY: expected an API key of your LiveKit server, "
            "found nothing. Set this variable."
        ),
        (
            "environment: LIVEKIT_API_SECRET: expected the secret of that API key, "
            "found nothing. Set this variable."
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        (
            {"LIVEKIT_API_SECRET": "short"},
            "environment: LIVEKIT_API_SECRET: expected 32",
        ),
        ({"LIVEKIT_URL": "ws://h"}, "environment: LIVEKIT_URL: ws://h would go"),
        (
            {"TOKEN_SERVER_ROMS": "[]"},
            (
                "environment: TOKEN_SERVER_ROMS: unknown key. Did "
                "you mean TOKEN_SERVER_ROOMS?"
            ),
        ),
        (
            {"TOKEN_SERVER_TTL_S": "5"},
            (
                "environment: TOKEN_SERVER_TTL_S: expected a "
                "whole number 60-3600, found 5. Write 60."
            ),
        ),
        (
            {"TOKEN_SERVER_ROOMS": "kitchen"},
            (
                "environment: TOKEN_SERVER_ROOMS: expected "
                "a list, each text of 1-200 characters, "
                'found "kitchen". Write [kitchen].'
            ),
        ),
        (
            {"TOKEN_SERVER_LISTEN": "a b:1"},
            "environment: TOKEN_SERVER_LISTEN: expected",
        ),
        (
            {"TOKEN_SERVER_HOSTS": "['*']"},
            "environment: TOKEN_SERVER_HOSTS: expected host names and nothing more",
        ),
        (
            {"TOKEN_SERVER_ORIGINS": "['https://h/x']"},
            "environment: TOKEN_SERVER_ORIGINS: expected scheme and host only",
        ),
    ],
)
def test_a_fault_has_the_format_of_the_appliances(changes, start):
    (line,) = faults_of(ENVIRONMENT | changes)
    assert line.startswith(start)
    assert "short" not in line


def test_a_file_and_the_command_line_are_read_too(tmp_path):
    path = tmp_path / "token-server.yaml"
    path.write_text("listen: 127.0.0.1:1\nrooms: [garage]\nttl_s: 300")
    environment = {k: v for k, v in ENVIRONMENT.items() if k.startswith("LIVEKIT")}
    settings = read_settings(path, "127.0.0.1:2", environment)
    assert (settings.config.listen, settings.config.ttl_s) == ("127.0.0.1:2", 300)
    assert settings.may_open("garage")
    assert settings.secret not in repr(settings)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_and_ends_cleanly(stop):
    with subprocess.Popen(
        [sys.executable, "-m", "appliance", "token-server", "--listen", "127.0.0.1:0"],
        cwd=Path(__file__).parents[2],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stderr is not None
        line = program.stderr.readline()
        port = line.rsplit("port=")[1].strip()
        response = httpx.post(f"http://127.0.0.1:{port}/api/token", trust_env=False)
        assert response.status_code == 201
        program.send_signal(stop)
        rest = program.stderr.read()
        assert program.wait() == 0
    assert ENVIRONMENT["LIVEKIT_API_SECRET"] not in line + rest
    assert response.json()["participant_token"] not in rest


def test_an_address_in_use_is_named_and_exits_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "appliance", "token-server", "--listen", listen],
            cwd=Path(__file__).parents[2],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        f"ptt-appliance: cannot listen on {listen}: address already in use. "
        "Choose another address.\n"
    )
