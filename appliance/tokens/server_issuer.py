"""Issuers of the token server: signing of what a request was granted."""

from dataclasses import dataclass, field
from typing import Protocol

from appliance.tokens.issue import Signer
from appliance.tokens.server_config import Credentials
from appliance.tokens.server_request import Grant


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
        """Prepare the keys."""
        self._url = credentials.url
        self._signer = Signer(credentials.key, credentials.secret)

    async def issue(self, order: Order) -> Issued:
        """Return a token that allows to talk, listen and chat in one room."""
        grant = order.grant
        token = self._signer.token(
            grant.identity,
            grant.name,
            grant.room,
            ttl_s=order.ttl_s,
            now_s=order.now_s,
            further={
                "metadata": grant.metadata,
                "attributes": grant.attributes,
                "roomConfig": grant.room_config,
            },
        )
        return Issued(token, self._url)
