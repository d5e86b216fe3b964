"""`pairing.json`: the PIN and the digests of what has been given out.

Service and command line both write it: each reads, changes and replaces it while it
holds a lock on the directory.
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

KEPT_SESSIONS = 32
KEPT_TOKENS = 16
PIN_DIGITS = 6

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Stamp = tuple[int, int, int]


class Guest(msgspec.Struct, frozen=True):
    """Wrong PINs from one address."""

    failures: int
    until_s: float
    """Seconds since the epoch; no PIN is looked at before."""


class Guesses(msgspec.Struct, frozen=True):
    """Wrong PINs, so that a restart does not forget them."""

    recent_s: tuple[float, ...] = ()
    """When, in seconds since the epoch; from all addresses."""
    guests: dict[str, Guest] = {}
    """By address."""


class Keys(msgspec.Struct, frozen=True):
    """Who may come in."""

    pin: Annotated[str, Meta(pattern="^[0-9]{6}$")]
    sessions: tuple[Digest, ...] = ()
    """SHA-256 of each cookie, oldest first."""
    tokens: tuple[Digest, ...] = ()
    """SHA-256 of each bearer token, oldest first."""
    guesses: Guesses = Guesses()

    def with_session(self, digest: str) -> "Keys":
        """Return the keys with one session more; the oldest gives way."""
        sessions = (*self.sessions, digest)[-KEPT_SESSIONS:]
        return msgspec.structs.replace(self, sessions=sessions)

    def with_token(self, digest: str) -> "Keys":
        """Return the keys with one bearer token more; the oldest gives way."""
        tokens = (*self.tokens, digest)[-KEPT_TOKENS:]
        return msgspec.structs.replace(self, tokens=tokens)

    def with_guesses(self, guesses: Guesses, pins: tuple[str, str]) -> "Keys":
        """Return the keys with these wrong PINs and, unless it was changed, a new PIN.

        Args:
            guesses: all that are remembered.
            pins: the PIN that is replaced, and the one that replaces it.
        """
        pin = pins[1] if self.pin == pins[0] else self.pin
        return msgspec.structs.replace(self, pin=pin, guesses=guesses)


def fresh_keys() -> Keys:
    """Return a new PIN, and nobody who knows it."""
    return Keys(pin=fresh_pin())


def fresh_pin() -> str:
    """Return six random digits."""
    return f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}}"


def fresh_secret() -> str:
    """Return 256 random bits as text, for a cookie or a bearer token."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return what is kept of a secret: of 256 random bits, a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


class PairingFile:
    """The file; every method may raise `OSError`."""

    def __init__(self, directory: Path) -> None:
        """Keep it in the state directory."""
        self._directory = directory
        self.path = directory / "pairing.json"

    def stamp(self) -> Stamp | None:
        """Return what changes whenever the file is replaced; None: there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> Keys | None:
        """Return what it holds; None when it is missing or damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Keys)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def change(self, changed: Callable[[Keys], Keys], otherwise: Keys) -> Keys:
        """Replace the file by what `changed` makes of it, or of `otherwise`.

        Written even if it stays the same, which shows whether it can be written.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._directory):
            before = self.read()
            after = changed(before or otherwise)
            self._replace(msgspec.json.encode(after))
        return after

    def _replace(self, content: bytes) -> None:
        """Write beside it, then rename: a power cut leaves the old or the new file."""
        beside = self.path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            self._give_away(descriptor)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(self.path)

    def _give_away(self, descriptor: int) -> None:
        """Let root's command line not shut the service's user out."""
        if os.geteuid() == 0:
            owner = self._directory.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
