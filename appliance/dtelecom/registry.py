"""List of the network's nodes: from the registry on Solana, or configured.

The registry is a program on Solana; each node has one account there. Any public
JSON-RPC server can list them. What it answers is untrusted and bounded.
"""

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import msgspec

from appliance.dtelecom import base58
from appliance.dtelecom.base58 import is_public_key
from appliance.dtelecom.node_account import (
    ACCOUNT_BYTES,
    REGISTRY_OFFSET,
    Node,
    is_domain,
    read_account,
    registry_address,
)
from appliance.errors import ApplianceError
from appliance.net.url import without_query

if TYPE_CHECKING:
    import httpx

CONTRACT: Final = "E2FcHsC9STeB6FEtxBKGAwMTX7cbfYMyjSHKs4QbBAmh"
RPC_URL: Final = "https://api.mainnet-beta.solana.com"
AUTHORITY: Final = "6KVRs6Yr2oYzddepFdtWrFmVq8sgELcXzbUy7apwuQX4"

FRESH_S: Final = 300.0
"""Time for which a list is used without asking again; our choice."""
RETRY_S: Final = 10.0
"""Pause after a failure, so that every token request does not ask again."""
RPC_S: Final = 5.0
"""Time-out for the whole answer."""
MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes; room for 3,000 nodes."""
MAX_NODES: Final = 1000
"""Further nodes are ignored."""

_log = logging.getLogger(__name__)


class RegistryError(ApplianceError, ConnectionError):
    """No list of nodes; `str` is a sentence without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Settings with the names and defaults of the npm package's variables."""

    nodes: tuple[str, ...] = ()
    """Domains of nodes; not empty: the registry is not asked."""
    contract: str = CONTRACT
    """Address of the registry's program (`SOLANA_CONTRACT_ADDRESS`)."""
    rpc_url: str = RPC_URL
    """JSON-RPC server (`SOLANA_NETWORK_HOST_HTTP`)."""
    authority: str = AUTHORITY
    """Owner of the list of nodes (`SOLANA_REGISTRY_AUTHORITY`)."""


class _Account(msgspec.Struct):
    data: tuple[str, str]


class _Keyed(msgspec.Struct):
    account: _Account


class _Trouble(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Answer(msgspec.Struct):
    result: list[_Keyed] | None = None
    error: _Trouble | None = None


class Registry:
    """Cached list of nodes; at most one request is under way.

    Thread: the loop's.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        transport: "httpx.AsyncBaseTransport | None" = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            settings: see `settings_fault`, which checks them.
            transport: replaces the network, for tests.
            now_s: monotonic clock.
        """
        self._settings = settings
        self._transport = transport
        self._now_s = now_s
        self._asking = asyncio.Lock()
        self._nodes = tuple(map(Node, settings.nodes))
        self._until_s = float("inf") if settings.nodes else float("-inf")
        self._failure: RegistryError | None = None

    async def nodes(self) -> tuple[Node, ...]:
        """Return the active nodes; never empty.

        An old list is better than none: it is used while the registry does not answer.

        Raises:
            RegistryError: there has never been a list.
        """
        async with self._asking:
            if self._now_s() >= self._until_s:
                await self._ask()
        if not self._nodes:
            assert self._failure is not None
            raise RegistryError(str(self._failure)) from self._failure
        return self._nodes

    async def _ask(self) -> None:
        try:
            self._nodes = await fetch_nodes(self._settings, self._transport)
        except RegistryError as exc:
            level = logging.DEBUG if self._failure else logging.WARNING
            _log.log(level, "node list not fetched  reason=%s", exc)
            self._failure = exc
            self._until_s = self._now_s() + RETRY_S
            return
        self._failure = None
        self._until_s = self._now_s() + FRESH_S
        _log.info("node list fetched  nodes=%d", len(self._nodes))


async def fetch_nodes(
    settings: RegistrySettings, transport: "httpx.AsyncBaseTransport | None" = None
) -> tuple[Node, ...]:
    """Ask the registry once, and return its active nodes; never empty.

    Raises:
        RegistryError: no answer, one that is malformed, or one without a node.
    """
    from appliance.dtelecom.http_post import PostError, post_json

    # Providers put their keys into the path, and clients are told the sentence.
    where = urljoin(without_query(settings.rpc_url), "/")
    try:
        body = await post_json(
            settings.rpc_url, _request(settings), transport, MAX_BODY, RPC_S
        )
        answer = msgspec.json.decode(body, type=_Answer)
    except PostError as exc:
        message = f"{where} {exc}; check SOLANA_NETWORK_HOST_HTTP, or configure nodes."
        raise RegistryError(message) from exc
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        message = f"{where} answered with something other than Solana's JSON-RPC."
        raise RegistryError(message) from exc
    if answer.error is not None or answer.result is None:
        code = answer.error.code if answer.error else 0
        message = f"{where} refused to list the nodes (error {code})."
        raise RegistryError(message)
    nodes = tuple(_listed(answer.result))[:MAX_NODES]
    if not nodes:
        message = f"{where} lists no active node; check SOLANA_REGISTRY_AUTHORITY."
        raise RegistryError(message)
    return nodes


def settings_fault(settings: RegistrySettings) -> tuple[str, str] | None:
    """Return variable and sentence of the first fault, or None."""
    for domain in settings.nodes:
        if not is_domain(domain):
            sentence = "expected names like node1.example.com, found something else."
            return ("nodes", sentence)
    for name, text in (
        ("SOLANA_CONTRACT_ADDRESS", settings.contract),
        ("SOLANA_REGISTRY_AUTHORITY", settings.authority),
    ):
        if not is_public_key(text):
            return (name, "expected an address of Solana: 32 bytes in base58.")
    return None


def _request(settings: RegistrySettings) -> bytes:
    registry = registry_address(settings.authority, settings.contract)
    memcmp = {
        "offset": REGISTRY_OFFSET,
        "bytes": base58.encode(registry),
        "encoding": "base58",
    }
    filters = [{"memcmp": memcmp}, {"dataSize": ACCOUNT_BYTES}]
    parameters = [settings.contract, {"encoding": "base64", "filters": filters}]
    return msgspec.json.encode(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "getProgramAccounts",
            "params": parameters,
        }
    )


def _listed(accounts: list[_Keyed]) -> Iterator[Node]:
    """Yield each active node once."""
    seen = set()
    for keyed in accounts:
        text, encoding = keyed.account.data
        if encoding != "base64":
            continue
        try:
            node = read_account(b64decode(text, validate=True))
        except ValueError:
            continue
        if node is not None and node.domain not in seen:
            seen.add(node.domain)
            yield node
