"""Who may come in: PIN, sessions, bearer tokens and the lock-out."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from appliance.core.events import PairingAsked, Part, PartFound, PartLost, PhonePaired
from appliance.net.bucket import Bucket, Rate
from appliance.page.lockout import Lockouts
from appliance.page.pairing_file import (
    Keys,
    PairingFile,
    Stamp,
    digest,
    fresh_keys,
    fresh_secret,
)
from appliance.page.refused import Refused
from appliance.ports import Post

logger = logging.getLogger(__name__)

SHOW = Rate(burst=1, per_s=0.2)
"""How often the OLED is asked to show the PIN."""


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
    ) -> None:
        """Start with keys of our own; `open` reads or makes the file."""
        self._file = file
        self._post = post
        self._now_s = now_s
        self._keys = fresh_keys()
        self._stamp: Stamp | None = None
        self._lockouts = Lockouts()
        self._show = Bucket(SHOW, now_s())
        self._is_lost = False

    @property
    def pin(self) -> str:
        """What pairs a phone."""
        return self._keys.pin

    async def open(self) -> None:
        """Read the file, or make it with the PIN that we have."""
        await self._change(lambda keys: keys)
        self.refresh()

    def refresh(self) -> None:
        """Take over what the command line changed; cheap when nothing did."""
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
        if self._show.may(self._now_s()):
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
        self._check(pin, guest)
        secret = fresh_secret()
        self._keys = self._keys.with_session(digest(secret))
        await self._change(lambda keys: keys.with_session(digest(secret)))
        self._post(PhonePaired())
        logger.info("phone paired")
        return secret

    def _check(self, pin: str, guest: str) -> None:
        """Count before anything else: no two requests may share one try."""
        now_s = self._now_s()
        if wait_s := self._lockouts.wait_s(guest, now_s):
            raise _locked(wait_s)
        if hmac.compare_digest(pin.encode(), self._keys.pin.encode()):
            self._lockouts.passed(guest)
            return
        self._lockouts.failed(guest, now_s)
        lockout = self._lockouts.of(guest)
        if wait_s := self._lockouts.wait_s(guest, now_s):
            failures = lockout.failures
            logger.warning("pairing locked  wrong_pins=%d wait_s=%d", failures, wait_s)
            raise _locked(wait_s)
        left = lockout.tries_left
        tries = "1 try" if left == 1 else f"{left} tries"
        sentence = f"That is not the PIN on the box's screen; {tries} left."
        raise Refused(HTTPStatus.FORBIDDEN, sentence, key="pin")

    async def _change(self, changed: Callable[[Keys], Keys]) -> None:
        """Write beside the loop: an SD card may take a second over it."""
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
            self._lockouts = Lockouts()
        self._keys = keys

    def _lost(self, problem: OSError) -> None:
        reason = f"{problem.strerror}: phones must pair again after a restart"
        if self._is_lost:
            logger.debug("pairing cannot be kept  reason=%r", reason)
            return
        self._is_lost = True
        self._post(PartLost(Part.STORE, self._file.path.name, reason))
        logger.warning("pairing cannot be kept  reason=%r", reason)


def _locked(wait_s: int) -> Refused:
    minutes = -(-wait_s // 60)
    wait = "a minute" if minutes == 1 else f"{minutes} minutes"
    return Refused(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Too many wrong PINs. Try again in {wait}.",
        headers={"retry-after": str(wait_s)},
    )
