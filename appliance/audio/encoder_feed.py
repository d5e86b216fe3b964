"""Where blocks leave for the room, a packet at a time."""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from appliance.audio.dtx_schedule import DtxSchedule
from appliance.audio.jitter_priming import JitterPriming
from appliance.pcm import SILENCE, Block, Packet

PACKET_BLOCKS: Final = 2
"""What Opus puts into a packet, 20 ms. Handing both over together wakes the encoder
half as often, and the packet leaves not a moment later."""


class EncoderFeed:
    """Feed of the encoder in whole packets; implements `ports.MicrophoneFeed`.

    Thread: `send` the uplink's or the card's, `step` the card's; `connect`, `renew`,
    `disconnect`, `settle` and `learn` the loop's; the rest may be read by any.
    """

    def __init__(self) -> None:
        """Start without a track."""
        self._sending = threading.Lock()
        self._send: Callable[[Block], None] | None = None
        self._priming = JitterPriming()
        self._dtx_schedule = DtxSchedule()
        self.blocks = 0
        """How many were sent."""

    def connect(self, send: Callable[[Block], None]) -> None:
        """Send every packet from now on."""
        with self._sending:
            self._send = send
            self._priming.restart()
            self._dtx_schedule.restart(self.packets)

    def renew(self) -> None:
        """Forget what the encoder did: it may be another one from now on."""
        with self._sending:
            self._dtx_schedule.restart(self.packets)

    def prime_jitter_buffers(self) -> None:
        """Bring far ends' buffers to one depth again: they are all new."""
        with self._sending:
            self._priming.repeat()

    def disconnect(self) -> None:
        """Send no more; when this returns, `send` is not running."""
        with self._sending:
            self._send = None

    @property
    def packets(self) -> int:
        """How many packets were sent."""
        return self.blocks // PACKET_BLOCKS

    @property
    def late_packets(self) -> int:
        """How many of the next packets may come late, if they are silence."""
        if self._priming.is_prompt:
            return 0
        return self._dtx_schedule.late_packets(self.packets)

    @property
    def wants_stats(self) -> bool:
        """Whether it would help to know how many packets have left the encoder."""
        return self._dtx_schedule.wants_stats(self.packets)

    def learn(self, asked: int, sent: int) -> None:
        """Take note of it; see `DtxSchedule`."""
        with self._sending:
            self._dtx_schedule.learn(asked, self.packets, sent)

    @property
    def is_step_due(self) -> bool:
        """Whether half a block of what is heard next should be left out."""
        return self._priming.is_step_due

    def step(self) -> bool:
        """Take note that it is left out; return False: it need not be any more."""
        with self._sending:
            is_due = self._priming.is_step_due
            if is_due:
                self._priming.step()
            return is_due

    def send(self, packets: Iterable[Packet]) -> bool:
        """Send them all; return whether there is a track to send them on."""
        # Under one lock, so that nobody connects in the middle: the encoder would then
        # put the second half of one packet and the first of the next together.
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
