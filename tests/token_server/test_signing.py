"""Tokens that the token server issues."""

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.token_server.config import TokenServerConfig, TokenServerSettings
from appliance.token_server.request import Grant
from appliance.token_server.signing import Signer, livekit_issuer
from appliance.tokens.token_parser import read_claims
from tests.token_server.clients import NOW_S, SECRET

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
URL = "wss://lk.example.com"
ISSUE = livekit_issuer(TokenServerSettings(TokenServerConfig(), "key", SECRET, URL))


def signed():
    signer = Signer("key", SECRET)
    return signer.token("box", "Kitchen", "kitchen", ttl_s=600, now_s=1000)


def test_a_token_is_valid_for_one_room_one_identity_and_a_limited_time():
    token = signed()
    says = jwt.decode(
        token,
        SECRET,
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_nbf": False},
    )
    assert says == {
        "iss": "key",
        "sub": "box",
        "name": "Kitchen",
        "nbf": 990,
        "exp": 1600,
        "video": {
            "room": "kitchen",
            "roomJoin": True,
            "canPublish": True,
            "canSubscribe": True,
            "canPublishData": True,
        },
    }


def test_another_secret_does_not_fit():
    token = signed()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET[::-1], algorithms=["HS256"])


def test_read_claims_parses_an_issued_token():
    claims = read_claims(signed())
    assert claims is not None
    assert (claims.identity, claims.room, claims.may_join) == ("box", "kitchen", True)
    assert (claims.expires_at_s, claims.is_dtelecom) == (1600, False)


async def issued(grant):
    return await ISSUE(grant, "192.0.2.1", NOW_S)


@given(TEXT, TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
async def test_a_token_is_byte_for_byte_pyjwts(room, name, metadata, attributes):
    config = {"departureTimeout": 1, "agents": [{"agentName": name}]}
    grant = Grant(room, "box", name, metadata, attributes, config)
    token = (await issued(grant)).token
    claims = jwt.decode(
        token,
        SECRET,
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_nbf": False},
    )
    assert token == jwt.encode(claims, SECRET, algorithm="HS256")
    assert claims["video"]["room"] == room
    assert claims.get("metadata", "") == metadata
    assert claims.get("attributes", {}) == attributes
    assert claims["roomConfig"] == config


async def test_the_client_parses_an_issued_token():
    answer = await issued(Grant("kitchen", "box", "K"))
    assert answer.url == "wss://lk.example.com"
    assert SECRET not in repr(ISSUE)
    assert answer.token not in repr(answer)
    claims = read_claims(answer.token)
    assert claims is not None
    assert (claims.identity, claims.room, claims.may_join) == ("box", "kitchen", True)
    assert (claims.expires_at_s, claims.is_dtelecom) == (NOW_S + 600, False)
