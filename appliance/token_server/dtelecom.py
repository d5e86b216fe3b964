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
        self._config = settings.config
        self._keys = read_key_pair(settings.api_key, settings.api_secret)
        nodes = self._config.dtelecom.nodes
        registry = RegistrySettings(nodes=nodes, **settings.registry)
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
    own, plain = config.dtelecom, config.allow_insecure
    if fault := settings_fault(RegistrySettings(nodes=own.nodes)):
        yield ("dtelecom.nodes", fault[1])
    hook, key = own.web_hook_url, "allow_insecure"
    if hook is not None and (sentence := address_fault(hook, "https", plain, key)):
        yield ("dtelecom.web_hook_url", sentence)


def variable_faults(settings: TokenServerSettings) -> Iterator[tuple[str, str]]:
    """Yield variable and sentence of each fault in keys and registry."""
    try:
        read_key_pair(settings.api_key, settings.api_secret)
    except KeyPairError as exc:
        yield ("API_SECRET", str(exc))
    registry = RegistrySettings(nodes=(), **settings.registry)
    if fault := settings_fault(registry):
        yield fault
    if sentence := address_fault(registry.rpc_url, "https", key=""):
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
