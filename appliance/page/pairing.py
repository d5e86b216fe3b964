"""Who may come in: PIN, sessions, bearer tokens and the lock-out."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from http import HTTPStatus

import msgspec

from appliance.core.events import PairingAsked, Part, PartFound, PartLost, PhonePaired
from appliance.net.minute_log import MinuteLog
from appliance.net.rate_limit import Bucket, Rate
from appliance.page.pairing_file import (
    Keys,
    PairingFile,
    Stamp,
    digest,
    fresh_keys,
    fresh_pin,
    fresh_secret,
)
from appliance.page.pin_lockout import Lockouts
from appliance.page.refused import RequestRefused
from appliance.ports import Post

logger = logging.getLogger(__name__)

SHOW = Rate(burst=1, per_s=0.2)
"""How often the OLED is asked to show the PIN."""
SHOW_AGAIN = Rate(burst=6, per_s=1 / 240)
"""The same over minutes: who only opens the form cannot hold the OLED for ever. Each
time it shows the PIN for a minute; a pairing fills the bucket again."""
TWICE_S = 10.0
"""For so long the PIN that paired an address pairs it again: forms are sent twice."""


class Pairing:
    """The keys as the running service knows them.

    When the disk cannot be read or written they live in memory until the next start.

    Thread: the loop's; only `_file.change` runs beside it.
    """

    def __init__(
        self,
        file: PairingFile,
        post: Post,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """Start with keys of our own; `open` reads or makes the file."""
        self._file = file
        self._post = post
        self._now_s = now_s
        self._wall_s = wall_s
        self._keys = fresh_keys()
        self._stamp: Stamp | None = None
        self._lockouts = Lockouts()
        self._show = Bucket(SHOW, now_s())
        self._show_again = Bucket(SHOW_AGAIN, now_s())
        self._used = ("", "", 0.0)
        """PIN and address of the last pairing, and until when they are good."""
        self._writing = asyncio.Lock()
        self._wrong = MinuteLog(_log_wrong)
        self._is_lost = False

    @property
    def pin(self) -> str:
        """What pairs a phone."""
        return self._keys.pin

    async def open(self) -> None:
        """Read the file, or make it with the PIN that we have.

        If it cannot be written, wrong PINs could not be counted over a restart: then
        the PIN is a new one at each start.
        """
        await self._change(lambda keys: keys)
        pin = self._keys.pin
        self.refresh()
        if self._is_lost:
            self._keys = msgspec.structs.replace(self._keys, pin=pin)

    def refresh(self) -> None:
        """Take over what the command line changed; cheap when nothing did."""
        if self._writing.locked():
            # The file is about to be what is in memory.
            return
        try:
            stamp = self._file.stamp()
            if stamp is None or stamp == self._stamp:
                return
            keys = self._file.read()
        except OSError as problem:
            self._lost(problem)
            return
        self._stamp = stamp
        if keys is not None:
            self._take(keys)

    def owner(self, *, cookie: str, bearer: str) -> str | None:
        """Return the digest of the valid secret among the two; None: not paired."""
        self.refresh()
        keys = self._keys
        for secret, known in ((cookie, keys.sessions), (bearer, keys.tokens)):
            if secret and digest(secret) in known:
                return digest(secret)
        return None

    def still_knows(self, owner: str) -> bool:
        """Whether this digest has not been forgotten since."""
        self.refresh()
        return owner in self._keys.sessions or owner in self._keys.tokens

    def ask(self) -> None:
        """Let the OLED show the PIN to somebody who has the form before them."""
        now_s = self._now_s()
        if self._show.may(now_s) and self._show_again.may(now_s):
            self._post(PairingAsked())

    async def admit(self, pin: str, guest: str) -> str:
        """Return the cookie of a new session.

        Args:
            pin: six digits.
            guest: the address that they came from.

        Raises:
            Refused: wrong PIN (403), or too many of them (429).
        """
        self.refresh()
        now_s = self._now_s()
        if wait_s := self._lockouts.wait_s(guest, now_s):
            raise _locked(wait_s)
        if not self._is_right(pin, guest, now_s):
            raise await self._failed(guest, now_s)
        self._lockouts.passed(guest)
        secret = fresh_secret()
        known = digest(secret)
        self._keys = self._keys.with_session(known)
        await self._keep(lambda keys: keys.with_session(known), self._renewed())
        self._post(PhonePaired())
        self._show_again = Bucket(SHOW_AGAIN, self._now_s())
        logger.info("phone paired")
        return secret

    def _is_right(self, pin: str, guest: str, now_s: float) -> bool:
        if hmac.compare_digest(pin.encode(), self._keys.pin.encode()):
            self._used = (pin, guest, now_s + TWICE_S)
            return True
        return (pin, guest) == self._used[:2] and now_s < self._used[2]

    async def _failed(self, guest: str, now_s: float) -> RequestRefused:
        """Count a wrong PIN, and return what to answer.

        Counted before anything is waited for: no two requests may share one try.
        """
        self._lockouts.failed(guest, now_s)
        self._wrong.note()
        lockout = self._lockouts.of(guest)
        wait_s = self._lockouts.wait_s(guest, now_s)
        pins = self._renewed() if wait_s else (self.pin, self.pin)
        await self._keep(lambda keys: keys, pins)
        if wait_s:
            failures = lockout.failures
            logger.warning("pairing locked  wrong_pins=%d wait_s=%d", failures, wait_s)
            return _locked(wait_s)
        left = lockout.tries_left
        tries = "1 try" if left == 1 else f"{left} tries"
        sentence = f"That is not the PIN; {tries} left."
        return RequestRefused(HTTPStatus.FORBIDDEN, sentence, key="pin")

    def _renewed(self) -> tuple[str, str]:
        """Take a new PIN, and return the old one and the new one."""
        old, new = self._keys.pin, fresh_pin()
        self._keys = msgspec.structs.replace(self._keys, pin=new)
        return old, new

    async def _keep(
        self, changed: Callable[[Keys], Keys], pins: tuple[str, str]
    ) -> None:
        """Write the change, a new PIN and what was guessed."""
        guesses = self._lockouts.to_keep(self._now_s(), self._wall_s())
        await self._change(lambda keys: changed(keys).with_guesses(guesses, pins))

    async def _change(self, changed: Callable[[Keys], Keys]) -> None:
        """Write beside the loop: an SD card may take a second over it."""
        async with self._writing:
            try:
                await asyncio.to_thread(self._file.change, changed, self._keys)
            except OSError as problem:
                self._lost(problem)
                return
        if self._is_lost:
            self._is_lost = False
            self._post(PartFound(Part.STORE, self._file.path.name))
            logger.info("pairing is kept again")

    def _take(self, keys: Keys) -> None:
        if keys.pin != self._keys.pin:
            times_s = self._now_s(), self._wall_s()
            self._lockouts = Lockouts.kept(keys.guesses, *times_s)
            self._used = ("", "", 0.0)
        self._keys = keys

    def _lost(self, problem: OSError) -> None:
        reason = f"{problem.strerror}: phones must pair again after a restart"
        if self._is_lost:
            logger.debug("pairing cannot be kept  reason=%r", reason)
            return
        self._is_lost = True
        self._post(PartLost(Part.STORE, self._file.path.name, reason))
        logger.warning("pairing cannot be kept  reason=%r", reason)


def _log_wrong(count: int) -> None:
    logger.warning("wrong PINs  count=%d", count)


def _locked(wait_s: int) -> RequestRefused:
    minutes = -(-wait_s // 60)
    wait = "a minute" if minutes == 1 else f"{minutes} minutes"
    return RequestRefused(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Too many wrong PINs. Try again in {wait}.",
        headers={"retry-after": str(wait_s)},
    )
