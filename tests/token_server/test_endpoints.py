"""Endpoints of the token server."""

import asyncio
import json
import socket

import httpx
import pytest

from appliance.net import http_server
from appliance.token_server.server import MAX_BODY, PATHS, app, client_limits
from tests.token_server.clients import (
    BOX,
    NOW_S,
    SHARED,
    asking,
    bearer,
    claims_of,
    settings,
)


@pytest.fixture
async def client():
    async with asking() as client:
        yield client


async def test_the_standard_request_is_answered_with_the_names_of_every_client(client):
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
    token = answer["participant_token"]
    url = "wss://lk.example.com"
    assert answer == {
        "server_url": url,
        "serverUrl": url,
        "wsUrl": url,
        "participant_token": token,
        "participantToken": token,
        "token": token,
        "accessToken": token,
        "room_name": "lab-1",
        "roomName": "lab-1",
        "participant_name": "Küche",
        "participantName": "Küche",
        "expires_at": NOW_S + 600,
    }
    assert claims_of(response) == {
        "iss": "key",
        "sub": "box",
        "name": "Küche",
        "nbf": NOW_S - 10,
        "exp": NOW_S + 600,
        "video": {
            "room": "lab-1",
            "roomJoin": True,
            "canPublish": True,
            "canSubscribe": True,
            "canPublishData": True,
        },
    }


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/api/token", "roomName=kitchen&identity=box&name=Box", None),
        ("GET", "/api/token", "room=kitchen&identity=box", None),
        ("POST", "/api/join", "", {"room": "kitchen", "identity": "box"}),
        (
            *("GET", "/api/connection-details"),
            *("roomName=kitchen&participantName=Box&identity=box", None),
        ),
        (
            *("POST", "/api/connection-details", ""),
            {"roomName": "kitchen", "participantIdentity": "box"},
        ),
        ("POST", "/api/token", "identity=box", {"room_name": "kitchen"}),
    ],
)
async def test_the_requests_of_other_projects_are_understood(
    client, method, path, query, body
):
    response = await client.request(method, f"{path}?{query}", json=body)
    assert response.status_code == (201 if method == "POST" else 200)
    claims = claims_of(response)
    assert (claims["sub"], claims["video"]["room"]) == ("box", "kitchen")


async def test_every_endpoint_takes_both_methods(client):
    for path in PATHS:
        assert (await client.get(path)).status_code == 200
        assert (await client.post(path)).status_code == 201


async def test_an_empty_request_gets_the_first_room_and_an_identity(client):
    claims = [claims_of(await client.post("/api/token")) for _ in range(2)]
    assert {each["video"]["room"] for each in claims} == {"kitchen"}
    assert len({each["sub"] for each in claims}) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"nonsense", 400),
        (b"\xff", 400),
        (b"[" * 10_000, 400),
        (b'{"room_name": "\\ud800"}', 400),
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


async def test_deeply_nested_values_of_two_spellings_are_refused(client):
    deep = "[" * 900 + "]" * 900
    body = f'{{"room_config": {{"a": {deep}}}, "roomConfig": {{"a": {deep}}}}}'
    response = await client.post("/api/token", content=body)
    assert response.status_code == 400


async def test_a_field_with_two_different_values_is_refused(client):
    response = await client.get("/api/token?room=kitchen&room=lab-1")
    assert (response.status_code, response.json()["key"]) == (400, "room")
    body = {"identity": "other"}
    response = await client.post("/api/token?identity=box", json=body)
    assert (response.status_code, response.json()["key"]) == (400, "identity")


async def test_only_listed_origins_are_allowed(client):
    evil = {"origin": "https://evil.example.com"}
    response = await client.post("/api/token", headers=evil)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    good = {"origin": "https://app.example.com"}
    response = await client.post("/api/token", headers=good)
    assert response.status_code == 201
    assert response.headers["access-control-allow-origin"] == good["origin"]


def preflight(header):
    return {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": header,
    }


async def test_a_cors_preflight_allows_the_usual_headers_of_a_listed_origin(client):
    headers = preflight("content-type, x-user-id, authorization")
    assert (await client.options("/api/token", headers=headers)).status_code == 200
    headers["origin"] = "https://evil.example.com"
    response = await client.options("/api/token", headers=headers)
    assert response.status_code == 400
    assert "access-control-allow-origin" not in response.headers


