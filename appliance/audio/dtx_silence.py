"""Silence for DTX: what is sent while the gate is closed or the microphone is missing.

`EncoderFeed` passes packets of sound and of silence to LiveKit's encoder.
A track without packets would increase the delay at the receivers, and a late packet
makes them lengthen their buffers, which they keep for the next talk. So silence is sent
in time whatever the card does; Opus makes one packet of it every 0.4 s (DTX).
"""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from appliance.audio.driver import IDLE_PERIODS
from appliance.audio.gate import Gate
from appliance.pcm import (
    BLOCK_MS,
    PACKET_BLOCKS,
    PACKET_S,
    SILENT_PACKET,
    Block,
    Packet,
)

MISSING_AFTER_S: Final = 0.04
"""Two packets; if the card is later than this and twice its latency, it is missing."""
MAX_INSERTED_PACKETS: Final = 25
"""Silence inserted at once, half a second; more is not needed after a stop."""
IDLE_S: Final = IDLE_PERIODS * BLOCK_MS / 1000
"""In idle mode one block in eight is processed, with the last of four packets. The
other three are sent in time, before the card's thread has counted them: receivers
lengthen their buffers when packets are late, and keep that for the next talk. Measured
from microphone to speaker: 133 ms if all four are sent together, 89 ms so."""
AHEAD_LATE_S: Final = 0.01
"""Delay of the three, so that a slightly late card still delivers before them."""
IDLE_PACKETS: Final = (IDLE_PERIODS + 1) // PACKET_BLOCKS
SETTLED_PACKETS: Final = 15
"""Packets before idle mode: Opus DTX sends the first ten of a silence, in time."""


class EncoderFeed:
    """Feed of the encoder in whole packets; implements `ports.MicrophoneFeed`.

    Thread: `send` the sender's; `connect` and `disconnect` the loop's.
    """

    def __init__(self) -> None:
        self._sending = threading.Lock()
        self._send: Callable[[Block], None] | None = None
        self.blocks = 0

    @property
    def is_connected(self) -> bool:
        """Whether there is a track, so that what is sent goes anywhere."""
        return self._send is not None

    def connect(self, send: Callable[[Block], None]) -> None:
        """Pass every packet to `send` from now on."""
        with self._sending:
            self._send = send

    def disconnect(self) -> None:
        """Stop sending; when this returns, `send` is not running."""
        with self._sending:
            self._send = None

    def send(self, packets: Iterable[Packet]) -> bool:
        """Send the packets and return whether a track is connected."""
        # One lock for all, so that a new track does not begin in between: its encoder
        # would combine the second half of one packet with the first of the next.
        with self._sending:
            if self._send is None:
                return False
            for packet in packets:
                for block in packet:
                    self._send(block)
                self.blocks += len(packet)
            return True


