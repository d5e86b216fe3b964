"""List of the network's nodes, from its registry on Solana, and choice of one of them.

The registry is a program on Solana; each node has one account there. Any public
JSON-RPC server can list them. What it and the nodes answer is untrusted and bounded.
"""

import asyncio
import hashlib
import logging
import random
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import httpx
import msgspec

from appliance.dtelecom.tokens import KEY_BYTES, decode_base58, encode_base58
from appliance.errors import ApplianceError
from appliance.net.http_client import PostError, post_json
from appliance.net.url import ip, is_host, without_query

ACCOUNT_BYTES: Final = 334
"""Size of every account; the domain's length varies, the rest is zero."""
REGISTRY_OFFSET: Final = 8
"""Place of the registry's address in an account, after the discriminator."""
_DOMAIN_OFFSET: Final = REGISTRY_OFFSET + 2 * KEY_BYTES
"""After the addresses of registry and node."""
_PRIME: Final = 2**255 - 19
"""Prime of the field. Source: RFC 8032, section 5.1, as the next constant."""
_CURVE_D: Final = -121665 * pow(121666, -1, _PRIME) % _PRIME

CONTRACT: Final = "E2FcHsC9STeB6FEtxBKGAwMTX7cbfYMyjSHKs4QbBAmh"
AUTHORITY: Final = "6KVRs6Yr2oYzddepFdtWrFmVq8sgELcXzbUy7apwuQX4"
FRESH_S: Final = 300.0
"""Time for which a list is used without asking again; our choice."""
RETRY_S: Final = 10.0
"""Pause after a failure, so that every token request does not ask again."""
RPC_S: Final = 5.0
"""Time-out for the whole answer; a box waits 10 s for its token."""
MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes of an answer; space for 3,000 nodes."""
ANSWER_S: Final = 1.0
"""Time-out for each node that is asked. Source: npm `@dtelecom/server-sdk-js`."""
NAMED: Final = 4
"""Nodes that are asked or named at most; our choice: a box waits 10 s for a token."""
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_log = logging.getLogger(__name__)


def read_account(raw: bytes) -> str | None:
    """Return the domain of a node's account; None: inactive or malformed."""
    if len(raw) != ACCOUNT_BYTES:
        return None
    start = _DOMAIN_OFFSET + 4
    end = start + int.from_bytes(raw[_DOMAIN_OFFSET:start], "little")
    domain = raw[start:end].decode("ascii", "replace")
    # The number of participants follows, of four bytes, and 1 if the node is active.
    is_active = raw[end + 4 : end + 5] == b"\1"
    return domain.lower() if is_active and is_domain(domain) else None


def is_domain(text: str) -> bool:
    """Return whether the text is a DNS name of two labels or more, and no IP address.

    So a hostile list cannot direct the requests to this machine or its network.
    """
    before, _, last = text.lower().rpartition(".")
    is_public = not last.isdecimal() and last not in {"", "localhost", "local"}
    return bool(before) and is_public and text.isascii() and is_host(text)


