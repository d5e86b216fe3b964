"""Tokens, byte for byte those of dTelecom's own package, and base58 texts of keys."""

import base64
import json
import shutil
import subprocess
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom.node_registry import AUTHORITY, CONTRACT, program_address
from appliance.dtelecom.tokens import (
    KeyPairError,
    Signer,
    decode_base58,
    encode_base58,
)
from appliance.tokens.token_parser import read_claims
from tests.dtelecom.conftest import NPM
from tests.dtelecom.keys import KEY, SECRET, pair

NOW_S = 1_700_000_000


CONTENTS: dict[str, dict[str, Any]] = {
    "plain": {"identity": "box", "room": "kitchen", "ttl_s": 600},
    "everything": {
        "identity": "box",
        "room": "kitchen",
        "name": "Box",
        "metadata": '{"role":"admin"}',
        "web_hook_url": "https://example.com/hook?x=1&y=<2>",
        "ttl_s": 300,
    },
    "scripts": {
        "identity": "küche",
        "room": "台所",
        "name": "👋 שלום",
        "metadata": "\u2028\u2029",
        "ttl_s": 60,
    },
    "signs": {
        "identity": "\\\"/'",
        "room": "a\x7f\x80\ufeff",
        "name": "".join(map(chr, range(1, 32))),
        "ttl_s": 61,
    },
    "surrogate": {"identity": "\ud800x", "room": "\udfff", "ttl_s": 61},
}
SEEDS = [bytes([first, *range(31)]) for first in range(40)]


@pytest.fixture(scope="module")
def oracle(node_modules):
    """Answers of dTelecom's own packages to everything that the tests here ask."""
    node = shutil.which("node")
    assert node, "node is missing: install the Debian package npm"
    asked = {
        "tokens": [asked_token(contents) for contents in CONTENTS.values()],
        "addresses": [
            {"seeds": [seed.hex(), b"dtel-nodes".hex()], "program": CONTRACT}
            for seed in [decode_base58(AUTHORITY), *SEEDS]
        ],
    }
    done = subprocess.run(
        [node, NPM / "oracle.cjs"],
        input=json.dumps(asked).encode(),
        env={"NODE_PATH": str(node_modules)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def asked_token(contents):
    grant = {
        "room": contents["room"],
        "roomJoin": True,
        "canPublish": True,
        "canSubscribe": True,
        "canPublishData": True,
    }
    options = {
        "identity": contents["identity"],
        "ttl": contents["ttl_s"],
        "name": contents.get("name", ""),
        "metadata": contents.get("metadata", ""),
        "webHookURL": contents.get("web_hook_url", ""),
    }
    return {
        "key": KEY,
        "secret": SECRET,
        "now": NOW_S,
        "options": options,
        "grant": grant,
    }


def signed(contents):
    return Signer(KEY, SECRET).token(**{"name": "", **contents}, now_s=NOW_S)


def test_a_token_is_byte_for_byte_the_one_of_dtelecoms_own_package(oracle):
    ours = [signed(contents) for contents in CONTENTS.values()]
    assert ours == oracle["tokens"]
    assert len(set(ours)) == len(CONTENTS)


def test_a_derived_address_is_the_one_of_solanas_own_package(oracle):
    program = decode_base58(CONTRACT)
    ours = [
        encode_base58(program_address((seed, b"dtel-nodes"), program))
        for seed in [decode_base58(AUTHORITY), *SEEDS]
    ]
    assert ours == oracle["addresses"]


def test_a_token_never_changes():
    """The oracle's answer, so that this holds without it, too."""
    assert signed(CONTENTS["everything"]) == GOLDEN


def test_a_token_is_verified_with_the_api_key_alone():
    token = signed(CONTENTS["plain"])
    text, _, signature = token.rpartition(".")
    public = Ed25519PublicKey.from_public_bytes(decode_base58(KEY))
    public.verify(raw(signature), text.encode())
    claims = read_claims(token)
    assert claims is not None
    assert claims.is_dtelecom


def raw(part):
    return base64.urlsafe_b64decode(part + "==")


OTHER_KEY, OTHER_SECRET = pair(2)


@pytest.mark.parametrize(
    ("key", "secret", "words"),
    [
        (OTHER_KEY, SECRET, "do not belong together"),
        (KEY, OTHER_SECRET, "do not belong together"),
        (
            KEY,
            encode_base58(decode_base58(SECRET)[:32] + decode_base58(OTHER_KEY)),
            "do not belong",
        ),
        (KEY, encode_base58(decode_base58(SECRET)[:32]), "API_SECRET has 32 bytes"),
        (SECRET, KEY, "API_KEY has 64 bytes"),
        ("", SECRET, "API_KEY has 0 bytes"),
        (KEY, "0" * 88, "API_SECRET is not base58"),
        (KEY, "z" * 5000, "API_SECRET is longer than"),
    ],
)
def test_keys_that_cannot_be_used_are_named_but_not_shown(key, secret, words):
    with pytest.raises(KeyPairError, match=words) as caught:
        Signer(key, secret)
    shown = str(caught.value) + repr(caught.value)
    assert not {key, secret} - {""} & {text for text in {key, secret} if text in shown}


def test_a_key_pair_does_not_show_its_secret():
    assert SECRET[:8] not in repr(Signer(KEY, SECRET))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"\0", "1"),
        (b"\0\0\x01", "112"),
        (b"hello world", "StV1DL6CwTryKyV"),
        (bytes(32), "1" * 32),
    ],
)
def test_known_texts_are_read_and_written(raw, text):
    assert encode_base58(raw) == text
    assert decode_base58(text) == raw


@given(st.binary(max_size=80))
def test_what_is_written_can_be_read(raw):
    assert decode_base58(encode_base58(raw)) == raw


@pytest.mark.parametrize("sign", [*"0OIl +/=\n", "é", "\uff11"])
def test_a_character_outside_the_alphabet_is_refused_without_repeating_the_text(sign):
    with pytest.raises(ValueError, match="not base58") as caught:
        decode_base58(f"2NEpo7TZRRrLZSi2U{sign}")
    assert "2NEpo" not in str(caught.value)


def test_an_endless_text_is_refused_before_it_is_decoded():
    with pytest.raises(ValueError, match="longer than"):
        decode_base58("z" * 1_000_000)


GOLDEN = (
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJtZXRhZGF0YSI6IntcInJvbGVcIjpcImFkbWluX"
    "CJ9IiwibmFtZSI6IkJveCIsIndlYkhvb2tVUkwiOiJodHRwczovL2V4YW1wbGUuY29tL2hvb2s_eD0"
    "xJnk9PDI-IiwidmlkZW8iOnsicm9vbSI6ImtpdGNoZW4iLCJyb29tSm9pbiI6dHJ1ZSwiY2FuUHVib"
    "GlzaCI6dHJ1ZSwiY2FuU3Vic2NyaWJlIjp0cnVlLCJjYW5QdWJsaXNoRGF0YSI6dHJ1ZX0sImlzcyI"
    "6IjlDNmh5YmhRNkF5Y2VwOWphVW5QNnVMOVpZdkRqVXAxYVNrRldQVUZKdHBqIiwic3ViIjoiYm94I"
    "iwibmJmIjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDAzMDAsImlhdCI6MTcwMDAwMDAwMH0.wJbiKy0"
    "EtPW6BsgB3Mgs6uZJBJQxcxMeiFMXyBCya-s2TD_PvRgaDdgh7otaJfSCUeSZY2yVz_dBRBTNdlnXC"
    "Q"
)
