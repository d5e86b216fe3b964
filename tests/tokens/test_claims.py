import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.tokens.claims import MAX_TOKEN_LETTERS, Claims, read_claims
from tests.tokens.papers import NOW_S, grant, jwt_of, part


def test_a_token_says_who_may_join_what_until_when():
    assert read_claims(jwt_of(sub="Küche")) == Claims(
        identity="Küche",
        room="kitchen",
        may_join=True,
        expires_at_s=NOW_S + 600,
        not_before_s=0,
        is_ed25519=False,
    )


def test_a_token_of_dtelecom_is_told_by_its_signature():
    claims = read_claims(jwt_of(alg="EdDSA"))
    assert claims is not None
    assert claims.is_ed25519


def test_a_token_that_says_little_says_so():
    claims = read_claims(f"{part({'alg': 'HS256'})}.{part({})}.x")
    assert claims == Claims(
        "", "", may_join=False, expires_at_s=None, not_before_s=0, is_ed25519=False
    )


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
        jwt_of(sub="x" * MAX_TOKEN_LETTERS),
    ],
)
def test_anything_else_is_no_token(token):
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
    assert read_claims(jwt_of(video=grant()))
