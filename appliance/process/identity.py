"""Identity of the box in a room, derived from the machine.

A box whose root file system is read-only cannot keep an identity and needs the same one
at each start: a hash of the board's serial number, else of the system's machine id.

Source: machine-id(5): the id itself must not be shown, but hashed with a fixed key.
"""

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MACHINE_FILES: Final = (
    Path("/proc/device-tree/serial-number"),
    Path("/etc/machine-id"),
)
LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters and digits that are easily confused."""
LENGTH: Final = 8
"""Letters: of 100,000 boxes two have the same identity with a chance below 1 %."""
LARGEST_ID: Final = 256
"""Characters; a machine has less than 40."""
_SALT: Final = b"ptt-appliance identity"


def derived_identity(
    folder: Path, machine_files: Iterable[Path] = MACHINE_FILES
) -> str | None:
    """Return the identity of this machine; None where it has no number of its own.

    Args:
        folder: state directory, because two boxes on one machine need two identities.
        machine_files: files with a number of the machine, best first.
    """
    for path in machine_files:
        if number := _number(path):
            content = b"\0".join((_SALT, number.encode(), str(folder).encode()))
            return _spelled(int.from_bytes(hashlib.sha256(content).digest()))
    return None


def random_identity() -> str:
    """Return an identity for a machine without a number of its own."""
    return _spelled(secrets.randbits(64))


def _number(path: Path) -> str:
    """Return the machine's number; empty where there is none, or only a placeholder."""
    try:
        text = path.read_bytes()[:LARGEST_ID].decode("ascii").strip(" \0\n")
    except (OSError, UnicodeDecodeError):
        return ""
    is_placeholder = text == "uninitialized" or not text.strip("0")
    return "" if is_placeholder else text


def _spelled(number: int) -> str:
    letters = []
    for _ in range(LENGTH):
        number, remainder = divmod(number, len(LETTERS))
        letters.append(LETTERS[remainder])
    return f"box-{''.join(letters)}"
