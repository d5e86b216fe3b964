"""Where blocks leave for the room, a packet at a time."""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from appliance.ports import Block
from appliance.sound.trim import Trim

PACKET_BLOCKS: Final = 2
"""What Opus puts into a packet, 20 ms. Handing both over together wakes the encoder
half as often, and the packet leaves not a moment later."""


class Outlet:
    """Gives blocks to the encoder, never half a packet.

    Thread: `connect` and `disconnect` the loop's, `send` the uplink's or the card's;
    `is_odd` and `blocks` may be read by any.
    """

    def __init__(self) -> None:
        """Start without a track."""
        self._sending = threading.Lock()
        self._send: Callable[[Block], None] | None = None
        self._trim = Trim()
        self._waiting: list[Block] = []
        self.blocks = 0
        """How many were sent."""

    def connect(self, send: Callable[[Block], None]) -> None:
        """Send every packet from now on."""
        with self._sending:
            self._send = send
            self._waiting.clear()
            self._trim.restart()

    def disconnect(self) -> None:
        """Send no more; when this returns, `send` is not running."""
        with self._sending:
            self._send = None
            self._waiting.clear()

    @property
    def is_odd(self) -> bool:
        """Whether a block waits for the other half of its packet."""
        return len(self._waiting) % PACKET_BLOCKS > 0

    def send(self, blocks: Iterable[Block]) -> bool:
        """Send what makes whole packets; return whether anything was sent."""
        # Under one lock, so that nobody connects in the middle: the encoder would then
        # put the second half of one packet and the first of the next together.
        with self._sending:
            if self._send is None:
                return False
            self._waiting += (x for x in blocks if not self._trim.leaves_out(x))
            whole = len(self._waiting) // PACKET_BLOCKS * PACKET_BLOCKS
            for block in self._waiting[:whole]:
                self._send(block)
            del self._waiting[:whole]
            self.blocks += whole
            return whole > 0
