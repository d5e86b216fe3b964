"""Sender: processes, gates and sends captured blocks, on a thread of its own.

The card's callback only enqueues, so that slow processing or encoding cannot cause an
underrun of the playback. Silence is sent too, while the gate is closed and while the
microphone is missing, because a track without packets increases the delay at the
receiver. Opus makes one packet of it every 0.4 s (DTX).
"""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from appliance.audio.capture_processing import CaptureProcessing, ToneRemover
from appliance.audio.dsp import Samples, db_gain, to_block
from appliance.audio.encoder_feed import EncoderFeed
from appliance.audio.gate import Gate
from appliance.audio.idle import IDLE_PERIODS
from appliance.audio.meter import Meter
from appliance.audio.mixer import Mixer
from appliance.audio.realtime import raise_priority
from appliance.core.events import FirstBlockSent, TailEnded
from appliance.pcm import BLOCK_FRAMES, SILENCE, Block
from appliance.ports import Post

PACKET_BLOCKS: Final = 2
"""An Opus packet is 20 ms. Passing both blocks together wakes the encoder half as often
and does not delay the packet."""
PACKET_S: Final = PACKET_BLOCKS * 0.01
MAX_WAITING_PACKETS: Final = 6
"""Length of the queue, 120 ms; if the encoder lags further, packets are dropped."""
MISSING_AFTER_S: Final = 0.04
"""Two packets; if the card is later than this and twice its latency, it is missing."""
MAX_INSERTED_PACKETS: Final = 25
"""Silence inserted at once, half a second; more is not needed after a stop."""
IDLE_S: Final = IDLE_PERIODS * 0.01
"""In idle mode one block in eight is processed, with the last of four packets. The
other three are sent at their time, before the card's thread has counted them: receivers
lengthen their buffers when packets are late, and keep that for the next talk. Measured
from microphone to speaker: 133 ms if all four are sent together, 89 ms so."""
AHEAD_LATE_S: Final = 0.01
"""How late the three are sent, so that a card that is a little late comes first."""
IDLE_PACKETS: Final = (IDLE_PERIODS + 1) // PACKET_BLOCKS
LEAST_WAIT_S: Final = 0.01
"""Time for blocks to arrive that are as late as this thread."""
SETTLED_PACKETS: Final = 15
"""Packets before idle mode: Opus DTX sends the first ten of a silence, in time."""
_Pair = tuple[Block, Block]  # Captured, and played meanwhile.
_Packet = tuple[_Pair, _Pair]


