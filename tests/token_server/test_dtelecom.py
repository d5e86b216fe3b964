"""The token server for dTelecom's rooms."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.dtelecom.tokens import encode_base58
from appliance.errors import ConfigError
from appliance.token_server.signing import dtelecom_issuer
from appliance.tokens.token_parser import read_claims
from tests.token_server.clients import NOW_S, asking_server, settings

SEED = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
RAW = PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)
KEYS = {"API_KEY": encode_base58(RAW), "API_SECRET": encode_base58(SEED + RAW)}
NODE = {"nodes": ["a.example.com"]}
PROXY = "192.168.1.2"


class Network:
    """Nodes that recommend `near`, and a registry that fails."""

    def __init__(self, near="near.example.com"):
        self.near = near
        self.asked = []
        self.transport = httpx.MockTransport(self._handle)

    def _handle(self, request):
        if request.url.path != "/relevants":
            return httpx.Response(500)
        self.asked.append(json.loads(request.content)["ip"])
        return httpx.Response(200, stream=httpx.ByteStream(self._answer()))

    def _answer(self):
        return json.dumps([{"domain": self.near}]).encode()


async def ask(network=None, body=None, headers=None, address="127.0.0.1", **keys):
    keys = {"kind": "dtelecom", "dtelecom": NODE, "allow": ["anybody"]} | keys
    chosen = settings(KEYS, **keys)
    issue = dtelecom_issuer(chosen, (network or Network()).transport)
    async with asking_server(chosen, address, issue=issue) as client:
        body = {"room": "kitchen", "identity": "box"} | (body or {})
        return await client.post("/api/join", json=body, headers=headers)


def claims_of(response):
    return jwt.decode(
        response.json()["token"],
        PUBLIC,
        algorithms=["EdDSA"],
        options={"verify_exp": False, "verify_nbf": False},
    )


async def test_a_request_is_answered_with_a_token_and_a_node():
    response = await ask()
    assert response.status_code == 201
    answer = response.json()
    assert (answer["wsUrl"], answer["server_url"]) == ("wss://a.example.com",) * 2
    claims = read_claims(answer["token"])
    assert claims is not None
    assert claims.is_dtelecom
    assert answer["participant_token"] == answer["token"]
    claims = claims_of(response)
    assert (claims["sub"], claims["video"]["room"]) == ("box", "kitchen")
    assert (claims["nbf"], claims["exp"]) == (NOW_S, NOW_S + 600)
    assert claims["iss"] == KEYS["API_KEY"]


@pytest.mark.parametrize(
    ("address", "headers", "asked"),
    [
        ("198.41.0.4", {}, ["198.41.0.4"]),
        ("198.41.0.4", {"x-forwarded-for": "193.0.14.129"}, ["198.41.0.4"]),
        (PROXY, {"x-forwarded-for": "193.0.14.129"}, ["193.0.14.129"]),
        ("::ffff:198.41.0.4", {}, ["198.41.0.4"]),
        (PROXY, {"x-forwarded-for": "::ffff:193.0.14.129"}, ["193.0.14.129"]),
        ("::ffff:192.168.1.5", {}, []),
        (PROXY, {}, []),
        ("192.168.1.5", {}, []),
        ("::1", {}, []),
    ],
)
async def test_the_node_is_chosen_for_the_real_address_of_the_client(
    address, headers, asked
):
    network = Network()
    keys = {"trusted_proxies": [PROXY], "dtelecom": {"nodes": ["a.example.com"]}}
    response = await ask(network, None, headers, address, **keys)
    assert network.asked == asked
    domain = "near.example.com" if asked else "a.example.com"
    assert response.json()["wsUrl"] == f"wss://{domain}"
    fallbacks = ["wss://a.example.com"] if asked else None
    assert response.json().get("fallback_urls") == fallbacks


async def test_web_hook_and_role_are_configured():
    keys = NODE | {"web_hook_url": "https://example.com/hook", "role": "guest"}
    claims = claims_of(await ask(dtelecom=keys))
    assert claims["webHookURL"] == "https://example.com/hook"
    assert claims["metadata"] == '{"role":"guest"}'
    claims = claims_of(await ask(body={"provider": "x"}, dtelecom=keys))
    assert json.loads(claims["metadata"]) == {"provider": "x", "role": "guest"}


async def test_no_list_of_nodes_is_an_error_of_the_server():
    response = await ask(dtelecom={})
    assert response.status_code == 503
    assert response.json()["error"]
    assert KEYS["API_SECRET"] not in response.text


@pytest.mark.parametrize(
    ("variables", "keys", "start"),
    [
        ({"API_KEY": ""}, {}, "environment: API_KEY: expected an API key of dTelecom"),
        (
            {"API_SECRET": encode_base58(RAW + RAW)},
            {},
            "environment: API_SECRET: API_KEY and API_SECRET do not belong together",
        ),
        (
            {"SOLANA_CONTRACT_ADDRESS": "x"},
            {},
            "environment: SOLANA_CONTRACT_ADDRESS: expected an address of Solana",
        ),
        (
            {"SOLANA_NETWORK_HOST_HTTP": "http://rpc.example.com"},
            {},
            (
                "environment: SOLANA_NETWORK_HOST_HTTP: http://rpc.example.com would "
                "go over the network in the clear. Write https://rpc.example.com."
            ),
        ),
        (
            {},
            {"dtelecom": {"nodes": ["https://a.example.com"]}},
            "environment: TOKEN_SERVER_DTELECOM__NODES: expected names like node1",
        ),
        (
            {},
            {"dtelecom": {"web_hook_url": "ftp://a"}},
            "environment: TOKEN_SERVER_DTELECOM__WEB_HOOK_URL: expected https://",
        ),
        (
            {},
            {"room_config": ["agents"]},
            "environment: TOKEN_SERVER_ROOM_CONFIG: rooms of dTelecom have none",
        ),
    ],
)
def test_a_wrong_setting_is_named(variables, keys, start):
    with pytest.raises(ConfigError) as caught:
        settings(KEYS | variables, kind="dtelecom", **keys)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(start)
    assert KEYS["API_SECRET"] not in line


def test_the_error_for_a_plain_web_hook_names_a_key_that_exists():
    keys = {"kind": "dtelecom", "dtelecom": {"web_hook_url": "http://nas.local/hook"}}
    with pytest.raises(ConfigError) as caught:
        settings(KEYS, **keys)
    remedy = "Write https://nas.local/hook, or add nas.local to allow_insecure."
    assert str(caught.value).endswith(remedy)
    assert settings(KEYS, allow_insecure=["nas.local"], **keys)


def test_secrets_are_known_to_the_log():
    assert settings(KEYS, kind="dtelecom").secrets == (KEYS["API_SECRET"],)


def test_a_server_for_livekit_does_not_load_the_signatures_of_dtelecom():
    code = (
        "import sys, appliance.token_server.server as s, os;"
        "from appliance.token_server.config import read_settings as r;"
        "c = r(None, None, os.environ);"
        "s.server(c, s.client_limits(c.config));"
        "print([m for m in sys.modules if 'dtelecom' in m or 'cryptography' in m])"
    )
    environment = {
        "LIVEKIT_URL": "wss://lk.example.com",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "x" * 32,
        "TOKEN_SERVER_ROOMS": "[a]",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
