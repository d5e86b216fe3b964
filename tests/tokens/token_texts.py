"""Tokens and responses for the tests of this folder."""

import base64
import json

from appliance.config import RoomConfig

NOW_S = 1_700_000_000.0
DTELECOM_KEY = "6KVRs6Yr2oYzddepFdtWrFmVq8sgELcXzbUy7apwuQX4"
"""32 bytes in base58."""
ROOM = RoomConfig(token_url="https://tokens.example.com/api?key=SECRET")


def jwt_of(
    *,
    alg: str = "HS256",
    sub: str = "box",
    exp: object = NOW_S + 600,
    nbf: object = 0,
    video=None,
    **more: object,
) -> str:
    """Return an unsigned token with these claims."""
    claims = {"sub": sub, "exp": exp, "nbf": nbf, "video": video or grant()} | more
    return ".".join([part({"alg": alg, "typ": "JWT"}), part(claims), "c2ln"])


def dtelecom_jwt() -> str:
    """Return an unsigned token as dTelecom's."""
    return jwt_of(alg="EdDSA", iss=DTELECOM_KEY)


def grant(room: str = "kitchen", *, may_join: bool = True) -> dict[str, object]:
    return {"room": room, "roomJoin": may_join}


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def answer_of(**values: object) -> bytes:
    """Return the standard response with these additional values."""
    standard = {"server_url": "wss://lk.example.com", "participant_token": jwt_of()}
    merged = {key: value for key, value in (standard | values).items() if value}
    return json.dumps(merged).encode()