class Sender:
    """Queue and thread between the card's callback and the encoder.

    Thread: `put`, `skip_packets` and `is_idle` the card's; `set_delay` the
    supervisor's; `run_waiting` and `send_silence` its own; everything else the loop's.
    """

    def __init__(
        self,
        gate: Gate,
        mixer: Mixer,
        post: Post,
        processing: CaptureProcessing,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with the gate closed and nobody connected; `start` starts the thread.

        Args:
            gate: passes the microphone or silence.
            mixer: plays earcons, and is measured by the meter.
            post: takes `FirstBlockSent`, `TailEnded` and `LevelsMeasured`.
            processing: echo cancellation and noise suppression.
            now_s: monotonic clock.
        """
        self.gate = gate
        self.mixer = mixer
        self.encoder_feed = EncoderFeed()
        self._post = post
        self._processing = processing
        self._now_s = now_s
        # Each packet with the time of its arrival and the number of packets skipped so
        # far.
        self._queue: SimpleQueue[tuple[float, int, _Packet] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.meter = Meter(post)
        self._first_half: _Pair | None = None
        # Packets skipped so far, counted by the card's thread, and those of them for
        # which the sender's has sent silence.
        self._skipped = self._skipped_sent = 0
        self._gain = 1.0
        self._asked_at_s: float | None = None
        self._was_open = False
        self._silent_packets = 0
        self._packet_at_s = self._silence_at_s = self._taken_at_s = now_s()
        self._card_latency_s = 0.0
        # Packets of an idle window sent before the card's thread has counted them.
        self._ahead, self._is_gap_counted = 0, False
        # Packets of silence sent since the card's last packet, and when.
        self._inserted, self._inserted_at_s = 0, now_s()
        self._tone: ToneRemover | None = None
        self._at_end: Samples | None = None
        self.overflows = 0
        """Packets dropped because the queue was full."""
        self.underflows = 0
        """Interruptions of a talk in which silence was sent, because no blocks came."""
        self.heartbeat_s = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for its end; nothing is sent afterwards."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def put(self, microphone: Block, played: Block) -> None:
        """Enqueue 10 ms of sound; the blocks are kept, so they must not be reused."""
        pair = (microphone, played)
        # New streams may discard it meanwhile.
        first = self._first_half
        if first is None:
            self._first_half = pair
            return
        self._first_half = None
        self._packet_at_s = at_s = self._now_s()
        if self._queue.qsize() >= MAX_WAITING_PACKETS:
            self.overflows += 1
            return
        self._queue.put((at_s, self._skipped, (first, pair)))

    def skip_packets(self, packets: int) -> None:
        """Let silence be sent in place of skipped packets, with the next packet."""
        self._packet_at_s = self._now_s()
        self._skipped += packets

    @property
    def is_idle(self) -> bool:
        """Whether the next periods may be skipped, because only silence is sent."""
        return self._is_settled and self._first_half is None

    def open_gate(self, asked_at_s: float) -> None:
        """Open the gate; `asked_at_s` is the monotonic time of the request."""
        self._asked_at_s = asked_at_s
        self._at_end = None
        self.gate.open()
        self.mixer.end_idle()

    def close_gate(self, tail_ms: int) -> None:
        """Close the gate after a tail of up to `tail_ms`."""
        self.gate.close(tail_ms)

    def play_at_end(self, tone: Samples) -> None:
        """Play an earcon when the gate has closed, so that it is not sent."""
        self._at_end = tone
        if not self.gate.is_open:
            self._play_end()

    def remove_tone(self, hz: float, length_s: float) -> None:
        """Remove a tone of this pitch from the captured sound for a time."""
        self._tone = ToneRemover(hz, self._now_s() + length_s)

    def set_delay(self, delay_ms: int) -> None:
        """Adapt to new streams with this delay from speaker to microphone."""
        self._card_latency_s = delay_ms / 1000
        self._processing.restart(delay_ms)
        self._first_half = None

    def set_gain(self, db: float) -> None:
        """Set the microphone's gain."""
        self._gain = db_gain(db)

    @property
    def depth_s(self) -> float:
        """Length of the queue in seconds."""
        return self._queue.qsize() * PACKET_S

    def run_waiting(self) -> None:
        """Process what is in the queue; the thread does so as it arrives."""
        while not self._queue.empty():
            self._take(self._queue.get())

    def send_silence(self, late_s: float = 0.0) -> None:
        """Send the silence that is due while no blocks arrive.

        Args:
            late_s: by how much the caller itself is late. Blocks that arrived while the
                whole process stood still are seen after it.
        """
        if late_s > PACKET_S:
            return
        now_s = self._now_s()
        if now_s < self._silence_due_s:
            return
        if self._is_ahead_wanted:
            self._send_ahead(now_s)
        if now_s < self._missing_at_s:
            return
        # What the card still holds is not lost: both would add up at the receivers.
        lead_s = max(self._card_latency_s, self._ahead * PACKET_S)
        since_s = max(self._packet_at_s + lead_s, self._silence_at_s)
        # Rounded down, and the rest is sent next time: half a packet too many each time
        # would have added a second to the delay after ten seconds.
        packets = int((now_s - since_s) / PACKET_S)
        is_bounded = packets <= MAX_INSERTED_PACKETS
        self._silence_at_s = since_s + packets * PACKET_S if is_bounded else now_s
        self._send_skipped(self._skipped)
        if not (self.encoder_feed.is_connected or self._was_open or self.gate.is_open):
            self.meter.reset()
            return
        self._silent_packets = 0
        packets = min(packets, MAX_INSERTED_PACKETS)
        if self.gate.is_open and not self._is_gap_counted:
            self._is_gap_counted = True
            self.underflows += 1
        self._inserted += packets
        self._inserted_at_s = now_s
        for _ in range(packets):
            # New blocks each time, because they are processed in place.
            first, second = np.zeros((2, BLOCK_FRAMES), np.int16)
            self._send_packet(((first, SILENCE), (second, SILENCE)))
        self.mixer.end_idle()

    @property
    def _is_settled(self) -> bool:
        """Whether only silence has been sent for a while."""
        return self._silent_packets >= SETTLED_PACKETS and not self.gate.is_open

    @property
    def _is_ahead_wanted(self) -> bool:
        """Whether the next packet of an idle window is sent without waiting for it."""
        is_there = self._silence_at_s <= self._packet_at_s
        is_idle = self._is_settled and self.encoder_feed.is_connected
        return is_there and is_idle and self._ahead < IDLE_PACKETS - 1

    @property
    def _silence_due_s(self) -> float:
        """Time at which silence is sent if no packet arrives before.

        Silence that stands in for the card is sent packet by packet, because receivers
        answer each delay with a longer buffer; when Opus sends almost nothing of it,
        as rarely as in idle mode.
        """
        if self._silence_at_s > self._packet_at_s:
            is_needed = self.encoder_feed.is_connected or self.gate.is_open
            is_settled = self._inserted >= SETTLED_PACKETS and not self.gate.is_open
            together = IDLE_PACKETS if is_settled or not is_needed else 1
            return self._silence_at_s + together * PACKET_S
        if self._is_ahead_wanted:
            ahead_s = (self._ahead + 1) * PACKET_S + AHEAD_LATE_S
            return self._packet_at_s + ahead_s
        return self._missing_at_s

    @property
    def _missing_at_s(self) -> float:
        """Time from which the card counts as missing, if no packet arrives before."""
        wait_s = MISSING_AFTER_S + 2 * self._card_latency_s
        return self._packet_at_s + wait_s + self._is_settled * IDLE_S

    def _send_ahead(self, now_s: float) -> None:
        """Send those packets of an idle window whose time has passed."""
        passed_s = now_s - self._packet_at_s - AHEAD_LATE_S
        # Times that are equal may differ in their last digit.
        passed = int(passed_s / PACKET_S + 1e-6)
        packets = max(0, min(passed, IDLE_PACKETS - 1) - self._ahead)
        self._ahead += packets
        self._inserted += packets
        self._inserted_at_s = now_s
        self.encoder_feed.send([(SILENCE, SILENCE)] * packets)

    def _run(self) -> None:
        raise_priority()
        self._packet_at_s = self._silence_at_s = self._now_s()
        is_wanted = True
        while is_wanted:
            self.heartbeat_s = time.monotonic()
            now_s = self._now_s()
            wait_s = max(LEAST_WAIT_S, self._silence_due_s - now_s)
            try:
                is_wanted = self._take(self._queue.get(timeout=wait_s))
            except Empty:
                self.send_silence(self._now_s() - now_s - wait_s)

    def _take(self, taken: tuple[float, int, _Packet] | None) -> bool:
        """Process one entry of the queue; return False at its end."""
        if taken is None:
            return False
        at_s, skipped, packet = taken
        ahead, self._ahead = self._ahead, 0
        self._is_gap_counted = False
        is_late = self._is_late(at_s)
        self._send_skipped(skipped)
        # The card was late, and skipped less than was sent ahead.
        is_sent = bool(ahead) and not self.gate.is_open
        if self._inserted and (is_late or is_sent):
            # Sent as well, it would stay in the receivers' buffers for long.
            self._inserted -= 1
            return True
        self._send_packet(packet)
        is_talk = self._was_open or self.gate.has_pre_roll
        is_busy = is_talk or self._processing.is_at_work
        self._silent_packets = 0 if is_busy else self._silent_packets + 1
        return True

    def _is_late(self, at_s: float) -> bool:
        """Return whether a packet that arrived then belongs to the time before.

        Several that arrive at once had waited for a thread or process that stood still;
        the silence sent in their place stands for them. A card that is back delivers
        one packet after the other.
        """
        is_late = at_s - self._taken_at_s < PACKET_S / 2
        if not is_late and self._taken_at_s >= self._inserted_at_s:
            self._inserted = 0
        self._taken_at_s = at_s
        return is_late

    def _send_skipped(self, skipped: int) -> None:
        """Send silence for the packets skipped so far."""
        # An older number may have been in the queue.
        packets = max(0, skipped - self._skipped_sent)
        if packets:
            self._skipped_sent = skipped
            self.meter.skip(packets * PACKET_BLOCKS)
            sent = min(packets, self._inserted)
            self._inserted -= sent
            self.encoder_feed.send([(SILENCE, SILENCE)] * (packets - sent))

    def _send_packet(self, packet: _Packet) -> None:
        (first_heard, _), (second_heard, _) = packet
        if first_heard is SILENCE and not self.gate.is_open:
            self._processing.adapt(second_heard)
        (first, was_open), (second, is_open) = (self._gated(*pair) for pair in packet)
        is_sent = self.encoder_feed.send([(first, second)])
        self._post_change(is_open=was_open, is_sent=is_sent)
        self._post_change(is_open=is_open, is_sent=is_sent)

    def _gated(self, microphone: Block, played: Block) -> tuple[Block, bool]:
        """Return the block to send, and whether the gate is open."""
        if microphone is SILENCE:
            self.meter.skip(1)
        else:
            microphone = self._processed(microphone, played)
        block = self.gate.apply(microphone)
        is_open = self.gate.is_open
        self.mixer.is_muted = self.mixer.is_half_duplex and is_open
        return block, is_open

    def _processed(self, microphone: Block, played: Block) -> Block:
        if (tone := self._tone) is not None:
            tone.apply(microphone)
            if self._now_s() >= tone.until_s:
                self._tone = None
        self._processing.clean(
            microphone,
            played,
            is_wanted=self.gate.is_open,
            is_voice=self.meter.is_voice,
        )
        if self._gain != 1.0:
            microphone = to_block(microphone.astype(np.float32) * self._gain)
        self.meter.take(microphone, self.mixer)
        return microphone

    def _post_change(self, *, is_open: bool, is_sent: bool) -> None:
        """Post a change of the gate after its first block was sent."""
        if self._asked_at_s is not None and is_open and is_sent:
            since_press_s = self._now_s() - self._asked_at_s
            self._asked_at_s = None
            self._post(FirstBlockSent(since_press_s))
        if self._was_open and not is_open:
            self._post(TailEnded())
            self._play_end()
        self._was_open = is_open

    def _play_end(self) -> None:
        tone, self._at_end = self._at_end, None
        if tone is not None:
            self.mixer.play(tone)
