"""`pairing.json`: the PIN, and the digests of cookies and bearer tokens.

Both the service and the command line write it: each reads, changes and replaces it
while it holds a lock on the directory.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from appliance.page.pin_lockout import StoredLockouts
from appliance.process.state_files import write_whole

KEPT_SESSIONS = 32
KEPT_TOKENS = 16
PIN_DIGITS = 6

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Stamp = tuple[int, int, int]


class Keys(msgspec.Struct, frozen=True):
    """PIN and digests, the content of the file."""

    pin: Annotated[str, Meta(pattern="^[0-9]{6}$")]
    sessions: tuple[Digest, ...] = ()
    """SHA-256 of each cookie, oldest first."""
    tokens: tuple[Digest, ...] = ()
    """SHA-256 of each bearer token, oldest first."""
    lockouts: StoredLockouts = msgspec.field(name="guesses", default=StoredLockouts())

    def with_session(self, digest: str) -> "Keys":
        """Return the keys with one more session; the oldest is dropped at the limit."""
        sessions = (*self.sessions, digest)[-KEPT_SESSIONS:]
        return msgspec.structs.replace(self, sessions=sessions)

    def with_token(self, digest: str) -> "Keys":
        """Return the keys with one more token; the oldest is dropped at the limit."""
        tokens = (*self.tokens, digest)[-KEPT_TOKENS:]
        return msgspec.structs.replace(self, tokens=tokens)

    def with_lockouts(self, lockouts: StoredLockouts, pins: tuple[str, str]) -> "Keys":
        """Return the keys with these wrong PINs and, unless it was changed, a new PIN.

        Args:
            lockouts: of all addresses.
            pins: the PIN to replace, and its replacement.
        """
        pin = pins[1] if self.pin == pins[0] else self.pin
        return msgspec.structs.replace(self, pin=pin, lockouts=lockouts)


def fresh_keys() -> Keys:
    """Return keys with a new PIN, without sessions and tokens."""
    return Keys(pin=fresh_pin())


def fresh_pin() -> str:
    """Return six random digits."""
    return f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}}"


def fresh_secret() -> str:
    """Return 256 random bits as text, for a cookie or a bearer token."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the hash of a secret; for 256 random bits no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class PairingFile:
    """Reader and writer of the file; every method may raise `OSError`."""

    def __init__(self, directory: Path) -> None:
        """Use the file in this state directory."""
        self._directory = directory
        self.path = directory / "pairing.json"

    def stamp(self) -> Stamp | None:
        """Return a value that differs after each replacement; None without a file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> Keys | None:
        """Return the content; None if the file is missing or damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Keys)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def change(self, changed: Callable[[Keys], Keys], otherwise: Keys) -> Keys:
        """Replace the content by the result of `changed`, and return that.

        The file is written even if nothing changed, to detect that it cannot be.

        Args:
            changed: gets the content.
            otherwise: passed to `changed` if the file is missing or damaged.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._directory):
            before = self.read()
            after = changed(before or otherwise)
            write_whole(self.path, msgspec.json.encode(after))
        return after


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