def program_address(seeds: Sequence[bytes], program: bytes) -> bytes:
    """Return the address that Solana derives for a program; 32 bytes.

    The first hash that is not a point of Ed25519's curve, so that nobody has a private
    key for it. Sources: Solana's documentation, "Program Derived Address"; RFC 8032,
    section 5.1.3: y is on the curve if (y² - 1) / (d y² + 1) is a square.
    """
    for bump in range(255, -1, -1):
        parts = (*seeds, bytes([bump]), program, b"ProgramDerivedAddress")
        candidate = hashlib.sha256(b"".join(parts)).digest()
        y = int.from_bytes(candidate, "little") & (2**255 - 1)
        product = (y * y - 1) * (_CURVE_D * y * y + 1)
        if pow(product, (_PRIME - 1) // 2, _PRIME) != 1:
            break
    return candidate


class RegistryError(ApplianceError, ConnectionError):
    """No list of nodes; `str` is a sentence without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Program, JSON-RPC server and owner of the list; defaults of the npm package."""

    contract: str = CONTRACT
    rpc_url: str = "https://api.mainnet-beta.solana.com"
    authority: str = AUTHORITY


class _Account(msgspec.Struct):
    data: tuple[str, str]


class _Keyed(msgspec.Struct):
    account: _Account


class _Answer(msgspec.Struct):
    result: list[_Keyed] = []


class NodeRegistry:
    """List of nodes, kept for `FRESH_S`; one request at a time is under way.

    Thread: the loop's.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        transport: httpx.AsyncBaseTransport | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with an empty list; the settings are valid; `transport`: for tests."""
        self._settings = settings
        self._transport = transport
        self._now_s = now_s
        self._asking = asyncio.Lock()
        self._nodes: tuple[str, ...] = ()
        self._until_s = float("-inf")
        self._failure = ""

    async def nodes(self) -> tuple[str, ...]:
        """Return the domains of the active nodes, of an old list if necessary.

        Raises:
            RegistryError: there has never been a list.
        """
        async with self._asking:
            if self._now_s() >= self._until_s:
                await self._ask()
        if not self._nodes:
            raise RegistryError(self._failure)
        return self._nodes

    async def _ask(self) -> None:
        try:
            self._nodes = await fetch_nodes(self._settings, self._transport)
        except RegistryError as exc:
            level = logging.DEBUG if self._failure else logging.WARNING
            _log.log(level, "node list not fetched  reason=%s", exc)
            self._failure = str(exc)
        else:
            _log.info("node list fetched  nodes=%d", len(self._nodes))
            self._failure = ""
        self._until_s = self._now_s() + (RETRY_S if self._failure else FRESH_S)


async def fetch_nodes(
    settings: RegistrySettings, transport: httpx.AsyncBaseTransport | None = None
) -> tuple[str, ...]:
    """Ask the registry once, and return its active nodes' domains; never empty.

    Raises:
        RegistryError: no answer, one that is malformed, or one without a node.
    """
    # Providers put their keys into the path, and clients are told the sentence.
    where = urljoin(without_query(settings.rpc_url), "/")
    try:
        body = await post_json(
            settings.rpc_url, _request(settings), transport, MAX_BODY, RPC_S
        )
        listed = msgspec.json.decode(body, type=_Answer).result
    except PostError as exc:
        message = f"{where} {exc}; check SOLANA_NETWORK_HOST_HTTP, or configure nodes."
        raise RegistryError(message) from exc
    except _NOT_JSON as exc:
        message = f"{where} answered with something other than Solana's JSON-RPC."
        raise RegistryError(message) from exc
    # Each once.
    nodes = tuple(dict.fromkeys(_domains(listed)))
    if not nodes:
        message = (
            f"{where} lists no active node; check SOLANA_NETWORK_HOST_HTTP and "
            "SOLANA_REGISTRY_AUTHORITY."
        )
        raise RegistryError(message)
    return nodes


def _request(settings: RegistrySettings) -> bytes:
    seeds = (decode_base58(settings.authority), b"dtel-nodes")
    registry = program_address(seeds, decode_base58(settings.contract))
    address = {"bytes": encode_base58(registry), "encoding": "base58"}
    memcmp = {"offset": REGISTRY_OFFSET, **address}
    filters = [{"memcmp": memcmp}, {"dataSize": ACCOUNT_BYTES}]
    parameters = [settings.contract, {"encoding": "base64", "filters": filters}]
    request = {"jsonrpc": "2.0", "id": 1, "method": "getProgramAccounts"}
    return msgspec.json.encode({**request, "params": parameters})


def _domains(accounts: list[_Keyed]) -> Iterator[str]:
    """Yield the domain of each active node."""
    for keyed in accounts:
        text, encoding = keyed.account.data
        with suppress(ValueError):
            domain = read_account(b64decode(text, validate=True))
            if encoding == "base64" and domain is not None:
                yield domain


class _Relevant(msgspec.Struct):
    domain: str


async def choose_nodes(
    nodes: Sequence[str],
    client_ip: str,
    transport: httpx.AsyncBaseTransport | None = None,
    shuffle: Callable[[list[str]], None] = random.shuffle,
) -> tuple[str, ...]:
    """Return the URLs of the node that the network recommends, and of further ones.

    The nodes are asked in random order; the first that recommends one decides. None is
    asked about a `client_ip` that is not of the internet: it cannot know where that is.
    `transport` and `shuffle` are for tests.
    """
    domains = list(nodes)
    shuffle(domains)
    known = ip(client_ip)
    for domain in domains[:NAMED] if known is not None and known.is_global else ():
        recommended = await _recommended(domain, client_ip, transport)
        if recommended is not None:
            domains.insert(0, recommended)
            break
    return tuple(f"wss://{each}" for each in dict.fromkeys(domains))[:NAMED]


async def _recommended(
    domain: str, client_ip: str, transport: httpx.AsyncBaseTransport | None
) -> str | None:
    """Return the node that this one recommends, or None."""
    url, body = f"https://{domain}/relevants", msgspec.json.encode({"ip": client_ip})
    try:
        answer = await post_json(url, body, transport, MAX_BODY, ANSWER_S)
        relevant = msgspec.json.decode(answer, type=list[_Relevant])
    except (PostError, *_NOT_JSON):
        return None
    if not relevant or not is_domain(relevant[0].domain):
        return None
    return relevant[0].domain.lower()
