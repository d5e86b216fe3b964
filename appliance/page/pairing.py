"""Pairing of phones: PIN, logins and the file that stores them.

A login is the cookie of a paired phone, or a bearer token of a script. Both the service
and the command line write `pairing.json`: each reads, changes and replaces it while it
holds a lock on the directory.
"""

import asyncio
import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from math import ceil
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from appliance.core import fault_table
from appliance.core.events import PairingAsked, Part, PhonePaired
from appliance.core.state import PIN_SHOWN_S
from appliance.net.rate_limit import Bucket, Buckets, Rate
from appliance.page.messages import RequestRefused
from appliance.ports import Post
from appliance.process.fault_report import FaultLog, FaultReport
from appliance.process.logs import LogLimit
from appliance.process.state_files import set_aside, write_whole

_log = logging.getLogger(__name__)

WRONG_PINS_EACH = Rate(burst=5, per_s=1 / 300)
"""Wrong PINs from one address; our choice: a person mistypes a few times."""
WRONG_PINS = 20
WRONG_PIN_S = 120.0
"""Wrong PINs over all addresses, and the time for which each counts: 30 an hour are
about two years for a 50 % chance of guessing one."""
SHOW = Rate(burst=6, per_s=1 / 240)
"""Minutes for which the OLED shows the PIN: reloading the form must not keep it there.
A pairing refills the bucket."""
WRITE_AGAIN = Rate(burst=1, per_s=0.1)
"""Rate at which a write that failed is repeated; our choice: soon after space was
freed, and a full SD card is not written all the time."""
RESUBMIT_S = 10.0
"""Time in which a used PIN gives the same address the same cookie: a second press on
the button of the form sends it again, and the browser takes the second answer only."""
KEPT_COOKIES = 32
KEPT_TOKENS = 16

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Stamp = tuple[int, int, int]
Change = Callable[["PairingCredentials"], "PairingCredentials"]


class PairingCredentials(msgspec.Struct, frozen=True):
    """PIN and digests, the content of the file."""

    pin: Annotated[str, Meta(pattern="^[0-9]{6}$")]
    cookies: tuple[Digest, ...] = msgspec.field(name="sessions", default=())
    """SHA-256 of each cookie, oldest first."""
    tokens: tuple[Digest, ...] = ()
    """SHA-256 of each bearer token, oldest first."""
    wrong_until_s: float = 0.0
    """Time since the epoch from which on no wrong PIN counts any more. Stored, so that
    a restart resets nothing."""

    def bounded(self, wall_s: float) -> "PairingCredentials":
        """Bound `wrong_until_s`, because the clock may have been set back.

        `wall_s` is the time since the epoch.
        """
        longest_s = wall_s + WRONG_PINS * WRONG_PIN_S
        until_s = min(max(wall_s, self.wrong_until_s), longest_s)
        return replace(self, wrong_until_s=until_s)

    def wait_s(self, wall_s: float) -> float:
        """Return the time until a PIN may be tried."""
        counted_s = self.bounded(wall_s).wrong_until_s - wall_s
        return max(0.0, counted_s - (WRONG_PINS - 1) * WRONG_PIN_S)

    def with_wrong_pin(self, wall_s: float) -> "PairingCredentials":
        """Count one more wrong PIN."""
        until_s = self.bounded(wall_s).wrong_until_s + WRONG_PIN_S
        return replace(self, wrong_until_s=until_s)

    def has(self, login: str) -> bool:
        """Return whether this is the digest of a valid cookie or token."""
        return login in self.cookies or login in self.tokens

    def with_new_pin(self) -> "PairingCredentials":
        """Replace the PIN."""
        return replace(self, pin=new_pin())

    def with_cookie(self, digest: str) -> "PairingCredentials":
        """Add a cookie; the oldest is dropped at the limit."""
        return replace(self, cookies=(*self.cookies, digest)[-KEPT_COOKIES:])

    def with_token(self, digest: str) -> "PairingCredentials":
        """Add a token; the oldest is dropped at the limit."""
        return replace(self, tokens=(*self.tokens, digest)[-KEPT_TOKENS:])


