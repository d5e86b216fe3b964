"""API keys and tokens of dTelecom for tests."""

import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.dtelecom.tokens import Signer, encode_base58


def pair(first=1):
    """Return API key and secret made from the seed 01 02 03 …"""
    seed = bytes(range(first, first + 32))
    public = (
        Ed25519PrivateKey.from_private_bytes(seed)
        .public_key()
        .public_bytes(Encoding.Raw, PublicFormat.Raw)
    )
    return encode_base58(public), encode_base58(seed + public)


KEY, SECRET = pair()


def token(identity, name="", room="kitchen"):
    signer, now_s = Signer(KEY, SECRET), int(time.time())
    return signer.token(identity, name, room, ttl_s=600, now_s=now_s)
