"""Addresses that Solana derives for programs.

Source: Solana's documentation, "Program Derived Address": SHA-256 over seeds, a number
that counts down from 255, the program and a constant; the first hash that is not a
point of Ed25519's curve is the address, so that nobody has a private key for it.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

_P: Final = 2**255 - 19
"""Prime of the field. Source: RFC 8032, section 5.1, as the next constant."""
_D: Final = -121665 * pow(121666, -1, _P) % _P
_MARK: Final = b"ProgramDerivedAddress"
_HIGHEST_BUMP: Final = 255


def program_address(seeds: Sequence[bytes], program: bytes) -> bytes:
    """Return the address derived from the seeds; 32 bytes.

    Args:
        seeds: at most 15 of at most 32 bytes each.
        program: address of the program, 32 bytes.

    Raises:
        ValueError: every candidate is a point of the curve; practically impossible.
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
    if y >= _P:
        return False
    numerator = (y * y - 1) % _P
    denominator = (_D * y * y + 1) % _P
    if numerator == 0:
        # x is 0, which has no negative counterpart.
        return sign == 0
    return pow(numerator * denominator, (_P - 1) // 2, _P) == 1
