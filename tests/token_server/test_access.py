"""Who gets tokens from the token server."""

import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from appliance.config import RoomConfig
from appliance.token_server.access import Networks
from appliance.token_server.server import app, client_limits
from appliance.tokens.adapter import token_request
from tests.token_server.clients import (
    BOX,
    NOW_S,
    SHARED,
    asking,
    bearer,
    claims_of,
    settings,
)

REFERENCE = Path(__file__).parents[2] / "systemd" / "token-server.yaml"
LAN = "192.168.1.5"
PROXY = "192.168.1.2"


async def ask(headers=None, body=None, **settings):
    async with asking(**settings) as client:
        return await client.post("/api/token", json=body or {}, headers=headers)


async def status(headers=None, body=None, **settings):
    return (await ask(headers, body, **settings)).status_code


async def test_only_programs_on_this_machine_may_ask_by_default():
    assert await status() == 201
    assert await status(address="127.0.0.9") == 201
    assert await status(address="::1") == 201
    response = await ask(address=LAN)
    assert response.status_code == 403
    assert response.json()["error"] == (
        "requests from 192.168.1.5 are not allowed; add the address to allow, or set a "
        "secret."
    )


@pytest.mark.parametrize(
    ("allow", "address", "expected"),
    [
        (["192.168.1.0/24"], LAN, 201),
        (["192.168.1.0/24"], "::ffff:192.168.1.5", 201),
        (["192.168.1.0/24"], "192.168.2.5", 403),
        (["192.168.1.0/24"], "127.0.0.1", 403),
        (["loopback", "2001:db8::/32"], "2001:db8::5", 201),
        (["anybody"], "198.51.100.7", 201),
        (["anybody"], "2001:db8::5", 201),
        ([], "127.0.0.1", 403),
    ],
)
async def test_networks_that_need_no_secret_are_configured(allow, address, expected):
    assert await status(allow=allow, address=address) == expected


async def test_the_shared_secret_opens_from_anywhere():
    far = {"address": LAN, "secret": SHARED}
    assert await status(bearer(SHARED), **far) == 201
    assert await status({"authorization": f"bearer  {SHARED}"}, **far) == 201
    response = await ask(**far)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "value",
    ["Bearer " + SHARED[:-1], f"Basic {SHARED}", SHARED, "Bearer", "Bearer é"],
)
async def test_a_wrong_secret_is_refused_even_from_this_machine(value):
    headers = [(b"authorization", value.encode())]
    assert await status(headers, secret=SHARED) == 401
    assert await status(headers) == 401


async def test_a_box_with_its_own_secret_gets_its_own_identity():
    boxes = {"kitchen": BOX}
    response = await ask(bearer(BOX), address=LAN, boxes=boxes)
    assert claims_of(response)["sub"] == "kitchen"
    body = {"participant_identity": "kitchen"}
    response = await ask(bearer(BOX), body, address=LAN, boxes=boxes)
    assert claims_of(response)["sub"] == "kitchen"
    body = {"participant_identity": "garage"}
    response = await ask(bearer(BOX), body, address=LAN, boxes=boxes)
    assert response.status_code == 403
    assert response.json() == {
        "error": (
            'this sender may only be kitchen: write room: {identity: "kitchen"} in a '
            "box, leave it out elsewhere."
        ),
        "key": "participant_identity",
    }


@pytest.mark.parametrize("headers", [None, bearer(SHARED)])
async def test_nobody_else_gets_the_identity_of_a_named_box(headers):
    settings = {"boxes": {"kitchen": BOX}, "secret": SHARED}
    body = {"participant_identity": "kitchen"}
    assert await status(headers, body, **settings) == 403
    asked = {**(headers or {}), "x-user-id": "kitchen"}
    assert await status(asked, **settings) == 403


async def test_another_identity_is_free_beside_named_boxes():
    body = {"participant_identity": "kitchen-2"}
    response = await ask(None, body, boxes={"kitchen": BOX})
    assert claims_of(response)["sub"] == "kitchen-2"


