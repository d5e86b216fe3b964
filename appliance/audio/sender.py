"""Sender: processes, gates and sends captured blocks, on a thread of its own.

The card's callback only enqueues, so that slow processing or encoding cannot cause an
underrun of the playback. Blocks are passed in pairs, whole Opus packets: that wakes the
encoder half as often and does not delay the packet. `dtx_silence` sends the silence.
"""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from appliance.audio.capture_processing import CaptureProcessing, ToneRemover
from appliance.audio.dsp import Samples, to_block
from appliance.audio.dtx_silence import DtxSilence, EncoderFeed
from appliance.audio.gate import Gate
from appliance.audio.meter import Meter
from appliance.audio.mixer import Mixer
from appliance.audio.realtime import raise_priority
from appliance.core.events import FirstBlockSent, TailEnded
from appliance.pcm import BLOCK_FRAMES, PACKET_BLOCKS, PACKET_S, SILENCE, Block
from appliance.ports import Post

MAX_WAITING_PACKETS: Final = 6
"""Length of the queue, 120 ms; if the encoder lags further, packets are dropped."""
LEAST_WAIT_S: Final = 0.01
"""Time for blocks to arrive that are as late as this thread."""
_Pair = tuple[Block, Block]  # Captured, and played meanwhile.
_Packet = tuple[_Pair, _Pair]


class Sender:
    """Queue and thread between the card's callback and the encoder.

    Thread: `put`, `skip_packets` and `is_idle` the card's; `set_delay` the
    supervisor's; `process_next` and `send_silence` its own; everything else the loop's.
    """

    def __init__(
        self,
        gate: Gate,
        mixer: Mixer,
        post: Post,
        processing: CaptureProcessing,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`post` takes `FirstBlockSent`, `TailEnded` and `LevelsMeasured`."""
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
        self.meter = Meter(post, mixer)
        self._first_half: _Pair | None = None
        self._gain = 1.0
        self._asked_at_s: float | None = None
        self._was_open = False
        self._silence = DtxSilence(gate, self.encoder_feed, self.meter.skip, now_s())
        self._is_gap_counted = False
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
        # New streams may discard the first half meanwhile.
        first, self._first_half = self._first_half, None
        if first is None:
            self._first_half = (microphone, played)
            return
        at_s = self._now_s()
        skipped = self._silence.arrive(at_s)
        if self._queue.qsize() >= MAX_WAITING_PACKETS:
            self.overflows += 1
            return
        self._queue.put((at_s, skipped, (first, (microphone, played))))

    def skip_packets(self, packets: int) -> None:
        """Let silence be sent in place of skipped packets, with the next packet."""
        self._silence.skip(packets, self._now_s())

    @property
    def is_idle(self) -> bool:
        """Whether the next periods may be skipped, because only silence is sent."""
        return self._silence.is_settled and self._first_half is None

    def open_gate(self, asked_at_s: float) -> None:
        """Open the gate; `asked_at_s` is the monotonic time of the request."""
        self._asked_at_s = asked_at_s
        self._at_end = None
        # One that waits for a speaker would be sent.
        self.mixer.drop_earcons()
        self.gate.open()
        self.mixer.end_idle()

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
        self._silence.card_latency_s = delay_ms / 1000
        self._processing.restart(delay_ms)
        self._first_half = None

    def set_gain(self, db: float) -> None:
        """Set the microphone's gain."""
        self._gain = 10.0 ** (db / 20.0)

    @property
    def depth_s(self) -> float:
        """Length of the queue in seconds."""
        return self._queue.qsize() * PACKET_S

    def process_next(self) -> bool:
        """Process a packet, or send silence that is due; return False at the end."""
        self.heartbeat_s = time.monotonic()
        now_s = self._now_s()
        wait_s = max(LEAST_WAIT_S, self._silence.due_s - now_s)
        try:
            taken = self._queue.get(timeout=wait_s)
        except Empty:
            self.send_silence(self._now_s() - now_s - wait_s)
            return True
        if taken is None:
            return False
        at_s, skipped, packet = taken
        self._is_gap_counted = False
        if not self._silence.replaces(at_s, skipped):
            self._send_packet(packet)
            is_talk = self._was_open or self.gate.has_pre_roll
            self._silence.count(is_silent=not (is_talk or self._processing.is_at_work))
        return True

    def send_silence(self, late_s: float = 0.0) -> None:
        """Send the silence that is due while no blocks arrive.

        `late_s`: by how much the caller itself is late. Blocks that arrived while the
        whole process stood still are seen after it.
        """
        if late_s > PACKET_S:
            return
        now_s = self._now_s()
        if now_s < self._silence.due_s:
            return
        self._silence.send_ahead(now_s)
        packets = self._silence.missing(now_s)
        if packets is None:
            return
        if not (self.encoder_feed.is_connected or self._was_open or self.gate.is_open):
            self.meter.take_playback(packets * PACKET_BLOCKS)
            return
        if self.gate.is_open and not self._is_gap_counted:
            self._is_gap_counted = True
            self.underflows += 1
        self._silence.insert(packets, now_s)
        for _ in range(packets):
            # New blocks each time, because they are processed in place.
            first, second = np.zeros((2, BLOCK_FRAMES), np.int16)
            packet = (first, SILENCE), (second, SILENCE)
            self._send_packet(packet, is_captured=False)
        self.mixer.end_idle()

    def _run(self) -> None:
        raise_priority()
        while self.process_next():
            pass

    def _send_packet(self, packet: _Packet, *, is_captured: bool = True) -> None:
        (first_heard, _), (second_heard, _) = packet
        if first_heard is SILENCE and not self.gate.is_open:
            self._processing.adapt(second_heard)
        (first, was_open), (second, is_open) = (self._gated(*pair) for pair in packet)
        is_sent = self.encoder_feed.send([(first, second)])
        is_heard = is_sent and is_captured
        self._post_change(is_open=was_open, is_heard=is_heard)
        self._post_change(is_open=is_open, is_heard=is_heard)

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
        is_open, is_voice = self.gate.is_open, self.meter.is_voice
        self._processing.clean(microphone, played, is_wanted=is_open, is_voice=is_voice)
        if self._gain != 1.0:
            microphone = to_block(microphone.astype(np.float32) * self._gain)
        self.meter.take(microphone)
        return microphone

    def _post_change(self, *, is_open: bool, is_heard: bool) -> None:
        """Post a change of the gate after its first captured block was sent."""
        if self._asked_at_s is not None and is_open and is_heard:
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
