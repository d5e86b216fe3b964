"""List of the network's nodes: from the registry on Solana, or configured.

The registry is a program on Solana; each node has one account there. Any public
JSON-RPC server can list them. What it answers is untrusted and bounded.
"""

import asyncio
import hashlib
import logging
import re
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import msgspec

from appliance.dtelecom.tokens import (
    KEY_BYTES,
    decode_base58,
    encode_base58,
    is_public_key,
)
from appliance.errors import ApplianceError
from appliance.net.url import ip, without_query

if TYPE_CHECKING:
    import httpx

ACCOUNT_BYTES: Final = 334
"""Size of every account; the domain's length varies, the rest is zero."""
REGISTRY_OFFSET: Final = 8
"""Place of the registry's address in an account, after the discriminator."""
REGISTRY_NAME: Final = b"dtel-nodes"

_DOMAIN_OFFSET: Final = REGISTRY_OFFSET + 2 * KEY_BYTES
"""After the addresses of registry and node."""
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}", re.IGNORECASE)
_DOMAIN_CHARACTERS: Final = 253
_PRIME: Final = 2**255 - 19
"""Prime of the field. Source: RFC 8032, section 5.1, as the next constant."""
_CURVE_D: Final = -121665 * pow(121666, -1, _PRIME) % _PRIME

CONTRACT: Final = "E2FcHsC9STeB6FEtxBKGAwMTX7cbfYMyjSHKs4QbBAmh"
RPC_URL: Final = "https://api.mainnet-beta.solana.com"
AUTHORITY: Final = "6KVRs6Yr2oYzddepFdtWrFmVq8sgELcXzbUy7apwuQX4"
FRESH_S: Final = 300.0
"""Time for which a list is used without asking again; our choice."""
STALE_S: Final = 3600.0
"""Age from which a list is not used before the registry has been asked; our choice:
nodes come and go over a night."""
RETRY_S: Final = 10.0
"""Pause after a failure, so that every token request does not ask again."""
RPC_S: Final = 5.0
"""Time-out for the whole answer."""
MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes; space for 3,000 nodes."""
MAX_NODES: Final = 1000
"""Further nodes are ignored."""
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


def registry_address(authority: str, contract: str) -> bytes:
    """Return the address of the list of nodes of `authority`; both texts are base58."""
    owner, program = decode_base58(authority), decode_base58(contract)
    return program_address((owner, REGISTRY_NAME), program)


def is_domain(text: str) -> bool:
    """Return whether the text is a DNS name of two labels or more, and no IP address.

    Nodes are asked over HTTPS by these names; a hostile list cannot direct the requests
    to this machine or its network by their addresses.
    """
    if len(text) > _DOMAIN_CHARACTERS or ip(text) is not None:
        return False
    last = text.rpartition(".")[2].lower()
    is_public = not last.isdecimal() and last not in {"localhost", "local"}
    return is_public and _DOMAIN.fullmatch(text) is not None


def program_address(seeds: Sequence[bytes], program: bytes) -> bytes:
    """Return the address that Solana derives for a program; 32 bytes.

    The first hash that is not a point of Ed25519's curve, so that nobody has a private
    key for it. There are at most 15 seeds of at most 32 bytes; `program` has 32.

    Raises:
        ValueError: every candidate is a point of the curve; practically impossible.

    Source: Solana's documentation, "Program Derived Address": SHA-256 over seeds, a
    number that counts down from 255, the program and a constant.
    """
    for bump in range(255, -1, -1):
        parts = (*seeds, bytes([bump]), program, b"ProgramDerivedAddress")
        candidate = hashlib.sha256(b"".join(parts)).digest()
        if not is_on_curve(candidate):
            return candidate
    message = "these seeds have no program address"
    raise ValueError(message)


def is_on_curve(point: bytes) -> bool:
    """Return whether the 32 bytes are a compressed point of Ed25519's curve.

    Source: RFC 8032, section 5.1.3: y is on the curve if (y² - 1) / (d y² + 1) is a
    square; Euler's criterion tells that without computing the root.
    """
    encoded = int.from_bytes(point, "little")
    y, sign = encoded & (2**255 - 1), encoded >> 255
    if y >= _PRIME:
        return False
    numerator = (y * y - 1) % _PRIME
    denominator = (_CURVE_D * y * y + 1) % _PRIME
    if numerator == 0:
        # x is 0, which has no negative counterpart.
        return sign == 0
    return pow(numerator * denominator, (_PRIME - 1) // 2, _PRIME) == 1


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


class _Refusal(msgspec.Struct):
    code: int = 0


class _Answer(msgspec.Struct):
    result: list[_Keyed] | None = None
    error: _Refusal | None = None


class NodeRegistry:
    """Cached list of nodes; at most one request is under way.

    Thread: the loop's.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        transport: "httpx.AsyncBaseTransport | None" = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with an empty list, which the first call fetches.

        `settings_fault` has checked the settings; `transport` is for tests.
        """
        self._settings = settings
        self._transport = transport
        self._now_s = now_s
        self._asking: asyncio.Task[None] | None = None
        self._nodes = settings.nodes
        self._until_s = float("inf") if settings.nodes else float("-inf")
        self._stale_at_s = self._until_s
        self._failure: RegistryError | None = None

    async def nodes(self) -> tuple[str, ...]:
        """Return the domains of the active nodes; never empty.

        An old list is better than none: up to `STALE_S` it is used until the registry
        has answered, beyond that if the registry does not answer.

        Raises:
            RegistryError: there has never been a list.
        """
        now_s = self._now_s()
        is_asking = self._asking is not None and not self._asking.done()
        if now_s >= self._until_s and not is_asking:
            self._asking = asyncio.create_task(self._ask())
        if now_s >= self._stale_at_s and self._asking is not None:
            # Others wait for it, too.
            await asyncio.shield(self._asking)
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
        self._stale_at_s = self._now_s() + STALE_S
        _log.info("node list fetched  nodes=%d", len(self._nodes))


async def fetch_nodes(
    settings: RegistrySettings, transport: "httpx.AsyncBaseTransport | None" = None
) -> tuple[str, ...]:
    """Ask the registry once, and return its active nodes' domains; never empty.

    Raises:
        RegistryError: no answer, one that is malformed, or one without a node.
    """
    from appliance.net.http_client import PostError, post_json

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
    # Each once.
    nodes = tuple(dict.fromkeys(_listed(answer.result)))[:MAX_NODES]
    if not nodes:
        message = f"{where} lists no active node; check SOLANA_REGISTRY_AUTHORITY."
        raise RegistryError(message)
    return nodes


def settings_fault(settings: RegistrySettings) -> tuple[str, str] | None:
    """Return variable and sentence of the first fault, or None."""
    if not all(map(is_domain, settings.nodes)):
        return ("nodes", "expected names like node1.example.com, found something else.")
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
        "bytes": encode_base58(registry),
        "encoding": "base58",
    }
    filters = [{"memcmp": memcmp}, {"dataSize": ACCOUNT_BYTES}]
    parameters = [settings.contract, {"encoding": "base64", "filters": filters}]
    request = {"jsonrpc": "2.0", "id": 1, "method": "getProgramAccounts"}
    return msgspec.json.encode({**request, "params": parameters})


def _listed(accounts: list[_Keyed]) -> Iterator[str]:
    """Yield the domain of each active node."""
    for keyed in accounts:
        text, encoding = keyed.account.data
        if encoding != "base64":
            continue
        with suppress(ValueError):
            domain = read_account(b64decode(text, validate=True))
            if domain is not None:
                yield domain
