"""The list of nodes from the registry."""

import asyncio
import base64
import json
import struct

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom.node_registry import (
    ACCOUNT_BYTES,
    CONTRACT,
    FRESH_S,
    MAX_BODY,
    RETRY_S,
    NodeRegistry,
    RegistryError,
    RegistrySettings,
    fetch_nodes,
    is_domain,
    read_account,
)

KEY = bytes(range(32))
SETTINGS = RegistrySettings(rpc_url="https://rpc.example.com/v2/SECRET?api-key=SECRET")


def account(domain, *, active=1, length=None):
    raw = domain if isinstance(domain, bytes) else domain.encode()
    size = len(raw) if length is None else length
    entry = (
        bytes(40) + KEY + struct.pack("<I", size) + raw + struct.pack("<iB", 3, active)
    )
    return entry[:ACCOUNT_BYTES].ljust(ACCOUNT_BYTES, b"\0")


def listing(*accounts):
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "result": [
            {
                "pubkey": "x",
                "account": {"data": [base64.b64encode(raw).decode(), "base64"]},
            }
            for raw in accounts
        ],
    }


class Rpc:
    """JSON-RPC server with one prepared answer."""

    def __init__(self, answer, status=200):
        self.answer = answer
        self.status = status
        self.asked = []
        self.transport = httpx.MockTransport(self._handle)

    def _handle(self, request):
        self.asked.append(json.loads(request.content))
        if isinstance(self.answer, Exception):
            raise self.answer
        is_raw = isinstance(self.answer, bytes)
        body = self.answer if is_raw else msgspec.json.encode(self.answer)
        return httpx.Response(self.status, stream=httpx.ByteStream(body))


async def test_the_registry_is_asked_for_the_accounts_of_its_active_nodes():
    rpc = Rpc(
        listing(
            account("a.dtel.network"),
            account("off.dtel.network", active=0),
            account("B.dtel.network"),
            account("a.dtel.network"),
        )
    )
    nodes = await fetch_nodes(SETTINGS, rpc.transport)
    assert nodes == ("a.dtel.network", "b.dtel.network")
    (asked,) = rpc.asked
    assert asked["method"] == "getProgramAccounts"
    program, options = asked["params"]
    assert program == CONTRACT
    assert options["encoding"] == "base64"
    memcmp, size = options["filters"]
    # The address that Solana's own package derives; another test compares them.
    assert memcmp["memcmp"] == {
        "offset": 8,
        "bytes": "33KzU9A7GogkJxvGYuDRzzwykafMGH9vB2vWZvs9oJ2u",
        "encoding": "base58",
    }
    assert size == {"dataSize": 334}


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        ({}, 429, "https://rpc.example.com/ answered 429; check"),
        (b"<html>", 200, "https://rpc.example.com/ answered with something other"),
        (b"[" * 9999, 200, "https://rpc.example.com/ answered with something other"),
        (b"\xff", 200, "https://rpc.example.com/ answered with something other"),
        (b" " * (MAX_BODY + 1), 200, "https://rpc.example.com/ answered more than"),
        (httpx.ConnectError("x"), 200, "https://rpc.example.com/ could not be reached"),
        (
            {"error": {"code": -32600, "message": "SECRET"}},
            200,
            "https://rpc.example.com/ lists no active node",
        ),
        (listing(), 200, "https://rpc.example.com/ lists no active node"),
        ({"result": None}, 200, "https://rpc.example.com/ answered with something"),
        ({"result": [{"account": {"data": ["!", "base64"]}}]}, 200, "https://rpc.exa"),
        ({"result": [{"account": {"data": ["ä", "base64"]}}]}, 200, "https://rpc.exa"),
        ({"result": [{"account": {"data": ["", "zstd"]}}]}, 200, "https://rpc.exa"),
    ],
)
async def test_an_answer_without_nodes_is_named(answer, status, sentence):
    rpc = Rpc(answer, status)
    with pytest.raises(RegistryError) as caught:
        await fetch_nodes(SETTINGS, rpc.transport)
    assert str(caught.value).startswith(sentence)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        account("a.example.com")[:-1],
        account("a.example.com", length=2**32 - 1),
        account("a.example.com", length=300),
        account("127.0.0.1"),
        account("localhost"),
        account("printer.local"),
        account("a.example.com/x"),
        account("a.example.com:22"),
        account(b"\xff\xfe.example.com"),
        account("user@a.example.com"),
        account("a.example.com", active=2),
    ],
)
def test_an_account_that_names_no_public_host_is_left_out(raw):
    assert read_account(raw) is None


@given(st.binary(min_size=ACCOUNT_BYTES, max_size=ACCOUNT_BYTES) | st.binary())
def test_no_account_is_an_error(raw):
    domain = read_account(raw)
    assert domain is None or is_domain(domain)


@given(st.text())
def test_a_domain_is_safe_in_an_address(text):
    if is_domain(text):
        assert text.isascii()
        assert not set(text) & set("/\\@:?#[] \n")


@pytest.mark.parametrize(
    "text", ["node1.dtel.network", "1097678512.dtel.network", "a-b.c", "A.B"]
)
def test_a_public_name_is_a_domain(text):
    assert is_domain(text)


@pytest.mark.parametrize(
    "text",
    [
        *("node", "1.2.3.4", "1.2.3", "::1", "a..b", "a.b.", "a.b\n"),
        *("a.localhost", "ä.example.com", "a" * 64 + ".b"),
    ],
)
def test_anything_else_is_not_a_domain(text):
    assert not is_domain(text)


async def test_a_list_is_kept_until_it_is_old():
    now_s = [0.0]
    rpc = Rpc(listing(account("a.example.com")))
    registry = NodeRegistry(SETTINGS, rpc.transport, lambda: now_s[0])
    first = await registry.nodes()
    now_s[0] = FRESH_S - 1
    assert await registry.nodes() is first
    assert len(rpc.asked) == 1
    rpc.answer = listing(account("b.example.com"))
    now_s[0] = FRESH_S
    assert await registry.nodes() == ("b.example.com",)


async def test_all_wait_for_the_first_list_together():
    rpc = Rpc(listing(account("a.example.com")))
    registry = NodeRegistry(SETTINGS, rpc.transport)
    waiting = [registry.nodes() for _ in range(3)]
    assert await asyncio.gather(*waiting) == [("a.example.com",)] * 3
    assert len(rpc.asked) == 1


async def test_an_old_list_is_used_while_the_registry_does_not_answer(caplog):
    now_s = [0.0]
    rpc = Rpc(listing(account("a.example.com")))
    registry = NodeRegistry(SETTINGS, rpc.transport, lambda: now_s[0])
    first = await registry.nodes()
    rpc.status = 500
    for _ in range(3):
        now_s[0] += FRESH_S
        assert await registry.nodes() is first
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1


async def test_a_registry_that_fails_is_not_asked_for_every_token():
    now_s = [0.0]
    rpc = Rpc({}, 500)
    registry = NodeRegistry(SETTINGS, rpc.transport, lambda: now_s[0])
    for _ in range(3):
        with pytest.raises(RegistryError):
            await registry.nodes()
    assert len(rpc.asked) == 1
    rpc.answer, rpc.status = listing(account("a.example.com")), 200
    now_s[0] = RETRY_S
    assert len(await registry.nodes()) == 1