def documented_lines(word):
    """Return the lines for a box in the reference file that contain this word."""
    text = REFERENCE.read_text()
    lines = re.findall(r"^# (room: \{.*)$", text, re.MULTILINE)
    (line,) = (line for line in lines if word in line)
    return RoomConfig(
        token_url="http://127.0.0.1:8787/api/token", **yaml.safe_load(line)["room"]
    )


async def as_box(room, more_headers=None, **keys):
    """Send what a box with these lines and an identity of its own would send."""
    request = token_request(room, room.identity or "ptt-7f3a", "Kitchen")
    headers = {**request.headers, **(more_headers or {})}
    async with asking(**keys) as client:
        return await client.post("/api/token", content=request.body, headers=headers)


async def test_the_documented_lines_of_a_named_box_get_its_token():
    room = documented_lines("Bearer")
    text = REFERENCE.read_text()
    (line,) = re.findall(r"^# Example: (boxes: .*)$", text, re.MULTILINE)
    boxes = yaml.safe_load(line)
    response = await as_box(room, address=LAN, **boxes)
    assert claims_of(response)["sub"] == "kitchen"
    response = await as_box(replace(room, identity=None), address=LAN, **boxes)
    assert response.status_code == 403
    (advice,) = re.findall(r"room: (\{.*?\})", response.json()["error"])
    advised = replace(room, **yaml.safe_load(advice))
    response = await as_box(advised, address=LAN, **boxes)
    assert claims_of(response)["sub"] == "kitchen"


async def test_the_documented_lines_of_a_box_behind_a_log_in_get_its_token():
    added = {"x-forwarded-user": "anna", "x-forwarded-for": "198.51.100.7"}
    response = await as_box(documented_lines("Basic"), added, address=PROXY, **USERS)
    assert claims_of(response)["sub"] == "anna"


USERS = {"trusted_proxies": [PROXY], "user_header": "X-Forwarded-User"}


async def test_a_trusted_proxy_names_the_user():
    headers = {"x-forwarded-user": "anna", "x-forwarded-for": "198.51.100.7"}
    response = await ask(headers, address=PROXY, **USERS)
    assert claims_of(response)["sub"] == "anna"
    body = {"participant_identity": "ben"}
    assert await status(headers, body, address=PROXY, **USERS) == 403


@pytest.mark.parametrize("name", ["x-forwarded-user", "authorization", "x-user-id"])
async def test_a_header_that_is_given_twice_is_refused(name):
    """A proxy may add its own to the client's, and which one is first is not known."""
    headers = [(name, "anna"), (name, "ben"), ("x-forwarded-for", "192.168.1.5")]
    keys = USERS | {"allow": ["192.168.1.0/24"]}
    response = await ask(headers, address=PROXY, **keys)
    assert response.status_code == 400
    assert response.json()["key"].lower() == name


@pytest.mark.parametrize("value", ["Basic YW5uYTpwYXNz", f"Bearer {SHARED}", "x"])
async def test_the_log_in_at_a_proxy_is_not_judged_as_a_secret(value):
    """nginx passes the header on with which the user has logged in there."""
    headers = {
        "authorization": value,
        "x-forwarded-user": "anna",
        "x-forwarded-for": "198.51.100.7",
    }
    keys = USERS | {"secret": BOX}
    response = await ask(headers, address=PROXY, **keys)
    assert claims_of(response)["sub"] == "anna"
    assert await status(headers, address=LAN, **keys) == 401
    del headers["x-forwarded-user"]
    assert await status(headers, address=PROXY, **keys) == 401


async def test_a_secret_comes_before_the_user_that_a_proxy_names():
    headers = {"x-forwarded-user": "anna", "x-forwarded-for": "198.51.100.7"}
    keys = USERS | {"boxes": {"kitchen": BOX}}
    response = await ask(headers | bearer(BOX), address=PROXY, **keys)
    assert claims_of(response)["sub"] == "kitchen"


