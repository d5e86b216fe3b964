"""Sender: processes, gates and sends captured blocks, on a thread of its own.

The card's callback only enqueues, so that slow processing or encoding cannot cause an
underrun of the playback. While the microphone is missing, silence is sent in its place,
because a track without packets increases the delay at the receiver.
"""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from appliance.audio.dsp import BLOCK_FRAMES, Samples, db_gain, to_block
from appliance.audio.echo import CaptureProcessing, ToneRemover
from appliance.audio.encoder_feed import PACKET_BLOCKS, PACKET_S, EncoderFeed
from appliance.audio.gate import Gate
from appliance.audio.meter import Meter
from appliance.audio.mixer import Mixer
from appliance.audio.realtime import raise_priority
from appliance.core.events import TailEnded, TalkFlowed
from appliance.pcm import SILENCE, Block
from appliance.ports import Post

MAX_WAITING: Final = 6
"""Length of the queue, 120 ms; if the encoder lags further, packets are dropped."""
PATIENCE_S: Final = 0.04
"""Two packets; if the card is later than this and twice its latency, it is missing."""
MAX_INSERTED: Final = 25
"""Silence inserted at once, half a second; more is not needed after a stop."""
IDLE_PACKETS: Final = 3
"""In idle mode one packet in four is processed, and sent together with the three before
it: 60 ms of additional jitter for the receivers, in silence only."""
SETTLED_PACKETS: Final = 15
"""Packets before idle mode: Opus DTX sends the first ten of a silence, in time."""
_Pair = tuple[Block, Block]  # Captured, and played meanwhile.
_Packet = tuple[_Pair, _Pair]


class Sender:
    """Queue and thread between the card's callback and the encoder.

    Thread: `put`, `skip_packets` and `idle_packets` the card's; commands the loop's.
    """

    def __init__(
        self,
        gate: Gate,
        mixer: Mixer,
        post: Post,
        processing: CaptureProcessing,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `post` takes `TalkFlowed`, `TailEnded` and `LevelsMeasured`."""
        self.gate = gate
        self.mixer = mixer
        self.encoder_feed = EncoderFeed()
        self._post = post
        self._processing = processing
        self._now_s = now_s
        # Each packet with the number of packets skipped before it.
        self._queue: SimpleQueue[tuple[int, _Packet] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.meter = Meter(post)
        self._spare: _Pair | None = None
        self._skipped = 0
        self._gain = 1.0
        self._asked_at_s: float | None = None
        self._was_open = False
        self._quiet_packets = 0
        self._put_s = self._filled_s = now_s()
        self._card_s = 0.0
        self._tone: ToneRemover | None = None
        self._at_end: Samples | None = None
        self.overflows = 0
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
        if self._spare is None:
            self._spare = pair
            return
        packet, self._spare = (self._spare, pair), None
        self._put_s = self._now_s()
        if self._queue.qsize() >= MAX_WAITING:
            self.overflows += len(packet)
            return
        skipped, self._skipped = self._skipped, 0
        self._queue.put((skipped, packet))

    def skip_packets(self, packets: int) -> None:
        """Let silence be sent in place of skipped packets, with the next packet."""
        self._put_s = self._now_s()
        self._skipped += packets

    @property
    def idle_packets(self) -> int:
        """How many of the next packets may be skipped, because they are silence."""
        is_settled = self._quiet_packets >= SETTLED_PACKETS
        is_idle = is_settled and not self.gate.is_open and not self._skipped
        return IDLE_PACKETS if is_idle and self._spare is None else 0

    def open_gate(self, asked_at_s: float) -> None:
        """Open the gate; `asked_at_s` is the monotonic time of the press."""
        self._asked_at_s = asked_at_s
        self._at_end = None
        self.gate.open()
        self.mixer.idle_window.end()

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
        self._card_s = delay_ms / 1000
        self._processing.restart(delay_ms)
        self._spare = None

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

    def send_silence(self) -> None:
        """Send the silence that is due while no blocks arrive."""
        now_s = self._now_s()
        # What the card still holds is not lost: both would add up at the receivers.
        late_s = now_s - max(self._put_s + self._card_s, self._filled_s)
        if late_s < self._wait_s:
            return
        self._filled_s = now_s
        skipped, self._skipped = self._skipped, 0
        if not (self.encoder_feed.is_connected or self._was_open or self.gate.is_open):
            return
        self._send_skipped(skipped)
        self._quiet_packets = 0
        for _ in range(min(max(1, round(late_s / PACKET_S)), MAX_INSERTED)):
            # New blocks each time, because they are processed in place.
            first, second = np.zeros((2, BLOCK_FRAMES), np.int16)
            self._send_packet(((first, SILENCE), (second, SILENCE)))
        self.mixer.idle_window.end()

    @property
    def _wait_s(self) -> float:
        """Time without packets after which the card counts as missing."""
        is_resting = self._quiet_packets >= SETTLED_PACKETS
        return PATIENCE_S + self._card_s + is_resting * IDLE_PACKETS * PACKET_S

    def _run(self) -> None:
        raise_priority()
        self._put_s = self._filled_s = self._now_s()
        is_wanted = True
        while is_wanted:
            self.heartbeat_s = time.monotonic()
            try:
                is_wanted = self._take(self._queue.get(timeout=self._wait_s))
            except Empty:
                self.send_silence()

    def _take(self, taken: tuple[int, _Packet] | None) -> bool:
        """Process one entry of the queue; return False at its end."""
        if taken is None:
            return False
        skipped, packet = taken
        self._send_skipped(skipped)
        self._send_packet(packet)
        is_talk = self._was_open or self.gate.has_pre_roll
        is_busy = is_talk or self._processing.is_at_work
        self._quiet_packets = 0 if is_busy else self._quiet_packets + 1
        return True

    def _send_skipped(self, packets: int) -> None:
        if packets:
            self.meter.skip(packets * PACKET_BLOCKS)
            self.encoder_feed.send([(SILENCE, SILENCE)] * packets)

    def _send_packet(self, packet: _Packet) -> None:
        (first, was_open), (second, is_open) = (self._ready(*pair) for pair in packet)
        is_sent = self.encoder_feed.send([(first, second)])
        self._post_change(is_open=was_open, is_sent=is_sent)
        self._post_change(is_open=is_open, is_sent=is_sent)

    def _ready(self, microphone: Block, played: Block) -> tuple[Block, bool]:
        """Return the block to send, and whether the gate is open."""
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
        block = self.gate.passed(microphone)
        is_open = self.gate.is_open
        self.mixer.is_muted = self.mixer.is_half_duplex and is_open
        return block, is_open

    def _post_change(self, *, is_open: bool, is_sent: bool) -> None:
        """Post a change of the gate after its first block was sent."""
        if self._asked_at_s is not None and is_open and is_sent:
            access_s = self._now_s() - self._asked_at_s
            self._asked_at_s = None
            self._post(TalkFlowed(access_s))
        if self._was_open and not is_open:
            self._post(TailEnded())
            self._play_end()
        self._was_open = is_open

    def _play_end(self) -> None:
        tone, self._at_end = self._at_end, None
        if tone is not None:
            self.mixer.play(tone)
