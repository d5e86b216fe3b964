"""Signing of tokens: for LiveKit servers with HS256, for dTelecom's nodes with EdDSA.

`Issuer` is the interface for both kinds of server. `appliance.dtelecom` is imported
only for the second.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

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


class Issuer(Protocol):
    """Signer for one kind of server."""

    async def issue(self, grant: Grant, address: str, now_s: int, /) -> Issued:
        """Return a token that allows to talk, listen and chat in one room.

        `address` is the client's, for the choice of a server near it; empty: unknown.
        `now_s` is in seconds since the epoch.

        Raises:
            Refused: 503: no server is known.
        """
        ...


class LiveKitIssuer:
    """Signer for a LiveKit server."""

    def __init__(self, settings: TokenServerSettings) -> None:
        self._url = settings.url
        self._ttl_s = settings.config.ttl_s
        self._signer = Signer(settings.api_key, settings.api_secret)

    async def issue(self, grant: Grant, _address: str, now_s: int) -> Issued:
        """Return a token; see `Issuer`."""
        token = self._signer.token(
            grant.identity,
            grant.name,
            grant.room,
            ttl_s=self._ttl_s,
            now_s=now_s,
            further={
                "metadata": grant.metadata,
                "attributes": grant.attributes,
                "roomConfig": grant.room_config,
            },
        )
        return Issued(token, self._url)


class DTelecomIssuer:
    """Signer for dTelecom, with the network's list of nodes."""

    def __init__(
        self,
        settings: TokenServerSettings,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """Start without a list of nodes, which the first token fetches.

        Key and secret were checked. `transport` replaces the network, for tests.
        """
        from appliance.dtelecom import node_registry, tokens

        self._config = settings.config
        self._signer = tokens.Signer(settings.api_key, settings.api_secret)
        registry = node_registry.RegistrySettings(**settings.registry)
        self._registry = node_registry.NodeRegistry(registry, transport)
        self._transport = transport

    async def issue(self, grant: Grant, address: str, now_s: int) -> Issued:
        """Return a token, and the node that the network recommends for the client."""
        from appliance.dtelecom.node_registry import RegistryError, choose_nodes

        own = self._config.dtelecom
        try:
            nodes = own.nodes or await self._registry.nodes()
        except RegistryError as exc:
            raise Refused(503, str(exc)) from exc
        url, *others = await choose_nodes(nodes, address, self._transport)
        token = self._signer.token(
            grant.identity,
            grant.name,
            grant.room,
            ttl_s=self._config.ttl_s,
            now_s=now_s,
            metadata=grant.metadata,
            web_hook_url=own.web_hook_url or "",
        )
        return Issued(token, url, tuple(others))