async def test_nobody_else_is_believed_to_name_a_user():
    headers = {"x-forwarded-user": "anna"}
    assert await status(headers, address=LAN, **USERS) == 403
    response = await ask(headers, address="127.0.0.1", **USERS)
    assert claims_of(response)["sub"] != "anna"


async def test_a_user_with_the_name_of_a_box_is_refused():
    headers = {"x-forwarded-user": "kitchen"}
    boxes = {"kitchen": BOX}
    assert await status(headers, address=PROXY, boxes=boxes, **USERS) == 403
    headers = {"x-forwarded-user": "x" * 201}
    assert await status(headers, address=PROXY, **USERS) == 403


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("192.168.1.7", 201),
        ("198.51.100.7", 403),
        ("192.168.1.7, 198.51.100.7", 403),
        ("198.51.100.7, 192.168.1.7", 201),
        (f"192.168.1.7, {PROXY}", 201),
        ("192.168.1.7:5060", 201),
        ("[::ffff:192.168.1.7]:5060", 201),
        ("127.0.0.1", 403),
        ("nonsense", 403),
        ("", 403),
        (None, 403),
        (", ".join(["192.168.1.7"] * 500), 201),
    ],
)
async def test_the_address_behind_a_trusted_proxy_is_the_last_it_names(
    forwarded, expected
):
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    allowed = {"allow": ["loopback", "192.168.1.0/24"], "trusted_proxies": [PROXY]}
    assert await status(headers, address=PROXY, **allowed) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"),
        *("X-Real-IP", "Via", "CF-Connecting-IP", "True-Client-IP"),
    ],
)
async def test_a_proxy_that_is_not_trusted_does_not_lend_its_own_address(name):
    response = await ask({name: "127.0.0.1"})
    assert response.status_code == 403
    assert "trusted_proxies" in response.json()["error"]


async def test_each_client_of_a_trusted_proxy_has_a_rate_of_its_own():
    async with asking(
        address=PROXY,
        trusted_proxies=[PROXY],
        allow=["anybody"],
        requests_per_s_each=1,
    ) as client:

        async def statuses(count, address):
            headers = {"x-forwarded-for": address}
            return [
                (await client.get("/api/token", headers=headers)).status_code
                for _ in range(count)
            ]

        assert 429 in await statuses(30, "198.51.100.1")
        assert await statuses(1, "198.51.100.2") == [200]


@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_beside_a_proxy_on_this_machine_programs_use_another_loopback_address(
    peer,
):
    keys = {"trusted_proxies": ["127.0.0.1"]}
    assert await status(address=peer, **keys) == 403
    assert await status(address="127.0.0.2", **keys) == 201


async def test_an_ipv4_address_in_ipv6_form_is_the_same_client():
    chosen = settings(requests_per_s_each=1, trusted_proxies=[PROXY], allow=["anybody"])
    serves = app(chosen, client_limits(chosen.config), lambda: NOW_S)

    async def statuses(count, address, headers=None):
        transport = httpx.ASGITransport(serves, client=(address, 5000))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8787"
        ) as client:
            get = [
                await client.get("/api/token", headers=headers) for _ in range(count)
            ]
        return [response.status_code for response in get]

    assert 429 in await statuses(30, "::ffff:198.51.100.7")
    assert await statuses(1, "198.51.100.7") == [429]
    named = {"x-forwarded-for": "::ffff:c633:6407"}
    assert await statuses(1, f"::ffff:{PROXY}", named) == [429]
    named = {"x-forwarded-for": "2001:DB8:0::8"}
    assert 429 in await statuses(30, PROXY, named)
    assert await statuses(1, "2001:db8::8") == [429]


async def test_a_refusal_names_an_ipv4_address_as_such():
    response = await ask(address="::ffff:192.168.1.5")
    assert response.json()["error"].startswith("requests from 192.168.1.5 are not")


def test_an_address_that_is_none_is_in_no_network():
    assert "" not in Networks(["anybody"])
    assert "testclient" not in Networks(["anybody"])
    assert "fe80::1%eth0" in Networks(["fe80::/10"])
