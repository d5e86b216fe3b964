"""Pairing of phones: PIN, logins and the file that stores them.

A login is the cookie of a paired phone, or a bearer token of a script.
Both the service and the command line write `pairing.json`: each reads, changes and
replaces it while it holds a lock on the directory.
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
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from appliance.core import fault_table
from appliance.core.events import PairingAsked, Part, PhonePaired
from appliance.core.state import PIN_SHOWN_S
from appliance.net.rate_limit import Bucket, Rate
from appliance.page.messages import RequestRefused
from appliance.page.pairing_lockout import FREE_TRIES, Lockouts, StoredLockouts
from appliance.ports import Post
from appliance.process.fault_report import FaultLog, FaultReport
from appliance.process.logs import LogLimit
from appliance.process.state_files import set_aside, write_whole

_log = logging.getLogger(__name__)

SHOW = Rate(burst=1, per_s=0.2)
"""Rate at which the OLED is requested to show the PIN."""
SHOW_AGAIN = Rate(burst=6, per_s=1 / 240)
"""Minutes for which the OLED shows the PIN: reloading the form must not keep it there.
A pairing refills both buckets."""
WRITE_AGAIN = Rate(burst=1, per_s=0.1)
"""Rate at which a write that failed is repeated; our choice: soon after space was
freed, and a full SD card is not written all the time."""
RESUBMIT_S = 10.0
"""Time in which a used PIN pairs the same address again: browsers resubmit forms."""
KEPT_COOKIES = 32
KEPT_TOKENS = 16

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Stamp = tuple[int, int, int]


class PairingCredentials(msgspec.Struct, frozen=True):
    """PIN and digests, the content of the file.

    The names in the file stay, so that what a box has stored is found after an upgrade.
    """

    pin: Annotated[str, Meta(pattern="^[0-9]{6}$")]
    cookies: tuple[Digest, ...] = msgspec.field(name="sessions", default=())
    """SHA-256 of each cookie, oldest first."""
    tokens: tuple[Digest, ...] = ()
    """SHA-256 of each bearer token, oldest first."""
    lockouts: StoredLockouts = msgspec.field(name="guesses", default=StoredLockouts())

    def with_cookie(self, digest: str) -> "PairingCredentials":
        """Add a cookie; the oldest is dropped at the limit."""
        cookies = (*self.cookies, digest)[-KEPT_COOKIES:]
        return msgspec.structs.replace(self, cookies=cookies)

    def with_token(self, digest: str) -> "PairingCredentials":
        """Add a token; the oldest is dropped at the limit."""
        tokens = (*self.tokens, digest)[-KEPT_TOKENS:]
        return msgspec.structs.replace(self, tokens=tokens)


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

    def stamp(self) -> Stamp | None:
        """Return a value that differs after each replacement; None without a file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self, *, is_locked: bool = False) -> PairingCredentials | None:
        """Return the content; None if the file is missing or damaged.

        A damaged one is set aside if nobody else can replace it meanwhile.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=PairingCredentials)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            if is_locked:
                set_aside(self.path, exc)
            return None

    def change(
        self,
        changed: Callable[[PairingCredentials], PairingCredentials],
        otherwise: PairingCredentials,
    ) -> PairingCredentials:
        """Replace the content by the result of `changed`, and return that.

        `changed` gets `otherwise` if the file is missing or damaged. Also if nothing
        changed the file is written, to detect that it cannot be.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            after = changed(self.read(is_locked=True) or otherwise)
            write_whole(self.path, msgspec.json.encode(after))
        finally:
            os.close(lock)
        return after


