"""Signing of tokens for dTelecom rooms with Ed25519, and base58, its keys' encoding.

The tokens are byte-identical with those of npm `@dtelecom/server-sdk-js` 3.2.0. An
appliance without a token server does not need `cryptography`, which signs.
"""

import json
from typing import Final

from appliance.errors import ApplianceError
from appliance.net.url import base64url

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Source: Bitcoin's `base58.h`; Solana uses it without a checksum."""
_DIGITS: Final = {sign: value for value, sign in enumerate(_ALPHABET)}
KEY_BYTES: Final = 32
"""Length of an Ed25519 public key."""
_LONGEST: Final = 128
"""Characters; the longest known value, a secret of 64 bytes, has 88. Decoding takes
quadratic time."""
SECRET_BYTES: Final = 64
"""Length of an API secret: 32 bytes of seed and 32 of public key, as Solana has it."""
_HEADER: Final = b"eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9"
"""`{"alg":"EdDSA","typ":"JWT"}` in base64url, exactly as nodes expect it."""


def encode_base58(raw: bytes) -> str:
    """Return the base58 text of some bytes; each leading zero byte is a "1"."""
    number = int.from_bytes(raw, "big")
    digits = []
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + "".join(reversed(digits))


def decode_base58(text: str) -> bytes:
    """Return the bytes of a base58 text.

    Raises:
        ValueError: it is none; without the text, which may be a secret.
    """
    if len(text) > _LONGEST:
        message = f"longer than {_LONGEST} characters"
        raise ValueError(message)
    number = 0
    for sign in text:
        if sign not in _DIGITS:
            message = "not base58: letters and digits without 0, O, I and l"
            raise ValueError(message)
        number = number * len(_ALPHABET) + _DIGITS[sign]
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def is_public_key(text: str) -> bool:
    """Return whether the text is an API key of dTelecom: 32 bytes in base58."""
    try:
        return len(decode_base58(text)) == KEY_BYTES
    except ValueError:
        return False


class KeyPairError(ApplianceError, ValueError):
    """API key and secret that cannot be used; the sentence contains neither."""


class Signer:
    """Signer with one API key of dTelecom."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        """Check that key and secret belong together.

        Both are base58 texts: of the public key; of the seed and the public key.

        Raises:
            KeyPairError: they are malformed or do not belong together, or the package
                `cryptography` is missing.
        """
        try:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import ed25519
        except ImportError as exc:
            message = (
                "tokens for dTelecom need the Python package cryptography. Install it: "
                "apt install python3-cryptography"
            )
            raise KeyPairError(message) from exc
        public = _decoded("API_KEY", api_key, KEY_BYTES)
        secret = _decoded("API_SECRET", api_secret, SECRET_BYTES)
        self._api_key = api_key
        self._private = ed25519.Ed25519PrivateKey.from_private_bytes(secret[:KEY_BYTES])
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        derived = self._private.public_key().public_bytes(*raw)
        if derived != public or secret[KEY_BYTES:] != public:
            message = (
                "API_KEY and API_SECRET do not belong together: the secret is of "
                "another key. Copy both from the same place."
            )
            raise KeyPairError(message)

    def token(
        self,
        identity: str,
        name: str,
        room: str,
        *,
        ttl_s: int,
        now_s: int,
        metadata: str = "",
        web_hook_url: str = "",
    ) -> str:
        """Return a token that allows `identity` to talk, listen and chat in one room.

        It can be used to join for `ttl_s` seconds from `now_s`, which is since the
        epoch. The node posts the room's events to `web_hook_url`.
        """
        texts = {"metadata": metadata, "name": name, "webHookURL": web_hook_url}
        # In the order of the npm package, which leaves empty texts out.
        claims: dict[str, object] = {
            **{key: text for key, text in texts.items() if text},
            "video": {
                "room": room,
                "roomJoin": True,
                "canPublish": True,
                "canSubscribe": True,
                "canPublishData": True,
            },
            "iss": self._api_key,
            "sub": identity,
            "nbf": now_s,
            "exp": now_s + ttl_s,
            "iat": now_s,
        }
        text = _HEADER + b"." + base64url(_json(claims))
        return (text + b"." + base64url(self._private.sign(text))).decode()


def _json(claims: dict[str, object]) -> bytes:
    """Return the claims as JavaScript's `JSON.stringify` writes them.

    That escapes lone surrogates and nothing else beyond ASCII.
    """
    text = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def _decoded(name: str, text: str, length: int) -> bytes:
    try:
        raw = decode_base58(text)
    except ValueError as exc:
        message = f"{name} is {exc}. Copy it again from dTelecom's dashboard."
        raise KeyPairError(message) from exc
    if len(raw) != length:
        message = (
            f"{name} has {len(raw)} bytes in base58, expected {length}. Copy it again "
            "from dTelecom's dashboard."
        )
        raise KeyPairError(message)
    return raw
