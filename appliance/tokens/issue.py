"""Makes tokens for LiveKit rooms."""

import jwt

TTL_S = 600
"""R7.6: short-lived; the server itself refreshes it for those who are in the room."""
_LEEWAY_S = 10
"""A server whose clock is a little behind ours takes the token all the same."""


def issue(
    key: str,
    secret: str,
    identity: str,
    name: str,
    room: str,
    ttl_s: int,
    now_s: int,
) -> str:
    """Return a token that lets `identity` talk, listen and write in one room.

    Args:
        key: LiveKit API key.
        secret: its secret; 32 bytes or more.
        identity: unique in the room.
        name: what others see.
        room: the only room that it opens.
        ttl_s: seconds for which it may be used to join.
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
