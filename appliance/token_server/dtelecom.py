"""Tokens for rooms of dTelecom: signing, and the choice of a node near the client.

The node is chosen as the npm package chooses it.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import msgspec

from appliance.dtelecom.node_registry import (
    NodeRegistry,
    RegistryError,
    RegistrySettings,
    is_domain,
    settings_fault,
)
from appliance.dtelecom.tokens import KeyPairError, TokenContents, read_key_pair, sign
from appliance.net.http_post import PostError, post_json
from appliance.net.url import address_fault
from appliance.token_server.access import Reason, Refused
from appliance.token_server.config import (
    ApiKeys,
    TokenServerConfig,
    TokenServerSettings,
)
from appliance.token_server.signing import Issued, TokenRequest

if TYPE_CHECKING:
    import httpx

_VARIABLES: Final = {
    "contract": "SOLANA_CONTRACT_ADDRESS",
    "rpc_url": "SOLANA_NETWORK_HOST_HTTP",
    "authority": "SOLANA_REGISTRY_AUTHORITY",
}

ANSWER_S: Final = 1.0
"""Time-out for each node that is asked. Source: the npm package."""
TOTAL_S: Final = 4.0
"""Time-out for all of them: a box waits 10 s for its token. Our choice."""
MAX_BODY: Final = 64 * 1024
FALLBACKS: Final = 3
"""Further nodes named; our choice: if four nodes are dead, ask again."""

Shuffle = Callable[[list[str]], None]


class DTelecomIssuer:
    """Signer for dTelecom, with the network's list of nodes."""

    def __init__(
        self,
        settings: TokenServerSettings,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """Start without a list of nodes, which the first token fetches.

        Args:
            settings: the configuration and the API keys.
            transport: replaces the network, for tests.

        Raises:
            KeyPairError: key and secret do not belong together.
        """
        config, keys = settings.config.dtelecom, settings.api_keys
        self._keys = read_key_pair(keys.key, keys.secret)
        self._registry = NodeRegistry(_registry(keys, config.nodes), transport)
        self._transport = transport
        self._web_hook_url = config.web_hook_url or ""

    async def issue(self, request: TokenRequest) -> Issued:
        """Return a token, and the node that the network recommends for the client."""
        grant = request.grant
        try:
            url, *fallback_urls = await choose_nodes(
                self._registry, request.address, self._transport
            )
        except RegistryError as exc:
            raise Refused(503, Reason.SERVER, str(exc)) from exc
        contents = TokenContents(
            identity=grant.identity,
            room=grant.room,
            name=grant.name,
            metadata=grant.metadata,
            web_hook_url=self._web_hook_url,
            ttl_s=request.ttl_s,
        )
        token = sign(self._keys, contents, request.now_s)
        return Issued(token, url, tuple(fallback_urls))


class _Relevant(msgspec.Struct):
    domain: str


async def choose_nodes(
    registry: NodeRegistry,
    client_ip: str,
    transport: "httpx.AsyncBaseTransport | None" = None,
    shuffle: Shuffle = random.shuffle,
) -> list[str]:
    """Return the node that the network recommends for this client, and others.

    The nodes are asked in random order; the first that recommends any node decides. If
    none does within `TOTAL_S`, the first one is used.

    Args:
        registry: lists the nodes.
        client_ip: address from which the client reaches the internet; never that of a
            proxy. If it is private or not known, nobody is asked.
        transport: replaces the network, for tests.
        shuffle: brings the nodes into the order in which they are asked.

    Returns:
        `wss://<domain>` of each, in the order in which to try them.

    Raises:
        RegistryError: there is no list of nodes.
    """
    domains = list(await registry.nodes())
    shuffle(domains)
    chosen = domains[0]
    # A node cannot know where a private address is.
    if _is_global(client_ip):
        chosen = await _recommended(domains, client_ip, transport) or chosen
    others = [domain for domain in domains if domain != chosen][:FALLBACKS]
    return [f"wss://{domain}" for domain in (chosen, *others)]


async def _recommended(
    domains: Sequence[str],
    client_ip: str,
    transport: "httpx.AsyncBaseTransport | None",
) -> str | None:
    """Return the first recommendation, or None if there is none in time."""
    body = msgspec.json.encode({"ip": client_ip})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TOTAL_S):
            for domain in domains:
                found = await _asked(domain, body, transport)
                if found is not None:
                    return found
    return None


async def _asked(
    domain: str, body: bytes, transport: "httpx.AsyncBaseTransport | None"
) -> str | None:
    """Return the node that this one recommends, or None."""
    url = f"https://{domain}/relevants"
    try:
        answer = await post_json(url, body, transport, MAX_BODY, ANSWER_S)
        relevant = msgspec.json.decode(answer, type=list[_Relevant])
    except (PostError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if not relevant or not is_domain(relevant[0].domain):
        return None
    return relevant[0].domain.lower()


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
    registry = _registry(keys, ())
    fault = settings_fault(registry)
    if fault is not None:
        yield fault
    sentence = address_fault(registry.rpc_url, "https")
    if sentence is not None:
        yield (_VARIABLES["rpc_url"], sentence)


def _registry(keys: ApiKeys, nodes: tuple[str, ...]) -> RegistrySettings:
    values = {
        name: keys.registry[variable]
        for name, variable in _VARIABLES.items()
        if variable in keys.registry
    }
    return RegistrySettings(nodes=nodes, **values)


def _is_global(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False
