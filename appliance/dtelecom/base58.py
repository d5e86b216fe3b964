"""Base58, the encoding of keys and addresses in Solana.

Source: the alphabet of Bitcoin's `base58.h`, which Solana uses without a checksum.
"""

from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {sign: value for value, sign in enumerate(_ALPHABET)}
KEY_BYTES: Final = 32
"""Length of an Ed25519 public key."""
_LONGEST: Final = 128
"""Characters; the longest known value, a secret of 64 bytes, has 88. Decoding takes
quadratic time."""


def encode(raw: bytes) -> str:
    """Return the base58 text of some bytes; each leading zero byte is a "1"."""
    number = int.from_bytes(raw, "big")
    digits = []
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + "".join(reversed(digits))


def decode(text: str) -> bytes:
    """Return the bytes of a base58 text.

    Raises:
        ValueError: a character is not in the alphabet, or there are too many; the
            message does not contain the text, which may be a secret.
    """
    if len(text) > _LONGEST:
        message = f"longer than {_LONGEST} characters"
        raise ValueError(message)
    number = 0
    for sign in text:
        digit = _DIGITS.get(sign)
        if digit is None:
            message = "not base58: letters and digits without 0, O, I and l"
            raise ValueError(message)
        number = number * len(_ALPHABET) + digit
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def is_public_key(text: str) -> bool:
    """Return whether the text is an API key of dTelecom: 32 bytes in base58."""
    try:
        return len(decode(text)) == KEY_BYTES
    except ValueError:
        return False
