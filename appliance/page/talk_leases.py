"""Leases of the talk button on the page: who presses it, and until when.

The press of a WebSocket ends with it; `application` closes one whose client does
not answer pings.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from appliance.core.events import TalkAsked
from appliance.ports import Post

LEASE_S = 30.0
"""A press by a plain request ends after this unless it is repeated, because there is no
socket whose end would show that the client is gone. Our choice."""


class Timer(Protocol):
    """Result of `loop.call_later`."""

    def cancel(self) -> None:
        """Cancel the call."""


CallLater = Callable[[float, Callable[[], None]], Timer]


class TalkLeases:
    """Talk button of the page, pressed while any client presses it.

    Thread: the loop's.
    """

    def __init__(self, post: Post, call_later: CallLater | None = None) -> None:
        """Start released; `call_later` is the running loop's unless given."""
        self._post = post
        self._call_later = call_later
        self._leases: dict[str, Timer | None] = {}

    def press(self, holder: str, lease_s: float | None = None) -> bool:
        """Press the button of this holder for at most `lease_s`; None: no limit.

        Only a new press posts an event: a repeat prolongs the lease, and must not
        restart a talk that the talk limit has ended.

        Returns:
            True for a new press.
        """
        is_new = holder not in self._leases
        self._drop(holder)
        self._leases[holder] = None if lease_s is None else self._start(holder, lease_s)
        if is_new:
            self._post(TalkAsked(is_on=True))
        return is_new

    def is_pressed(self, holder: str) -> bool:
        """Return whether the button of this holder is pressed."""
        return holder in self._leases

    def prolong(self, holder: str, lease_s: float | None) -> None:
        """Prolong the lease of a holder whose button is pressed."""
        if holder in self._leases:
            self.press(holder, lease_s)

    def release(self, holder: str) -> None:
        """Release the button of this holder; no effect if it is released already."""
        if holder not in self._leases:
            return
        self._drop(holder)
        if not self._leases:
            self._post(TalkAsked(is_on=False))

    def clear(self) -> None:
        """Release the buttons of all holders."""
        for holder in tuple(self._leases):
            self.release(holder)

    def _drop(self, holder: str) -> None:
        lease = self._leases.pop(holder, None)
        if lease is not None:
            lease.cancel()

    def _start(self, holder: str, lease_s: float) -> Timer:
        call_later = self._call_later or asyncio.get_running_loop().call_later
        return call_later(lease_s, lambda: self.release(holder))
