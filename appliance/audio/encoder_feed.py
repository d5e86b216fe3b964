"""Feed of the encoder: passes captured blocks to the room in whole packets."""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from appliance.audio.dtx_schedule import DtxSchedule
from appliance.audio.jitter_priming import JitterPriming
from appliance.pcm import SILENCE, Block, Packet

PACKET_BLOCKS: Final = 2
"""An Opus packet is 20 ms. Passing both blocks together wakes the encoder half as often
and does not delay the packet."""


class EncoderFeed:
    """Feed of the encoder in whole packets; implements `ports.MicrophoneFeed`.

    Thread: `send` the sender's or the card's, `step` the card's; `connect`, `renew`,
    `disconnect`, `prime_jitter_buffers` and `learn` the loop's; the properties any.
    """

    def __init__(self) -> None:
        """Start without a track."""
        self._sending = threading.Lock()
        self._send: Callable[[Block], None] | None = None
        self._priming = JitterPriming()
        self._dtx_schedule = DtxSchedule()
        self.blocks = 0
        """Number of blocks sent."""

    def connect(self, send: Callable[[Block], None]) -> None:
        """Pass every packet to `send` from now on."""
        with self._sending:
            self._send = send
            self._priming.restart()
            self._dtx_schedule.restart(self.packets)

    def renew(self) -> None:
        """Forget the learned DTX schedule: the encoder may have been replaced."""
        with self._sending:
            self._dtx_schedule.restart(self.packets)

    def prime_jitter_buffers(self) -> None:
        """Prime the receivers' jitter buffers again: every subscriber is new."""
        with self._sending:
            self._priming.repeat()

    def disconnect(self) -> None:
        """Stop sending; when this returns, `send` is not running."""
        with self._sending:
            self._send = None

    @property
    def packets(self) -> int:
        """Number of packets sent."""
        return self.blocks // PACKET_BLOCKS

    @property
    def late_packets(self) -> int:
        """How many of the next packets may be sent late, if they are silence."""
        if self._priming.is_prompt:
            return 0
        return self._dtx_schedule.late_packets(self.packets)

    @property
    def wants_stats(self) -> bool:
        """Whether statistics of the packets sent would improve the DTX schedule."""
        return self._dtx_schedule.wants_stats(self.packets)

    def learn(self, asked: int, sent: int) -> None:
        """Take a reading of the packets sent; see `DtxSchedule.learn`."""
        with self._sending:
            self._dtx_schedule.learn(asked, self.packets, sent)

    @property
    def is_drop_due(self) -> bool:
        """Whether half a block of captured sound should be dropped now."""
        return self._priming.is_drop_due

    def step(self) -> bool:
        """Claim the due step and return True, or False if none is due any more."""
        with self._sending:
            is_due = self._priming.is_drop_due
            if is_due:
                self._priming.step()
            return is_due

    def send(self, packets: Iterable[Packet]) -> bool:
        """Send the packets and return whether a track is connected."""
        # One lock for all, so that a new track does not begin in between: its encoder
        # would combine the second half of one packet with the first of the next.
        with self._sending:
            if self._send is None:
                return False
            for packet in packets:
                leaving = self._priming.filled(packet)
                for block in leaving:
                    self._send(block)
                self.blocks += len(leaving)
                if any(block is not SILENCE for block in leaving):
                    self._dtx_schedule.restart(self.packets)
            return True
