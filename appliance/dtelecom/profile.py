"""Detection of tokens for dTelecom.

Source: tokens of npm `@dtelecom/server-sdk-js` 3.2.0. LiveKit signs with HS256 and
names its API key freely; dTelecom signs with EdDSA, and the issuer is the public key.
"""

import binascii
from base64 import urlsafe_b64decode
from typing import Final

import msgspec

from appliance.dtelecom import base58

KEY_BYTES: Final = 32
"""Length of an Ed25519 public key."""
_PARTS: Final = 3


class _Header(msgspec.Struct):
    alg: str


class _Payload(msgspec.Struct):
    iss: str


def is_dtelecom_token(token: str) -> bool:
    """Return whether the token is signed with EdDSA by a key in base58.

    The signature is not verified; any text may be passed.
    """
    parts = token.split(".")
    if len(parts) != _PARTS:
        return False
    try:
        header = msgspec.json.decode(_raw(parts[0]), type=_Header)
        payload = msgspec.json.decode(_raw(parts[1]), type=_Payload)
    except (ValueError, RecursionError):
        return False
    return header.alg == "EdDSA" and is_public_key(payload.iss)


def is_public_key(text: str) -> bool:
    """Return whether the text is an API key of dTelecom: 32 bytes in base58."""
    try:
        return len(base58.decode(text)) == KEY_BYTES
    except ValueError:
        return False


def _raw(part: str) -> bytes:
    """Return the bytes of one part of a token.

    Raises:
        ValueError: it is not base64url.
    """
    try:
        return urlsafe_b64decode(part.encode("ascii") + b"==")
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc
