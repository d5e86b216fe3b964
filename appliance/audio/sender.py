"""Sender: processes, gates and sends captured blocks, on a thread of its own.

The card's callback only enqueues, so that slow processing or encoding cannot cause an
underrun of the playback. While the microphone is missing, silence is sent in its place,
because a track without packets increases the delay at the receiver.
"""

import threading
import time
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from appliance.audio.driver import Raw
from appliance.audio.dsp import BLOCK_FRAMES, db_gain, to_block
from appliance.audio.encoder_feed import PACKET_BLOCKS, EncoderFeed
from appliance.audio.gate import Gate
from appliance.audio.late_audio import LateAudio
from appliance.audio.meter import Meter
from appliance.audio.mixer import Mixer
from appliance.audio.processing import CaptureProcessing
from appliance.audio.realtime import raise_priority
from appliance.core.events import TailEnded, TalkFlowed
from appliance.pcm import SILENCE, Block
from appliance.ports import Post

PACKET_S: Final = PACKET_BLOCKS * 0.01
MAX_WAITING: Final = 6
"""Length of the queue, 120 ms; if the encoder lags further, packets are dropped."""
PATIENCE_S: Final = 0.04
"""Two packets; if the card is later than this and twice its latency, it is missing."""
MAX_INSERTED: Final = 25
"""Silence inserted at once, half a second; more is not needed after a stop."""
MAX_SKIPPED: Final = 9
"""While both sides are silent one packet in ten is processed, every 200 ms, as often as
the meter is updated. In place of the others the card's thread sends silence, and this
thread sleeps."""

_Pair = tuple[Block, Block]
"""Captured block, and the block played meanwhile."""
_Packet = tuple[_Pair, _Pair]