async def test_further_headers_of_a_web_page_are_configured(client):
    headers = preflight("x-sandbox-id")
    assert (await client.options("/api/token", headers=headers)).status_code == 400
    async with asking(request_headers=["X-Sandbox-ID"]) as other:
        response = await other.options("/api/token", headers=headers)
    assert response.status_code == 200


async def test_a_web_page_can_read_that_it_asks_too_often():
    async with asking(requests_per_s_each=1) as client:
        answers = [await client.get("/api/token") for _ in range(30)]
    assert answers[-1].status_code == 429
    assert answers[-1].headers["access-control-allow-origin"] == "*"
    assert answers[-1].headers["access-control-expose-headers"] == "retry-after"


async def test_without_web_pages_no_origin_may_read_anything():
    async with asking(requests_per_s_each=1, origins=[]) as client:
        answers = [await client.get("/api/token") for _ in range(30)]
    assert answers[-1].status_code == 429
    assert "access-control-allow-origin" not in answers[-1].headers


async def status_for(host, *, local="127.0.0.1", **keys):
    """Return the status for a `Host` at a server that is reached at `local`."""
    async with asking(host=local, **keys) as client:
        return (await client.get("/health", headers={"host": host})).status_code


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "127.0.0.1:8787"])
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example.com", "evil.example.com:8787", "10.evil.com"),
        *("", "a b", "[::1", "@"),
    ],
)
async def test_a_foreign_name_that_resolves_to_this_machine_is_refused(host, listen):
    assert await status_for(host, listen=listen) == 400


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:8787", "[::1]", "localhost:8787", "LOCALHOST"),
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
    hosts = ["192.168.1.21"]
    assert await status_for("192.168.1.21:8787", local=local, hosts=hosts) == 200


async def test_the_name_of_a_proxy_is_accepted_if_it_is_listed():
    hosts = ["Tokens.example.com"]
    assert await status_for("tokens.example.com", hosts=hosts) == 200
    assert await status_for("sub.tokens.example.com", hosts=hosts) == 400


async def test_a_refused_host_says_what_to_write(client):
    for host, name in (
        ("203.0.113.7:8787", "203.0.113.7"),
        ("[2001:db8::7]:80", "2001:db8::7"),
        ("nas.lan", "nas.lan"),
        ("a b", "its name"),
    ):
        response = await client.get("/api/token", headers={"host": host})
        assert response.json()["error"] == (
            f"this host is not known here; if it is, add {name} to hosts."
        )


async def test_a_body_that_is_not_sent_times_out(monkeypatch):
    monkeypatch.setattr(http_server, "BODY_S", 0.01)
    chosen = settings()
    server = app(chosen, client_limits(chosen.config))
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


async def test_health_is_open_to_everybody():
    async with asking(address="198.51.100.1") as client:
        assert (await client.get("/health")).json() == {"status": "ok"}


async def counted(client):
    """Return the values of the metrics by name and labels."""
    text = (await client.get("/metrics")).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in map(str.split, lines)}


async def test_metrics_count_tokens_and_refusals(client):
    forbidden = {"room": "garage"}
    await client.post("/api/token", json=forbidden)
    before = await counted(client)
    await client.post("/api/token")
    await client.post("/api/token", json=forbidden)
    after = await counted(client)
    for name in (
        "ptt_tokens_issued_total",
        'ptt_token_requests_refused_total{status="403"}',
    ):
        assert after[name] == before[name] + 1
    assert "process_resident_memory_bytes" in after


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, 403),
        ("127.0.0.1", {"via": "1.1 proxy"}, 403),
        ("192.168.1.2", {}, 403),
        ("192.168.1.2", {"x-forwarded-for": "127.0.0.1"}, 403),
        ("192.168.1.5", {}, 403),
        ("192.168.1.5", bearer("x" * 20), 403),
        ("192.168.1.5", bearer(BOX), 403),
        ("192.168.1.5", bearer(SHARED), 200),
    ],
)
async def test_metrics_are_for_this_machine_and_for_the_shared_secret(
    address, headers, status
):
    async with asking(
        address=address,
        secret=SHARED,
        boxes={"kitchen": BOX},
        allow=["anybody"],
        trusted_proxies=["192.168.1.2"],
    ) as client:
        response = await client.get("/metrics", headers=headers)
    assert response.status_code == status
