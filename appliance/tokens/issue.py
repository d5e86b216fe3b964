"""Signing of tokens for LiveKit rooms."""

import jwt

TTL_S = 600
"""Short: the server itself refreshes the tokens of participants in the room."""
_LEEWAY_S = 10
"""Tolerated clock difference to a server whose clock is behind."""


def issue(
    key: str,
    secret: str,
    identity: str,
    name: str,
    room: str,
    ttl_s: int,
    now_s: int,
) -> str:
    """Return a token that allows `identity` to talk, listen and chat in one room.

    Args:
        key: LiveKit API key.
        secret: its secret; 32 bytes or more.
        identity: unique in the room.
        name: display name.
        room: the only room it allows.
        ttl_s: seconds for which it can be used to join.
        now_s: seconds since the epoch.
    """
    claims = {
        "iss": key,
        "sub": identity,
        "name": name,
        "nbf": now_s - _LEEWAY_S,
        "exp": now_s + ttl_s,
        "video": {
            "room": room,
            "roomJoin": True,
            "canPublish": True,
            "canSubscribe": True,
            "canPublishData": True,
        },
    }
    return jwt.encode(claims, secret, algorithm="HS256")
