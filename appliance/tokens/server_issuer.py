"""Signing of what a request was granted, for a LiveKit server.

`hmac` is used directly: PyJWT prepares key and header anew for each token, which takes
longer than everything else. The tests compare the result with PyJWT's.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final, Protocol

from appliance.tokens.server_config import Credentials
from appliance.tokens.server_request import Grant

_LEEWAY_S: Final = 10
"""Tolerated clock difference to a server whose clock is behind."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and the address of the server that accepts it."""

    token: str = field(repr=False)
    url: str
    fallback_urls: tuple[str, ...] = ()
    """Further servers that accept it, in the order in which to try them."""


@dataclass(frozen=True, slots=True)
class Order:
    """Granted request for a token."""

    grant: Grant
    """What the token says."""
    address: str
    """Of the client, for the choice of a server near it; empty: not known."""
    now_s: int
    """Seconds since the epoch."""
    ttl_s: int
    """Seconds for which the token can be used to join."""


class Issuer(Protocol):
    """Signer for one kind of server."""

    async def issue(self, order: Order) -> Issued:
        """Return a token for one participant.

        Raises:
            Refused: 503: no server is known.
        """
        ...


class LiveKitIssuer:
    """Signer for a LiveKit server."""

    def __init__(self, credentials: Credentials) -> None:
        """Prepare header and key."""
        self._url = credentials.url
        self._key = credentials.key
        self._mac = hmac.new(credentials.secret.encode(), digestmod="sha256")
        self._header = _base64url(b'{"alg":"HS256","typ":"JWT"}')

    async def issue(self, order: Order) -> Issued:
        """Return a token that allows to talk, listen and chat in one room."""
        grant = order.grant
        claims = {
            "iss": self._key,
            "sub": grant.identity,
            "name": grant.name,
            "nbf": order.now_s - _LEEWAY_S,
            "exp": order.now_s + order.ttl_s,
            "video": {
                "room": grant.room,
                "roomJoin": True,
                "canPublish": True,
                "canSubscribe": True,
                "canPublishData": True,
            },
            "metadata": grant.metadata,
            "attributes": grant.attributes,
            "roomConfig": grant.room_config,
        }
        return Issued(self._signed({k: v for k, v in claims.items() if v}), self._url)

    def _signed(self, claims: dict[str, object]) -> str:
        payload = json.dumps(claims, separators=(",", ":")).encode()
        text = self._header + b"." + _base64url(payload)
        mac = self._mac.copy()
        mac.update(text)
        return (text + b"." + _base64url(mac.digest())).decode()


def _base64url(data: bytes) -> bytes:
    """Source: RFC 7515, section 2: without padding."""
    return urlsafe_b64encode(data).rstrip(b"=")