class Sender:
    """Queue and thread between the card's callback and the encoder.

    Thread: `put`, `skip_packets` and `may_drop` the card's; commands the loop's.
    """

    def __init__(
        self,
        gate: Gate,
        mixer: Mixer,
        encoder_feed: EncoderFeed,
        post: Post,
        processing: CaptureProcessing,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            gate: passes or mutes each block.
            mixer: muted while talking in half duplex; its level is metered.
            encoder_feed: takes the packets to send.
            post: takes `TalkFlowed`, `TailEnded` and `LevelsMeasured`.
            processing: echo cancellation and noise suppression.
        """
        self._gate = gate
        self._mixer = mixer
        self._post = post
        self._processing = processing
        # Each packet with the number of packets skipped before it.
        self._queue: SimpleQueue[tuple[int, _Packet] | None] = SimpleQueue()
        self._spare: _Pair | None = None
        self._encoder_feed = encoder_feed
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._gain_db = 0.0
        self._gain = 1.0
        self._asked_at_s: float | None = None
        self._was_open = False
        self._is_resting = False
        self._skipped = 0
        # Times of the last packet from the card and of the last inserted silence.
        self._put_s = self._filled_s = time.monotonic()
        self._meter = Meter(post)
        self._patience_s = PATIENCE_S
        self._late_audio = LateAudio()
        self.overflows = 0
        self.heartbeat_s = time.monotonic()
        """Time of the thread's last iteration."""

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
        if self._spare is None:
            self._spare = pair
            return
        packet, self._spare = (self._spare, pair), None
        self._put_s = time.monotonic()
        if self._queue.qsize() >= MAX_WAITING:
            self.overflows += len(packet)
            return
        skipped, self._skipped = self._skipped, 0
        self._queue.put((skipped, packet))

    def skip_packets(self, packets: int) -> None:
        """Send silence in place of skipped packets."""
        self._put_s = time.monotonic()
        self._skipped += packets
        self._encoder_feed.send([(SILENCE, SILENCE)] * packets)

    def may_drop(self, heard: Raw | bytes) -> bool:
        """Return whether to drop this period, of up to half a block."""
        if not self._encoder_feed.is_drop_due or self.would_be_audible(heard):
            return False
        return self._encoder_feed.step()

    def would_be_audible(self, heard: Raw | bytes) -> bool:
        """Return whether dropping or delaying this period would be audible."""
        return self._gate.would_be_audible(heard, self._gain_db)

    @property
    def idle_packets(self) -> int:
        """How many of the next packets may be skipped, because they are silence.

        Thread: the card's.
        """
        if self._spare is not None or not self._is_resting or self._gate.is_open:
            return 0
        # All of them but the last are sent late.
        return min(self._encoder_feed.late_packets + 1, MAX_SKIPPED - self._skipped)

    def open_gate(self, asked_at_s: float) -> None:
        """Open the gate; `asked_at_s` is the monotonic time of the press."""
        self._asked_at_s = asked_at_s
        self._gate.open()
        self._mixer.idle_window.end()

    def close_gate(self, tail_ms: int) -> None:
        """Close the gate after a tail of up to `tail_ms`."""
        self._gate.close(tail_ms)

    def set_delay(self, delay_ms: int) -> None:
        """Adapt to newly opened streams with this delay from speaker to microphone."""
        self._patience_s = PATIENCE_S + 2 * delay_ms / 1000
        self._processing.restart(delay_ms)
        # Half a packet from the streams before belongs to another time.
        self._spare = None

    def set_gain(self, db: float) -> None:
        """Set the microphone's gain."""
        self._gain_db = db
        self._gain = db_gain(db)

    @property
    def is_idle(self) -> bool:
        """Whether the gate is closed and nothing is played."""
        return not self._gate.is_open and not self._processing.has_echo

    @property
    def depth_s(self) -> float:
        """Length of the queue in seconds."""
        return self._queue.qsize() * PACKET_S

    def _run(self) -> None:
        raise_priority()
        self._put_s = self._filled_s = time.monotonic()
        while True:
            self.heartbeat_s = time.monotonic()
            try:
                rest_s = MAX_SKIPPED * PACKET_S if self._is_resting else 0.0
                taken = self._queue.get(timeout=self._patience_s + rest_s)
            except Empty:
                self._send_silence()
                continue
            if taken is None:
                return
            self._take(taken)

    def _take(self, taken: tuple[int, _Packet]) -> None:
        skipped, packet = taken
        self._meter.skip(skipped * PACKET_BLOCKS)
        is_late = not self._queue.empty()
        if not self._late_audio.must_drop(len(packet), is_late=is_late):
            self._send_packet(packet)
        is_busy = (
            self._was_open or self._processing.is_at_work or self._gate.has_pre_roll
        )
        self._is_resting = not is_busy

    def _send_silence(self) -> None:
        """Send the silence that is due while no blocks arrive."""
        now_s = time.monotonic()
        late_s = now_s - max(self._put_s, self._filled_s)
        if late_s < self._patience_s:
            return
        self._filled_s = now_s
        packets = min(max(1, round(late_s / PACKET_S)), MAX_INSERTED)
        self._late_audio.grow(packets * PACKET_BLOCKS, late_s)
        for _ in range(packets):
            # New blocks each time, because they are processed in place.
            first, second = np.zeros((2, BLOCK_FRAMES), np.int16)
            self._send_packet(((first, SILENCE), (second, SILENCE)))
        # Until the card is back this thread must send all packets: do not sleep longer.
        self._is_resting = False
        self._mixer.idle_window.end()

    def _send_packet(self, packet: _Packet) -> None:
        (first, was_open), (second, is_open) = (self._ready(*pair) for pair in packet)
        is_sent = self._encoder_feed.send([(first, second)])
        self._post_change(is_open=was_open, is_sent=is_sent)
        self._post_change(is_open=is_open, is_sent=is_sent)

    def _ready(self, microphone: Block, played: Block) -> tuple[Block, bool]:
        """Return the block to send, and whether the gate is open."""
        self._processing.clean(
            microphone,
            played,
            is_wanted=self._gate.is_open,
            is_voice=self._meter.is_voice,
        )
        if self._gain != 1.0:
            microphone = to_block(microphone.astype(np.float32) * self._gain)
        self._meter.take(microphone, self._mixer)
        block = self._gate.passed(microphone)
        is_open = self._gate.is_open
        self._mixer.is_muted = self._mixer.is_half_duplex and is_open
        return block, is_open

    def _post_change(self, *, is_open: bool, is_sent: bool) -> None:
        """Post a change of the gate after its first block was sent."""
        if self._asked_at_s is not None and is_open and is_sent:
            access_s = time.monotonic() - self._asked_at_s
            self._asked_at_s = None
            self._post(TalkFlowed(access_s))
        if self._was_open and not is_open:
            self._post(TailEnded())
        self._was_open = is_open
