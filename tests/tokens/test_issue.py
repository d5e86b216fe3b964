import jwt
import pytest

from appliance.config import RoomKind
from appliance.tokens.claims import read_claims
from appliance.tokens.issue import issue

SECRET = "0123456789abcdef0123456789abcdef"


def test_a_token_is_valid_for_one_room_one_identity_and_a_limited_time():
    token = issue("key", SECRET, "box", "Kitchen", "kitchen", 600, 1000)
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
    token = issue("key", SECRET, "box", "Kitchen", "kitchen", 600, 1000)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET[::-1], algorithms=["HS256"])


def test_read_claims_parses_an_issued_token():
    claims = read_claims(issue("key", SECRET, "box", "K", "kitchen", 600, 1000))
    assert claims is not None
    assert (claims.identity, claims.room, claims.may_join) == ("box", "kitchen", True)
    assert (claims.expires_at_s, claims.profile) == (1600, RoomKind.LIVEKIT)
