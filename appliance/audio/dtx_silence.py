"""Times at which silence is sent in place of the card's packets.

A track without packets would increase the delay at the receivers, and a late packet
makes them lengthen their buffers, which they keep for the next talk. So silence is sent
in time whatever the card does; Opus makes one packet of it every 0.4 s (DTX).
"""

from typing import Final

from appliance.audio.driver import IDLE_PERIODS
from appliance.pcm import BLOCK_MS, PACKET_BLOCKS, PACKET_S

MISSING_AFTER_S: Final = 0.04
"""Two packets; if the card is later than this and twice its latency, it is missing."""
SKIPPED_PACKETS: Final = IDLE_PERIODS // PACKET_BLOCKS
IDLE_LATE_S: Final = 0.01
"""Lateness of the silence for skipped packets, of which the card's thread reports three
at once. Measured from microphone to speaker in the next talk: 133 ms if all are sent
together with the packet that follows them, 89 ms so."""
MAX_INSERTED_PACKETS: Final = 25
"""Silence inserted at once after a stop: half a second."""


class DtxSilence:
    """Counts the silence that is sent in place of packets that are skipped or missing.

    A packet of the card for which silence was sent is dropped: the receivers would keep
    both in their buffers. `is_idle`: the card skips packets.

        card      skips  skips  skips  packet (with it: three were skipped)
        silence     sent   sent   sent

    Thread: the sender's; `card_latency_s` the supervisor's.
    """

    def __init__(self, now_s: float) -> None:
        self.card_latency_s = 0.0
        """Latency of the card, whose packets may be late by twice as much."""
        self._packet_at_s = now_s
        # Packets of silence sent since then, and those sent for packets that may come.
        self._sent = self._surplus = 0

    def restart(self, now_s: float) -> None:
        """Send nothing for the time before now."""
        self._packet_at_s, self._sent = now_s, 0

    def due_s(self, *, is_idle: bool) -> float:
        """Return when silence is sent if no packet arrives before."""
        next_s = (self._sent + 1) * PACKET_S
        if is_idle and self._sent < SKIPPED_PACKETS:
            return self._packet_at_s + IDLE_LATE_S + next_s
        missing_s = MISSING_AFTER_S + 2 * self.card_latency_s
        if is_idle:
            missing_s += IDLE_PERIODS * BLOCK_MS / 1000
        # What the card still holds is not lost.
        return self._packet_at_s + max(self.card_latency_s + next_s, missing_s)

    def due(self, now_s: float, *, is_idle: bool) -> int:
        """Return how many packets of silence are to be sent now."""
        packets = 0
        # Times that are equal may differ in their last digit.
        while self.due_s(is_idle=is_idle) < now_s + 1e-6:
            self._sent += 1
            packets += 1
        return min(packets, MAX_INSERTED_PACKETS)

    def take(self, at_s: float, skipped: int, *, is_open: bool) -> tuple[int, bool]:
        """Note the arrival of a packet, after others that the card skipped.

        Returns:
            How many packets of silence are to be sent before it, and whether silence
            was sent in place of it. While the gate is open that holds only for packets
            that arrive at once: they had waited for a thread that stood still.
        """
        is_late = at_s - self._packet_at_s < PACKET_S / 2
        surplus = self._sent - skipped + (self._surplus if is_late else 0)
        self.restart(at_s)
        is_replaced = surplus > 0 and (is_late or not is_open)
        self._surplus = max(0, surplus - is_replaced)
        return max(0, -surplus), is_replaced
