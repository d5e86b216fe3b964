"""Where blocks leave for the room, a packet at a time."""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from appliance.block import SILENCE, Block
from appliance.sound.cadence import Cadence
from appliance.sound.trim import Trim

PACKET_BLOCKS: Final = 2
"""What Opus puts into a packet, 20 ms. Handing both over together wakes the encoder
half as often, and the packet leaves not a moment later."""


class Outlet:
    """Gives blocks to the encoder, never half a packet; implements `ports.Uplink`.

    Thread: `connect`, `disconnect`, `renew` and `learn` the loop's, `send` the uplink's
    or the card's; the rest may be read by any.
    """

    def __init__(self) -> None:
        """Start without a track."""
        self._sending = threading.Lock()
        self._send: Callable[[Block], None] | None = None
        self._trim = Trim()
        self._cadence = Cadence()
        self._waiting: list[Block] = []
        self.blocks = 0
        """How many were sent."""

    def connect(self, send: Callable[[Block], None]) -> None:
        """Send every packet from now on."""
        with self._sending:
            self._send = send
            self._waiting.clear()
            self._trim.restart()
            self._cadence.restart(self.packets)

    def renew(self) -> None:
        """Forget what the encoder did: it may be another one from now on."""
        with self._sending:
            self._cadence.restart(self.packets)

    def disconnect(self) -> None:
        """Send no more; when this returns, `send` is not running."""
        with self._sending:
            self._send = None
            self._waiting.clear()

    @property
    def is_odd(self) -> bool:
        """Whether a block waits for the other half of its packet."""
        return len(self._waiting) % PACKET_BLOCKS > 0

    @property
    def packets(self) -> int:
        """How many packets were sent."""
        return self.blocks // PACKET_BLOCKS

    @property
    def late_packets(self) -> int:
        """How many of the next packets may come late, if they are silence."""
        return self._cadence.late_packets(self.packets)

    @property
    def is_curious(self) -> bool:
        """Whether it would help to know how many packets have left the encoder."""
        return self._cadence.is_curious(self.packets)

    def learn(self, asked: int, sent: int) -> None:
        """Take note of it; see `Cadence`."""
        with self._sending:
            self._cadence.learn(asked, self.packets, sent)

    def lose(self, frames: int) -> None:
        """Take note that about so much will never come."""
        with self._sending:
            self._trim.lose(frames)

    def send(self, blocks: Iterable[Block]) -> bool:
        """Send what makes whole packets; return whether anything was sent."""
        # Under one lock, so that nobody connects in the middle: the encoder would then
        # put the second half of one packet and the first of the next together.
        with self._sending:
            if self._send is None:
                return False
            self._waiting += (x for x in blocks if not self._trim.leaves_out(x))
            whole = len(self._waiting) // PACKET_BLOCKS * PACKET_BLOCKS
            leaving = self._waiting[:whole]
            del self._waiting[:whole]
            for block in leaving:
                self._send(block)
            self.blocks += whole
            if any(block is not SILENCE for block in leaving):
                self._cadence.restart(self.packets)
            return whole > 0
