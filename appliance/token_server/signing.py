"""Signing of tokens: HS256 for LiveKit servers, EdDSA for nodes of dTelecom."""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from appliance.net.url import base64url
from appliance.token_server.access import Refused
from appliance.token_server.config import TokenServerSettings
from appliance.token_server.request import Grant

if TYPE_CHECKING:
    import httpx

_LEEWAY_S: Final = 10
"""Tolerated clock difference to a server whose clock is behind."""
_HEADER: Final = base64url(b'{"alg":"HS256","typ":"JWT"}')


class Signer:
    """Signer with one API key of a LiveKit server."""

    def __init__(self, key: str, secret: str) -> None:
        self._key = key
        self._secret = secret.encode()

    def token(
        self,
        identity: str,
        name: str,
        room: str,
        *,
        ttl_s: int,
        now_s: int,
        further: Mapping[str, object] = MappingProxyType({}),
    ) -> str:
        """Return a token that allows `identity` to talk, listen and chat in one room.

        It can be used to join for `ttl_s` seconds from `now_s`, which is since the
        epoch. `further` are claims after these; empty ones are left out.
        """
        claims = {
            "iss": self._key,
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
            **{claim: value for claim, value in further.items() if value},
        }
        payload = json.dumps(claims, separators=(",", ":")).encode()
        text = _HEADER + b"." + base64url(payload)
        signature = base64url(hmac.digest(self._secret, text, "sha256"))
        return (text + b"." + signature).decode()


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and the address of the server that accepts it."""

    token: str = field(repr=False)
    url: str
    fallback_urls: tuple[str, ...] = ()
    """Further servers that accept it, in the order in which to try them."""


Issue = Callable[[Grant, str, int], Awaitable[Issued]]
"""Issuer of tokens, given the client's address (empty: unknown), for a server near it,
and the time in seconds since the epoch. Raises `Refused` (503) if no server is known.
"""


def livekit_issuer(settings: TokenServerSettings) -> Issue:
    """Return the issuer for a LiveKit server."""
    signer = Signer(settings.api_key, settings.api_secret)

    async def issue(grant: Grant, _address: str, now_s: int) -> Issued:
        token = signer.token(
            *(grant.identity, grant.name, grant.room),
            ttl_s=settings.config.ttl_s,
            now_s=now_s,
            further={
                "metadata": grant.metadata,
                "attributes": grant.attributes,
                "roomConfig": grant.room_config,
            },
        )
        return Issued(token, settings.url)

    return issue


def dtelecom_issuer(
    settings: TokenServerSettings,
    transport: "httpx.AsyncBaseTransport | None" = None,
) -> Issue:
    """Return the issuer for dTelecom, which chooses a node for each client.

    Key and secret were checked. `transport` replaces the network, for tests.
    """
    # Imported only for such rooms.
    from appliance.dtelecom import node_registry, tokens

    own, ttl_s = settings.config.dtelecom, settings.config.ttl_s
    signer = tokens.Signer(settings.api_key, settings.api_secret)
    registry = node_registry.NodeRegistry(
        node_registry.RegistrySettings(**settings.registry), transport
    )

    async def issue(grant: Grant, address: str, now_s: int) -> Issued:
        try:
            nodes = own.nodes or await registry.nodes()
        except node_registry.RegistryError as exc:
            raise Refused(503, str(exc)) from exc
        url, *others = await node_registry.choose_nodes(nodes, address, transport)
        token = signer.token(
            *(grant.identity, grant.name, grant.room),
            ttl_s=ttl_s,
            now_s=now_s,
            metadata=grant.metadata,
            web_hook_url=own.web_hook_url or "",
        )
        return Issued(token, url, tuple(others))

    return issue
