"""Claims of an access token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.tokens.token_parser import MAX_TOKEN_CHARACTERS, Claims, read_claims
from tests.tokens.token_texts import DTELECOM_KEY, NOW_S, grant, jwt_of, part


def test_the_claims_of_a_token_are_read():
    assert read_claims(jwt_of(sub="Küche")) == Claims(
        identity="Küche",
        room="kitchen",
        may_join=True,
        expires_at_s=NOW_S + 600,
        not_before_s=0,
    )


def is_dtelecom(token: str) -> bool:
    claims = read_claims(token)
    assert claims is not None
    return claims.is_dtelecom


@pytest.mark.parametrize("issuer", [DTELECOM_KEY, "1" * 32, f"1{'1' * 30}2"])
def test_a_token_of_dtelecom_has_an_ed25519_key_as_issuer(issuer):
    assert is_dtelecom(jwt_of(alg="EdDSA", iss=issuer))


@pytest.mark.parametrize(
    "token",
    [
        jwt_of(),
        jwt_of(iss=DTELECOM_KEY),
        jwt_of(alg="EdDSA"),
        jwt_of(alg="EdDSA", iss=DTELECOM_KEY[4:]),
        jwt_of(alg="EdDSA", iss="z" * 44),
        jwt_of(alg="EdDSA", iss="1" * 33),
        jwt_of(alg="EdDSA", iss=DTELECOM_KEY.replace("6", "0")),
        jwt_of(alg="EdDSA", iss="1" * 8_000),
        jwt_of(alg="EdDSA", iss="APIdevkey"),
        jwt_of(alg="EdDSA", iss=DTELECOM_KEY + "zz"),
    ],
)
def test_any_other_token_is_for_livekit(token):
    assert not is_dtelecom(token)


@pytest.mark.parametrize(
    ("room_config", "is_expected"),
    [
        ({"agents": [{"agentName": "helper"}]}, True),
        ({"agents": [{}], "departureTimeout": 1}, True),
        ({"agents": []}, False),
        ({"agents": "helper"}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_a_token_that_brings_an_agent_says_so(room_config, is_expected):
    claims = read_claims(jwt_of(roomConfig=room_config))
    assert claims is not None
    assert claims.expects_agent is is_expected


def test_missing_claims_are_empty():
    claims = read_claims(f"{part({'alg': 'HS256'})}.{part({})}.x")
    assert claims == Claims("", "", may_join=False, expires_at_s=None, not_before_s=0)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        f"{part([])}.{part({})}.x",
        f"{part({'alg': 5})}.{part({})}.x",
        f"{part({'alg': 'HS256'})}.{part({'exp': 'soon'})}.x",
        f"{part({'alg': 'HS256'})}.{part({'video': []})}.x",
        f"é.{part({})}.x",
        f'"{jwt_of()}"',
        f"{jwt_of()}\n",
        f" {jwt_of()}",
        jwt_of(sub="x" * MAX_TOKEN_CHARACTERS),
    ],
)
def test_anything_else_is_not_a_token(token):
    assert read_claims(token) is None


@given(st.text() | st.binary().map(lambda raw: f"{raw.hex()}.{raw.hex()}.x"))
def test_any_text_is_a_token_or_none(text):
    assert read_claims(text) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_claims_are_read_or_refused(video):
    read_claims(jwt_of(video={"room": video, "roomJoin": video}))
    read_claims(jwt_of(exp=video))
    read_claims(jwt_of(iss=video, roomConfig=video))
    read_claims(jwt_of(roomConfig={"agents": video}))
    assert read_claims(jwt_of(video=grant()))
