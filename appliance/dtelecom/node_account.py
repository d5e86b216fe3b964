"""Nodes of the network, and their accounts on Solana.

Source: npm `@dtelecom/server-sdk-js` 3.2.0. Accounts are untrusted bytes.
"""

import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.dtelecom import base58
from appliance.dtelecom.base58 import KEY_BYTES
from appliance.net.url import ip

ACCOUNT_BYTES: Final = 334
"""Size of every account; the domain's length varies, the rest is zero."""
REGISTRY_OFFSET: Final = 8
"""Place of the registry's address in an account, after the discriminator."""
REGISTRY_NAME: Final = b"dtel-nodes"

_KEY_OFFSET: Final = REGISTRY_OFFSET + KEY_BYTES
_DOMAIN_OFFSET: Final = _KEY_OFFSET + KEY_BYTES
_LENGTH: Final = struct.Struct("<I")
_STATE: Final = struct.Struct("<iB")
"""Number of participants, and 1 if the node is active."""
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}", re.IGNORECASE)
_DOMAIN_CHARACTERS: Final = 253
_OF_THIS_NETWORK: Final = {"localhost", "local"}
_PRIME: Final = 2**255 - 19
"""Prime of the field. Source: RFC 8032, section 5.1, as the next constant."""
_CURVE_D: Final = -121665 * pow(121666, -1, _PRIME) % _PRIME
_MARK: Final = b"ProgramDerivedAddress"
_HIGHEST_BUMP: Final = 255


@dataclass(frozen=True, slots=True)
class Node:
    """Node of the network."""

    domain: str
    """Name in the DNS; `wss://<domain>` is its address."""
    key: str = ""
    """Public key in base58, with which it signs webhooks; empty: not known."""


def read_account(raw: bytes) -> Node | None:
    """Return the node of an account; None: inactive or malformed."""
    if len(raw) != ACCOUNT_BYTES:
        return None
    (length,) = _LENGTH.unpack_from(raw, _DOMAIN_OFFSET)
    start = _DOMAIN_OFFSET + _LENGTH.size
    if start + length + _STATE.size > len(raw):
        return None
    _, active = _STATE.unpack_from(raw, start + length)
    domain = raw[start : start + length].decode("ascii", "replace")
    if active != 1 or not is_domain(domain):
        return None
    return Node(domain.lower(), base58.encode(raw[_KEY_OFFSET:_DOMAIN_OFFSET]))


def registry_address(authority: str, contract: str) -> bytes:
    """Return the address of an authority's list of nodes.

    Args:
        authority: owner of the list; base58.
        contract: program that keeps it; base58.
    """
    owner, program = base58.decode(authority), base58.decode(contract)
    return program_address((owner, REGISTRY_NAME), program)


def is_domain(text: str) -> bool:
    """Return whether the text is a DNS name of two labels or more, and no IP address.

    Nodes are asked over HTTPS by these names; a hostile list cannot direct the requests
    to this machine or its network by their addresses.
    """
    if len(text) > _DOMAIN_CHARACTERS or ip(text) is not None:
        return False
    last = text.rpartition(".")[2].lower()
    is_public = not last.isdecimal() and last not in _OF_THIS_NETWORK
    return is_public and _DOMAIN.fullmatch(text) is not None


def program_address(seeds: Sequence[bytes], program: bytes) -> bytes:
    """Return the address that Solana derives for a program; 32 bytes.

    The first hash that is not a point of Ed25519's curve, so that nobody has a private
    key for it.

    Args:
        seeds: at most 15 of at most 32 bytes each.
        program: address of the program, 32 bytes.

    Raises:
        ValueError: every candidate is a point of the curve; practically impossible.

    Source: Solana's documentation, "Program Derived Address": SHA-256 over seeds, a
    number that counts down from 255, the program and a constant.
    """
    for bump in range(_HIGHEST_BUMP, -1, -1):
        preimage = b"".join((*seeds, bytes([bump]), program, _MARK))
        candidate = hashlib.sha256(preimage).digest()
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
