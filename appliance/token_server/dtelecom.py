"""Tokens for rooms of dTelecom, each with a node near the client."""

from collections.abc import Iterator

import httpx

from appliance.dtelecom.node_registry import (
    NodeRegistry,
    RegistryError,
    RegistrySettings,
    choose_nodes,
    is_domain,
)
from appliance.dtelecom.tokens import KeyPairError, Signer, is_public_key
from appliance.net.url import address_fault
from appliance.token_server.access import Refused
from appliance.token_server.config import (
    REGISTRY_VARIABLES,
    TokenServerConfig,
    TokenServerSettings,
)
from appliance.token_server.request import Grant
from appliance.token_server.signing import Issued


class DTelecomIssuer:
    """Signer for dTelecom, with the network's list of nodes."""

    def __init__(
        self,
        settings: TokenServerSettings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Start without a list of nodes, which the first token fetches.

        `transport` replaces the network, for tests.

        Raises:
            KeyPairError: key and secret do not belong together.
        """
        self._config = settings.config
        self._signer = Signer(settings.api_key, settings.api_secret)
        registry = RegistrySettings(**settings.registry)
        self._registry = NodeRegistry(registry, transport)
        self._transport = transport

    async def issue(self, grant: Grant, address: str, now_s: int) -> Issued:
        """Return a token, and the node that the network recommends for the client."""
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


def config_faults(config: TokenServerConfig) -> Iterator[tuple[str, str]]:
    """Yield key and sentence of each fault in the configuration."""
    for key in ("agents", "attributes", "room_config"):
        if getattr(config, key):
            yield (key, "rooms of dTelecom have none. Leave it out.")
    own, plain = config.dtelecom, config.allow_insecure
    if not all(map(is_domain, own.nodes)):
        sentence = "expected names like node1.example.com, found something else."
        yield ("dtelecom.nodes", sentence)
    hook, key = own.web_hook_url, "allow_insecure"
    if hook is not None and (fault := address_fault(hook, "https", plain, key)):
        yield ("dtelecom.web_hook_url", fault)


def variable_faults(settings: TokenServerSettings) -> Iterator[tuple[str, str]]:
    """Yield variable and sentence of each fault in keys and registry."""
    try:
        Signer(settings.api_key, settings.api_secret)
    except KeyPairError as exc:
        yield ("API_SECRET", str(exc))
    registry = RegistrySettings(**settings.registry)
    for key in ("contract", "authority"):
        if not is_public_key(getattr(registry, key)):
            sentence = "expected an address of Solana: 32 bytes in base58."
            yield (REGISTRY_VARIABLES[key], sentence)
    if fault := address_fault(registry.rpc_url, "https", key=""):
        yield (REGISTRY_VARIABLES["rpc_url"], fault)
