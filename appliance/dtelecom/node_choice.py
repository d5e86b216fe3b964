"""Choice of a node for one client, as in npm `@dtelecom/server-sdk-js`."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from appliance.dtelecom.node_registry import NodeRegistry, is_domain
from appliance.net.http_client import PostError, post_json
from appliance.net.url import ip

if TYPE_CHECKING:
    import httpx

ANSWER_S: Final = 1.0
"""Time-out for each node that is asked. Source: the npm package."""
TOTAL_S: Final = 4.0
"""Time-out for all of them: a box waits 10 s for its token. Our choice."""
MAX_BODY: Final = 64 * 1024
FALLBACKS: Final = 3
"""Further nodes named; our choice: if four nodes are dead, ask again."""


@dataclass(frozen=True, slots=True)
class ChosenNode:
    """Node for a client, and others in case that it does not answer."""

    url: str
    """`wss://<domain>`."""
    fallback_urls: tuple[str, ...]
    """Same form; in the order in which to try them."""


class _Relevant(msgspec.Struct):
    domain: str


async def choose_node(
    registry: NodeRegistry,
    client_ip: str | None,
    transport: "httpx.AsyncBaseTransport | None" = None,
    shuffle: Callable[[list[str]], None] = random.shuffle,
) -> ChosenNode:
    """Return the node that the network recommends for this client.

    The nodes are asked in random order; the first that recommends any node decides. If
    none does within `TOTAL_S`, one that was not asked is used, if there is any.

    `client_ip` is the address from which the client reaches the internet, never that of
    a proxy; None or a text that is no IP address: nobody is asked. `transport` and
    `shuffle` are for tests.

    Raises:
        RegistryError: there is no list of nodes.
    """
    domains = list(await registry.nodes())
    shuffle(domains)
    chosen = None
    if client_ip is not None and ip(client_ip) is not None:
        chosen = await _recommended(domains, client_ip, transport)
    chosen = chosen or domains[0]
    others = [domain for domain in domains if domain != chosen][:FALLBACKS]
    return ChosenNode(f"wss://{chosen}", tuple(f"wss://{each}" for each in others))


async def _recommended(
    domains: list[str], client_ip: str, transport: "httpx.AsyncBaseTransport | None"
) -> str | None:
    """Return the first recommendation, or None if there is none in time.

    Nodes that recommend none are moved to the end of `domains`.
    """
    body = msgspec.json.encode({"ip": client_ip})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TOTAL_S):
            for domain in tuple(domains):
                # Before it is asked: there may be no time left for its answer.
                domains.append(domains.pop(0))
                found = await _asked(domain, body, transport)
                if found is not None:
                    domains.insert(0, domains.pop())
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
