"""Tokens for rooms of dTelecom: signing, and the choice of a node near the client."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from appliance.dtelecom.node_choice import choose_node
from appliance.dtelecom.node_registry import (
    NodeRegistry,
    RegistryError,
    RegistrySettings,
    settings_fault,
)
from appliance.dtelecom.tokens import KeyPairError, TokenContents, read_key_pair, sign
from appliance.net.url import address_fault, ip
from appliance.token_server.access import Reason, Refused
from appliance.token_server.config import (
    REGISTRY_VARIABLES,
    ApiKeys,
    TokenServerConfig,
    TokenServerSettings,
)
from appliance.token_server.request import Grant
from appliance.token_server.signing import Issued

if TYPE_CHECKING:
    import httpx


class DTelecomIssuer:
    """Signer for dTelecom, with the network's list of nodes."""

    def __init__(
        self,
        settings: TokenServerSettings,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """Start without a list of nodes, which the first token fetches.

        `transport` replaces the network, for tests.

        Raises:
            KeyPairError: key and secret do not belong together.
        """
        self._config, keys = settings.config, settings.api_keys
        self._keys = read_key_pair(keys.key, keys.secret)
        nodes = self._config.dtelecom.nodes
        registry = RegistrySettings(nodes=nodes, **keys.registry)
        self._registry = NodeRegistry(registry, transport)
        self._transport = transport

    async def issue(self, grant: Grant, address: str, now_s: int) -> Issued:
        """Return a token, and the node that the network recommends for the client."""
        own, known = self._config.dtelecom, ip(address)
        # A node cannot know where a private address is.
        client = address if known is not None and known.is_global else None
        try:
            node = await choose_node(self._registry, client, self._transport)
        except RegistryError as exc:
            raise Refused(503, Reason.SERVER, str(exc)) from exc
        contents = TokenContents(
            identity=grant.identity,
            room=grant.room,
            name=grant.name,
            metadata=_with_role(grant.metadata, own.role),
            web_hook_url=own.web_hook_url or "",
            ttl_s=self._config.ttl_s,
        )
        token = sign(self._keys, contents, now_s)
        return Issued(token, node.url, node.fallback_urls)


def config_faults(config: TokenServerConfig) -> Iterator[tuple[str, str]]:
    """Yield key and sentence of each fault in the configuration."""
    for key in ("agents", "attributes", "room_config"):
        if getattr(config, key):
            yield (key, "rooms of dTelecom have none. Leave it out.")
    own = config.dtelecom
    fault = settings_fault(RegistrySettings(nodes=own.nodes))
    if fault is not None:
        yield ("dtelecom.nodes", fault[1])
    if own.web_hook_url is not None:
        sentence = address_fault(own.web_hook_url, "https", config.allow_insecure)
        if sentence is not None:
            yield ("dtelecom.web_hook_url", sentence)


def variable_faults(keys: ApiKeys) -> Iterator[tuple[str, str]]:
    """Yield variable and sentence of each fault in keys and registry."""
    try:
        read_key_pair(keys.key, keys.secret)
    except KeyPairError as exc:
        yield ("API_SECRET", str(exc))
    registry = RegistrySettings(nodes=(), **keys.registry)
    fault = settings_fault(registry)
    if fault is not None:
        yield fault
    sentence = address_fault(registry.rpc_url, "https")
    if sentence is not None:
        yield (REGISTRY_VARIABLES["rpc_url"], sentence)


def _with_role(metadata: str, role: str | None) -> str:
    """Return the metadata with the configured role; text that is no object stays."""
    if role is None:
        return metadata
    try:
        own = msgspec.json.decode(metadata or "{}", type=dict[str, object])
        return json.dumps({**own, "role": role}, separators=(",", ":"))
    except (msgspec.MsgspecError, RecursionError):
        return metadata
