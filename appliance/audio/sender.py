"""Sender: processes, gates and sends captured blocks, on a thread of its own.

The card's callback only enqueues, so that slow processing or encoding cannot cause an
underrun of the playback. Blocks are passed in pairs, whole Opus packets: that wakes the
encoder half as often and does not delay the packet.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from appliance.audio.dsp import METER_UPDATE_S, Meter, Samples, to_block
from appliance.audio.dtx_silence import DtxSilence
from appliance.audio.earcons import ToneRemover
from appliance.audio.echo_cancellation import CaptureProcessing
from appliance.audio.gate import Gate
from appliance.audio.mixer import Mixer
from appliance.audio.sound_process import raise_priority
from appliance.core.events import FirstBlockSent, TailEnded
from appliance.metrics.counters import AudioFault
from appliance.pcm import PACKET_S, SILENCE, SILENT_PACKET, Block, Packet
from appliance.ports import Post

MAX_WAITING_PACKETS: Final = 6
"""Length of the queue, 120 ms; if the encoder lags further, packets are dropped."""
LEAST_WAIT_S: Final = 0.01
"""Time for blocks to arrive that are as late as this thread."""
SETTLED_PACKETS: Final = 15
"""Silent packets before idle mode: Opus DTX sends the first ten, in time."""
_Pair = tuple[Block, Block]  # Captured, and played meanwhile.
_Packet = tuple[_Pair, _Pair]
_NOT_CAPTURED: Final[_Packet] = ((SILENCE, SILENCE), (SILENCE, SILENCE))


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
        # Each packet with the time of its arrival and the packets skipped before it.
        self._queue: SimpleQueue[tuple[float, int, _Packet] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.meter = Meter(post, lambda: mixer.level_dbfs)
        self._first_half: _Pair | None = None
        self._skipped = 0
        self._gain = 1.0
        self._asked_at_s: float | None = None
        self._was_open = False
        self._silence = DtxSilence(now_s())
        self._silent_packets = 0
        self._is_gap_counted = False
        self._tone: ToneRemover | None = None
        self._at_end: Samples | None = None
        self.faults: Counter[AudioFault] = Counter()
        """Packets dropped because the queue was full, and interruptions of a talk in
        which silence was sent because no blocks came."""
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
        elif self._queue.qsize() >= MAX_WAITING_PACKETS:
            self.faults[AudioFault.OVERFLOW] += 1
        else:
            packet = first, (microphone, played)
            self._queue.put((self._now_s(), self._skipped, packet))
            self._skipped = 0

    def skip_packets(self, packets: int) -> None:
        """Let silence be sent in place of skipped packets, with the next packet."""
        self._skipped += packets

    @property
    def is_idle(self) -> bool:
        """Whether the next periods may be skipped, because only silence is sent."""
        return self._is_settled and self._first_half is None

    @property
    def _is_settled(self) -> bool:
        """Whether only silence has been sent for a while."""
        return self._silent_packets >= SETTLED_PACKETS and not self.gate.is_open

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
        self._silent_packets = 0

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
        wait_s = METER_UPDATE_S
        if self._is_silence_needed:
            due_s = self._silence.due_s(is_idle=self._is_settled)
            wait_s = max(LEAST_WAIT_S, due_s - now_s)
        try:
            taken = self._queue.get(timeout=wait_s)
        except Empty:
            # Late itself, as after a stop of the process: blocks that came are first.
            if self._now_s() - now_s - wait_s <= PACKET_S:
                self.send_silence()
            return True
        if taken is None:
            return False
        self._take(*taken)
        return True

    def send_silence(self) -> None:
        """Send the silence that is due while no blocks arrive."""
        now_s = self._now_s()
        self.meter.update(now_s)
        if not self._is_silence_needed:
            self._silence.restart(now_s)
            return
        for _ in range(self._silence.due(now_s, is_idle=self._is_settled)):
            if self.gate.is_open and not self._is_gap_counted:
                self._is_gap_counted = True
                self.faults[AudioFault.UNDERFLOW] += 1
            self._send_packet(_NOT_CAPTURED)

    @property
    def _is_silence_needed(self) -> bool:
        """Whether silence that is sent goes anywhere, or ends a talk."""
        return self.encoder_feed.is_connected or self.gate.is_open or self._was_open

    def _run(self) -> None:
        raise_priority()
        while self.process_next():
            pass

    def _take(self, at_s: float, skipped: int, packet: _Packet) -> None:
        """Send a packet of the card, and silence for those that it skipped."""
        is_open = self.gate.is_open
        missing, is_replaced = self._silence.take(at_s, skipped, is_open=is_open)
        self.encoder_feed.send([SILENT_PACKET] * missing)
        self._is_gap_counted = False
        if is_replaced:
            return
        self._send_packet(packet)
        self.meter.update(at_s)
        is_talk = self._was_open or self.gate.has_pre_roll
        is_silent = not (is_talk or self._processing.is_at_work)
        self._silent_packets = self._silent_packets + 1 if is_silent else 0

    def _send_packet(self, packet: _Packet) -> None:
        (first_heard, _), (second_heard, _) = packet
        is_skipped = first_heard is SILENCE and second_heard is not SILENCE
        if is_skipped and not self.gate.is_open:
            self._processing.adapt(second_heard)
        (first, was_open), (second, is_open) = (self._gated(*pair) for pair in packet)
        is_sent = self.encoder_feed.send([(first, second)])
        is_heard = is_sent and packet is not _NOT_CAPTURED
        self._post_change(is_open=was_open, is_heard=is_heard)
        self._post_change(is_open=is_open, is_heard=is_heard)

    def _gated(self, microphone: Block, played: Block) -> tuple[Block, bool]:
        """Return the block to send, and whether the gate is open."""
        if microphone is not SILENCE:
            microphone = self._processed(microphone, played)
        block = self.gate.apply(microphone)
        is_open = self.gate.is_open
        self.mixer.is_muted = self.mixer.is_half_duplex and is_open
        return block, is_open

    def _processed(self, microphone: Block, played: Block) -> Block:
        now_s = self._now_s()
        if self._tone is not None and now_s < self._tone.until_s:
            self._tone.apply(microphone)
        is_open, is_voice = self.gate.is_open, self.meter.is_voice
        self._processing.clean(microphone, played, is_wanted=is_open, is_voice=is_voice)
        if self._gain != 1.0:
            microphone = to_block(microphone.astype(np.float32) * self._gain)
        self.meter.take(microphone, now_s)
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
