import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom.base58 import encode
from appliance.dtelecom.profile import is_dtelecom_token
from tests.tokens.papers import part

KEY = encode(bytes(range(1, 33)))


def token(alg, iss):
    return ".".join([part({"alg": alg, "typ": "JWT"}), part({"iss": iss}), "c2ln"])


def test_a_token_signed_by_a_key_of_solana_is_for_dtelecom():
    assert is_dtelecom_token(token("EdDSA", KEY))


@pytest.mark.parametrize(
    "other",
    [
        token("HS256", KEY),
        token("EdDSA", "APIdevkey"),
        token("EdDSA", KEY + "zz"),
        token("EdDSA", 7),
        token("EdDSA", KEY).rpartition(".")[0],
        "a.b.c",
        "",
        "ä.ö.ü",
        f"{part([])}.{part({'iss': KEY})}.x",
    ],
)
def test_any_other_text_is_not(other):
    assert not is_dtelecom_token(other)


@given(st.text() | st.lists(st.text(), min_size=3, max_size=3).map(".".join))
def test_no_text_is_an_error(text):
    assert not is_dtelecom_token(text)