def new_credentials() -> PairingCredentials:
    """Return credentials with a new PIN, without cookies and tokens."""
    return PairingCredentials(pin=new_pin())


def new_pin() -> str:
    """Return six random digits."""
    return f"{secrets.randbelow(10**6):06}"


def new_secret() -> str:
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
        self._damaged: Stamp | None = None
        """Of the file that could not be used, which is named once."""

    def stamp(self) -> Stamp | None:
        """Return a value that differs after each replacement; None without a file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> PairingCredentials | None:
        """Return the content; None if the file is missing or damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=PairingCredentials)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def change(
        self,
        changed: Change,
        otherwise: PairingCredentials,
        known: Stamp | None = None,
    ) -> PairingCredentials:
        """Replace the content by the result of `changed`, and return that.

        `changed` gets `otherwise` if the file is missing, damaged or still the one with
        the stamp `known`. Also if nothing changed the file is written, to detect that
        it cannot be.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stamp, stored = self.stamp(), self.read()
            if stored is None and stamp != self._damaged:
                self._damaged = stamp
                set_aside(self.path, "damaged")
            if stored is None or stamp == known:
                stored = otherwise
            after = changed(stored)
            write_whole(self.path, msgspec.json.encode(after))
        finally:
            os.close(lock)
        return after


class Pairing:
    """PIN and logins of the running service. Thread: the loop's.

    If the file cannot be read or written they are kept in memory until the next start,
    or until the command line changes the file.
    """

    def __init__(
        self,
        file: PairingFile,
        post: Post,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """Start with a new PIN; `open` reads or creates the file."""
        self._file = file
        self._post = post
        self._now_s = now_s
        self._wall_s = wall_s
        self._credentials = new_credentials()
        self._stamp: Stamp | None = None
        """Of the file as last read."""
        self._lock = asyncio.Lock()
        """Held while the logins are changed."""
        self._wrong_pins = Buckets(WRONG_PINS_EACH)
        self._used = "", "", 0.0, ""
        """PIN and address of the newest pairing, until when they count, its cookie."""
        self._show = Bucket(SHOW, now_s())
        self._shown_until_s = now_s()
        """End of the PIN's time on the OLED."""
        self._write_again = Bucket(WRITE_AGAIN, now_s())
        self._log_limit = LogLimit(1)
        log = FaultLog(_log, "pairing file cannot be used", "pairing file works again")
        self._fault = FaultReport(post, Part.STORE, file.path.name, log)
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change of the logins."""

    @property
    def pin(self) -> str:
        """The current PIN."""
        return self._credentials.pin

    async def open(self) -> None:
        """Read the file, or create it with the current PIN."""
        async with self._lock:
            self._read()
            await self._change(lambda stored: stored)
            if self._fault.is_lost:
                # The PIN in the file may have paired a phone already.
                self._set(self._credentials.with_new_pin())

    def refresh(self) -> None:
        """Read the file if the command line changed it; cheap if it did not."""
        if not self._lock.locked():
            self._read()

    async def keep_up(self) -> None:
        """Read the file as `refresh` does, and write it after a failure of either."""
        self.refresh()
        if self._fault.is_lost and self._write_again.may(self._now_s()):
            async with self._lock:
                await self._change(lambda stored: stored)

    def login_of(self, given: Iterable[str]) -> str | None:
        """Return the digest of the valid cookie or bearer token; None without one."""
        self.refresh()
        return next(filter(self._credentials.has, map(digest, given)), None)

    def is_valid(self, login: str) -> bool:
        """Return whether the login with this digest is still valid."""
        self.refresh()
        return self._credentials.has(login)

    def request_pin_display(self) -> None:
        """Request that the OLED shows the PIN, for somebody who has opened the form."""
        now_s = self._now_s()
        is_ending = self._shown_until_s - now_s < PIN_SHOWN_S / 2
        if is_ending and self._show.may(now_s):
            self._post(PairingAsked())
            self._shown_until_s = now_s + PIN_SHOWN_S

    async def pair(self, pin: str, address: str) -> str:
        """Return the cookie of a new login, and replace the PIN.

        Raises:
            RequestRefused: wrong PIN (403), or too many of them (429).
        """
        async with self._lock:
            self._read()
            if self._used[:2] == (pin, address) and self._now_s() < self._used[2]:
                return self._used[3]
            await self._check(pin, address)
            secret = new_secret()
            known = digest(secret)
            await self._change(lambda stored: stored.with_cookie(known).with_new_pin())
            self._used = pin, address, self._now_s() + RESUBMIT_S, secret
        self._wrong_pins.forget(address)
        self._post(PhonePaired())
        self._shown_until_s = self._now_s()
        self._show = Bucket(SHOW, self._shown_until_s)
        is_full = len(self._credentials.cookies) == KEPT_COOKIES
        ending = f"; only the newest {KEPT_COOKIES} stay paired" if is_full else ""
        _log.info("phone paired%s", ending)
        return secret

    async def _check(self, pin: str, address: str) -> None:
        """Raise `RequestRefused` unless the PIN is right and may be tried now."""
        if not self._wait_s(address):
            if hmac.compare_digest(pin.encode(), self.pin.encode()):
                return
            self._log_limit.log(_log, logging.WARNING, "wrong PIN")
            await self._count_wrong(address)
        wait_s = self._wait_s(address)
        if wait_s:
            wait = f"Try again in {ceil(wait_s / 60)} min."
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"Too many wrong PINs; the box has a new PIN. {wait}",
                headers={"retry-after": str(ceil(wait_s))},
            )
        raise RequestRefused(HTTPStatus.FORBIDDEN, "Wrong PIN.", key="pin")

    def _wait_s(self, address: str) -> float:
        """Return the time until this address may try a PIN."""
        wall_s = self._wall_s()
        self._credentials = self._credentials.bounded(wall_s)
        each_s = self._wrong_pins.wait_s(address, self._now_s())
        return max(each_s, self._credentials.wait_s(wall_s))

    async def _count_wrong(self, address: str) -> None:
        """Count a wrong PIN, and replace the PIN if it has to be waited for now."""
        now_s, wall_s = self._now_s(), self._wall_s()
        self._wrong_pins.may(address, now_s)
        is_locked = self._wrong_pins.wait_s(address, now_s) > 0

        def counted(stored: PairingCredentials) -> PairingCredentials:
            after = stored.with_wrong_pin(wall_s)
            is_last = is_locked or after.wait_s(wall_s) > 0
            return after.with_new_pin() if is_last else after

        await self._change(counted)

    async def _change(self, changed: Change) -> None:
        """Change the logins, in memory only if the file cannot be written."""
        try:
            # In a thread: writing to an SD card may take a second.
            after = await asyncio.to_thread(
                self._file.change, changed, self._credentials, self._stamp
            )
        except OSError as exc:
            self._lost(exc)
            after = changed(self._credentials)
        else:
            self._fault.found()
        self._set(after)

    def _read(self) -> None:
        try:
            stamp = self._file.stamp()
            if stamp == self._stamp:
                return
            stored = self._file.read()
        except OSError as exc:
            self._lost(exc)
            return
        self._stamp = stamp
        if stored is None:
            return
        if stored.pin != self.pin:
            # The command line has reset it.
            self._wrong_pins = Buckets(WRONG_PINS_EACH)
            self._used = "", "", 0.0, ""
        self._set(stored)

    def _set(self, credentials: PairingCredentials) -> None:
        self._credentials = credentials
        self.on_change()

    def _lost(self, exc: OSError) -> None:
        # Reads and writes may fail for different reasons; only the first is reported.
        if not self._fault.is_lost:
            self._fault.lost(fault_table.PAIRINGS_FAILED.text(error=exc.strerror))