class DtxSilence:
    """Sends silence in place of skipped packets, and counts that for missing ones.

    Each packet of silence that is sent before its packet of the card has come is
    unmatched until then. A packet that matches one is dropped: the receivers would keep
    both in their buffers for long.

    An idle window, of which the card's thread processes only the last packet:

        card      skips  skips  skips  packet (counted with it: three skipped)
        sender    silence sent ahead, three times; then what the gate lets through
        unmatched 1      2      3      0

    Thread: `arrive` and `skip` the card's, `card_latency_s` the supervisor's,
    `is_settled` any; everything else the sender's.
    """

    def __init__(
        self,
        gate: Gate,
        feed: EncoderFeed,
        skip_blocks: Callable[[int], None],
        now_s: float,
    ) -> None:
        """`feed` takes silence for skipped packets; `skip_blocks`: their blocks."""
        self._gate = gate
        self._feed = feed
        self._skip_blocks = skip_blocks
        self.card_latency_s = 0.0
        """Latency of the card, whose packets may be late by twice as much."""
        self._packet_at_s = self._silence_at_s = self._taken_at_s = now_s
        # Packets skipped so far, counted by the card's thread, and those of them for
        # which the sender's has sent silence.
        self._skipped = self._skipped_sent = 0
        self._silent_packets = 0
        # Packets of an idle window sent before the card's thread has counted them.
        self._ahead = 0
        # Packets of silence for which the card's packet has not come yet, and when the
        # last of them was sent.
        self._unmatched, self._unmatched_at_s = 0, now_s

    def arrive(self, at_s: float) -> int:
        """Note that a packet has arrived; return the packets skipped so far."""
        self._packet_at_s = at_s
        return self._skipped

    def skip(self, packets: int, at_s: float) -> None:
        """Let silence be sent in place of these packets, with the next packet."""
        self._packet_at_s = at_s
        self._skipped += packets

    @property
    def is_settled(self) -> bool:
        """Whether only silence has been sent for a while."""
        return self._silent_packets >= SETTLED_PACKETS and not self._gate.is_open

    @property
    def due_s(self) -> float:
        """Time at which silence is sent if no packet arrives before.

        Silence that stands in for the card is sent packet by packet, because receivers
        answer each delay with a longer buffer; without a track it is only counted, as
        rarely as in idle mode.
        """
        if self._silence_at_s > self._packet_at_s:
            is_needed = self._feed.is_connected or self._gate.is_open
            together = 1 if is_needed else IDLE_PACKETS
            return self._silence_at_s + together * PACKET_S
        if self._is_ahead_wanted:
            ahead_s = (self._ahead + 1) * PACKET_S + AHEAD_LATE_S
            return self._packet_at_s + ahead_s
        return self._missing_at_s

    @property
    def _is_ahead_wanted(self) -> bool:
        """Whether the next packet of an idle window is sent without waiting for it."""
        is_there = self._silence_at_s <= self._packet_at_s
        is_idle = self.is_settled and self._feed.is_connected
        return is_there and is_idle and self._ahead < IDLE_PACKETS - 1

    @property
    def _missing_at_s(self) -> float:
        """Time from which the card counts as missing, if no packet arrives before."""
        wait_s = MISSING_AFTER_S + 2 * self.card_latency_s
        return self._packet_at_s + wait_s + self.is_settled * IDLE_S

    def send_ahead(self, now_s: float) -> None:
        """Send those packets of an idle window whose time has passed."""
        if not self._is_ahead_wanted:
            return
        passed_s = now_s - self._packet_at_s - AHEAD_LATE_S
        # Times that are equal may differ in their last digit.
        passed = int(passed_s / PACKET_S + 1e-6)
        packets = max(0, min(passed, IDLE_PACKETS - 1) - self._ahead)
        self._ahead += packets
        self._unmatched += packets
        self._unmatched_at_s = now_s
        self._feed.send([SILENT_PACKET] * packets)

    def missing(self, now_s: float) -> int | None:
        """Return how many packets are due for a missing card; None: it is not late."""
        if now_s < self._missing_at_s:
            return None
        # What the card still holds is not lost: both would add up at the receivers.
        lead_s = max(self.card_latency_s, self._ahead * PACKET_S)
        since_s = max(self._packet_at_s + lead_s, self._silence_at_s)
        # Rounded down, and the rest is sent next time: half a packet too many each time
        # would have added a second to the delay after ten seconds.
        packets = int((now_s - since_s) / PACKET_S)
        is_bounded = packets <= MAX_INSERTED_PACKETS
        self._silence_at_s = since_s + packets * PACKET_S if is_bounded else now_s
        self._send_skipped(self._skipped)
        return min(packets, MAX_INSERTED_PACKETS)

    def insert(self, packets: int, now_s: float) -> None:
        """Count silence that is sent in place of the card's packets."""
        self._silent_packets = 0
        self._unmatched += packets
        self._unmatched_at_s = now_s

    def replaces(self, at_s: float, skipped: int) -> bool:
        """Send the silence skipped before a packet; True: silence already replaced it.

        `at_s` is the packet's arrival, `skipped` what `arrive` returned for it.
        """
        ahead, self._ahead = self._ahead, 0
        is_late = self._is_late(at_s)
        self._send_skipped(skipped)
        # The card was late, and skipped less than was sent ahead.
        is_sent = bool(ahead) and not self._gate.is_open
        if not (self._unmatched and (is_late or is_sent)):
            return False
        self._unmatched -= 1
        return True

    def count(self, *, is_silent: bool) -> None:
        """Count a packet of the card that was sent."""
        self._silent_packets = self._silent_packets + 1 if is_silent else 0

    def _is_late(self, at_s: float) -> bool:
        """Return whether a packet with this arrival time was delayed before it.

        Several that arrive at once had waited for a thread or process that stood still;
        the silence sent in their place stands for them. A card that is back delivers
        one packet after the other.
        """
        is_late = at_s - self._taken_at_s < PACKET_S / 2
        if not is_late and self._taken_at_s >= self._unmatched_at_s:
            self._unmatched = 0
        self._taken_at_s = at_s
        return is_late

    def _send_skipped(self, skipped: int) -> None:
        """Send silence for the packets skipped so far."""
        # An older number may have been in the queue.
        packets = max(0, skipped - self._skipped_sent)
        if packets:
            self._skipped_sent = skipped
            self._skip_blocks(packets * PACKET_BLOCKS)
            sent = min(packets, self._unmatched)
            self._unmatched -= sent
            self._feed.send([SILENT_PACKET] * (packets - sent))