class Pairing:
    """PIN and logins of the running service.

    If the file cannot be read or written they are kept in memory until the next start.

    Thread: the loop's; `_file.change` runs in another one.
    """

    def __init__(
        self,
        file: PairingFile,
        post: Post,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with a new PIN; `open` reads or creates the file."""
        self._file = file
        self._post = post
        self._now_s = now_s
        self._credentials = new_credentials()
        self._stamp: Stamp | None = None
        self._lockouts = Lockouts()
        self._show = Bucket(SHOW, now_s())
        self._show_again = Bucket(SHOW_AGAIN, now_s())
        self._shown_until_s = now_s()
        """End of the PIN's time on the OLED."""
        self._write_again = Bucket(WRITE_AGAIN, now_s())
        self._writes = 0
        """Changes that are not in the file yet."""
        self._replaced: set[str] = set()
        """PINs replaced in memory only, because every write since has failed. A file
        with one of them is older than the memory: it lacks logins, too."""
        self._used = ("", "", 0.0)
        """PIN and address of the last pairing, and until when they are accepted."""
        self._lock = asyncio.Lock()
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
        """Read the file, or create it with the current PIN.

        If it cannot be written, the count of wrong PINs is lost at a restart: then the
        PIN is a new one at each start.
        """
        await self._change(lambda credentials: credentials)
        pin = self._credentials.pin
        self.refresh()
        if self._fault.is_lost:
            self._replaced.add(self.pin)
            self._credentials = msgspec.structs.replace(self._credentials, pin=pin)

    def refresh(self) -> None:
        """Read the file if the command line changed it; cheap if it did not."""
        if self._writes:
            # The file is older than the memory: between two writes, too.
            return
        try:
            stamp = self._file.stamp()
            if stamp is None or stamp == self._stamp:
                return
            credentials = self._file.read()
        except OSError as exc:
            self._lost(exc)
            return
        self._stamp = stamp
        if credentials is not None:
            self._replace(self._newer(credentials))

    async def keep_up(self) -> None:
        """Read the file as `refresh` does, and write it after a failure of either."""
        self.refresh()
        is_due = self._replaced or self._fault.is_lost
        if is_due and self._write_again.may(self._now_s()):
            await self._keep(lambda credentials: credentials, self.pin)

    def login_of(self, *, cookies: Iterable[str], bearer: str) -> str | None:
        """Return the digest of the valid cookie or bearer token; None without one."""
        self.refresh()
        known = self._credentials
        for cookie in cookies:
            if digest(cookie) in known.cookies:
                return digest(cookie)
        return digest(bearer) if digest(bearer) in known.tokens else None

    def is_valid(self, login: str) -> bool:
        """Return whether the login with this digest is still valid."""
        self.refresh()
        return login in self._credentials.cookies or login in self._credentials.tokens

    def request_pin_display(self) -> bool:
        """Request that the OLED shows the PIN, for somebody who has opened the form.

        Returns:
            Whether it shows the PIN now, if the box has one.
        """
        now_s = self._now_s()
        minutes = min(1.0, (now_s + PIN_SHOWN_S - self._shown_until_s) / PIN_SHOWN_S)
        if self._show.may(now_s) and self._show_again.may(now_s, minutes):
            self._post(PairingAsked())
            self._shown_until_s = now_s + PIN_SHOWN_S
        return now_s < self._shown_until_s

    async def pair(self, pin: str, address: str) -> str:
        """Return the cookie of a new login.

        Raises:
            RequestRefused: wrong PIN (403), or too many of them (429).
        """
        self.refresh()
        now_s = self._now_s()
        if wait_s := self._lockouts.wait_s(address, now_s):
            raise _locked(wait_s)
        if not self._is_right(pin, address, now_s):
            raise await self._failed(address, now_s)
        self._lockouts.passed(address)
        secret = new_secret()
        known = digest(secret)
        is_full = len(self._credentials.cookies) >= KEPT_COOKIES
        self._replace(self._credentials.with_cookie(known))
        await self._keep(
            lambda credentials: credentials.with_cookie(known), self._renewed()
        )
        self._post(PhonePaired())
        now_s = self._now_s()
        self._show, self._show_again = Bucket(SHOW, now_s), Bucket(SHOW_AGAIN, now_s)
        self._shown_until_s = now_s
        ending = "; the one paired first has to pair again" if is_full else ""
        _log.info("phone paired%s", ending)
        return secret

    def _is_right(self, pin: str, address: str, now_s: float) -> bool:
        if hmac.compare_digest(pin.encode(), self._credentials.pin.encode()):
            self._used = (pin, address, now_s + RESUBMIT_S)
            return True
        return (pin, address) == self._used[:2] and now_s < self._used[2]

    async def _failed(self, address: str, now_s: float) -> RequestRefused:
        """Count a wrong PIN, and return the refusal.

        It is counted before the first await, so that concurrent requests count each.
        """
        self._lockouts.failed(address, now_s)
        self._log_limit.log(_log, logging.WARNING, "wrong PIN")
        failures = self._lockouts.of(address).failures
        wait_s = self._lockouts.wait_s(address, now_s)
        replaced = self._renewed() if wait_s else self.pin
        await self._keep(lambda credentials: credentials, replaced)
        if wait_s:
            _log.warning("pairing locked  wrong_pins=%d wait_s=%d", failures, wait_s)
            return _locked(wait_s)
        left = FREE_TRIES - failures
        tries = "1 try" if left == 1 else f"{left} tries"
        sentence = f"Wrong PIN; {tries} left."
        return RequestRefused(HTTPStatus.FORBIDDEN, sentence, key="pin")

    def _renewed(self) -> str:
        """Replace the PIN, and return the old one."""
        replaced = self.pin
        self._credentials = msgspec.structs.replace(self._credentials, pin=new_pin())
        return replaced

    async def _keep(
        self,
        changed: Callable[[PairingCredentials], PairingCredentials],
        replaced: str,
    ) -> None:
        """Write the change, the PIN and the wrong PINs counted so far.

        The PIN in the file stays if it is not `replaced`: it was changed meanwhile.
        After a write that failed, everything in memory is written.
        """
        lockouts, new = self._lockouts.stored(self._now_s(), time.time()), self.pin

        def kept(stored: PairingCredentials) -> PairingCredentials:
            newer = self._newer(stored)
            credentials = changed(stored) if newer is stored else newer
            pin = new if credentials.pin == replaced else credentials.pin
            return msgspec.structs.replace(credentials, pin=pin, lockouts=lockouts)

        if await self._change(kept):
            self._replaced.clear()
        else:
            self._replaced.add(replaced)

    async def _change(
        self, changed: Callable[[PairingCredentials], PairingCredentials]
    ) -> bool:
        """Change the file, and return whether it has been written.

        In a thread: writing to an SD card may take a second.
        """
        self._writes += 1
        try:
            async with self._lock:
                await asyncio.to_thread(self._file.change, changed, self._credentials)
        except OSError as exc:
            self._lost(exc)
            return False
        finally:
            self._writes -= 1
        self._fault.found()
        return True

    def _newer(self, stored: PairingCredentials) -> PairingCredentials:
        """Return the content of the file, or of the memory if the file is older."""
        if stored.pin not in self._replaced:
            return stored
        # Only the command line adds tokens, and it may have done so meanwhile.
        return msgspec.structs.replace(self._credentials, tokens=stored.tokens)

    def _replace(self, credentials: PairingCredentials) -> None:
        if credentials.pin != self._credentials.pin:
            times_s = self._now_s(), time.time()
            self._lockouts = Lockouts.restored(credentials.lockouts, *times_s)
            self._used = ("", "", 0.0)
        self._credentials = credentials
        self.on_change()

    def _lost(self, exc: OSError) -> None:
        # Reads and writes may fail for different reasons; only the first is reported.
        if not self._fault.is_lost:
            reason = fault_table.PAIRINGS_FAILED.text(error=exc.strerror)
            self._fault.lost(reason)


def _locked(wait_s: int) -> RequestRefused:
    minutes = -(-wait_s // 60)
    wait = "a minute" if minutes == 1 else f"{minutes} minutes"
    return RequestRefused(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Too many wrong PINs; the box has a new PIN. Try again in {wait}.",
        headers={"retry-after": str(wait_s)},
    )
