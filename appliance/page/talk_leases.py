"""Who holds the page's talk button; nobody may leave the transmitter stuck."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from appliance.core.events import TalkAsked
from appliance.ports import Post

LEASE_S = 30.0
"""A script's press ends after this unless it is repeated: it has no socket whose death
would tell that it is gone. Our choice: several repeats fit into a long talk."""


class Timer(Protocol):
    """What `loop.call_later` returns."""

    def cancel(self) -> None:
        """Let the time pass without effect."""


CallLater = Callable[[float, Callable[[], None]], Timer]


class TalkLeases:
    """Joins the presses of several phones and scripts into one talk button.

    Thread: the loop's.
    """

    def __init__(self, post: Post, call_later: CallLater | None = None) -> None:
        """Start with nobody; `call_later` is the running loop's unless given."""
        self._post = post
        self._call_later = call_later
        self._leases: dict[str, Timer | None] = {}

    def press(self, holder: str, lease_s: float | None = None) -> bool:
        """Note that this holder's button is down, for at most `lease_s`.

        Only a new press is an event: a repeat prolongs the lease and must not open
        again what the talk limit has closed.

        Returns:
            Whether it was a new press.
        """
        is_new = holder not in self._leases
        self._drop(holder)
        self._leases[holder] = None if lease_s is None else self._start(holder, lease_s)
        if is_new:
            self._post(TalkAsked(is_on=True))
        return is_new

    def prolong(self, holder: str, lease_s: float | None) -> None:
        """Renew the lease of a holder whose button is down; others get none."""
        if holder in self._leases:
            self.press(holder, lease_s)

    def release(self, holder: str) -> None:
        """Note that this holder's button is up; twice is fine."""
        if holder not in self._leases:
            return
        self._drop(holder)
        if not self._leases:
            self._post(TalkAsked(is_on=False))

    def clear(self) -> None:
        """Release everybody."""
        for holder in tuple(self._leases):
            self.release(holder)

    def _drop(self, holder: str) -> None:
        lease = self._leases.pop(holder, None)
        if lease is not None:
            lease.cancel()

    def _start(self, holder: str, lease_s: float) -> Timer:
        call_later = self._call_later or asyncio.get_running_loop().call_later
        return call_later(lease_s, lambda: self.release(holder))
