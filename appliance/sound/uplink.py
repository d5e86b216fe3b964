"""The microphone's way into the room: clean, gate, send; on a thread of its own.

The card's callback only hands over: whatever the processing and the encoder take, the
speaker does not click. When the microphone is away, silence is sent in its place,
because a track that is fed nothing makes the far end's delay creep.
"""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from appliance.core.events import TailEnded, TalkFlowed
from appliance.ports import SILENCE, Block, Post, Processor
from appliance.sound.callback import be_urgent
from appliance.sound.dsp import BLOCK_FRAMES, db_gain, to_block
from appliance.sound.gate import Gate
from appliance.sound.meter import Meter
from appliance.sound.outlet import PACKET_BLOCKS, Outlet
from appliance.sound.playout import Playout

PACKET_S: Final = PACKET_BLOCKS * 0.01
MOST_WAITING: Final = 6
"""120 ms; if the encoder is further behind than this, what comes is dropped."""
PATIENCE_S: Final = 0.04
"""Two packets late, and twice the card's own delay on top: it is away."""
FORGIVEN_S: Final = 0.2
"""Silence that lasted this long was no hiccup: what comes then is all wanted."""
WARM_UP_BLOCKS: Final = 300
"""3 s: the noise suppression shall know the room before the first word."""
HANGOVER_BLOCKS: Final = 60
"""The canceller hears 600 ms on after the speaker fell silent: a room's echo."""
NAP_PACKETS: Final = 4
"""While nobody speaks here or there, one packet in five is looked at, every 100 ms. In
place of the others the card's thread sends silence itself, and this one sleeps on:
measured, a twentieth less CPU."""

_Pair = tuple[Block, Block]
"""What was heard, and what was played meanwhile."""
_Packet = tuple[_Pair, ...]


class Uplink:
    """Takes blocks from the card and gives them to the room.

    Thread: `put` the card's, `connect` and `disconnect` the loop's; the rest its own.
    It sleeps while nobody speaks: `put` then sends the silence.
    """

    def __init__(
        self, gate: Gate, playout: Playout, post: Post, processor: Processor | None
    ) -> None:
        """Prepare; `start` begins.

        Args:
            gate: decides what passes.
            playout: muted while talking if the box is half duplex; gives its level.
            post: takes `TalkFlowed`, `TailEnded` and `LevelsMeasured`.
            processor: None leaves the sound as the microphone gives it.
        """
        self._gate = gate
        self._playout = playout
        self._post = post
        self._processor = processor
        self._waiting: SimpleQueue[_Packet | None] = SimpleQueue()
        self._spare: _Pair | None = None
        self._outlet = Outlet()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._gain = 1.0
        self._asked_at_s: float | None = None
        self._was_open = False
        self._is_at_work = False
        # Each has one writer: this thread's grant, and what the card's made of it.
        self._granted = self._passed = 0
        self._meter = Meter(post)
        self._echo_blocks = 0
        self._delay_ms = 0
        self._patience_s = PATIENCE_S
        self._debt = 0
        self._silent_s = 0.0
        self._warm_up = WARM_UP_BLOCKS
        self.overflows = 0
        self.beat_s = time.monotonic()
        """When the thread last turned."""

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; nothing is sent any more."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def put(self, microphone: Block, played: Block) -> None:
        """Take 10 ms of sound; both blocks are kept, so they must be new ones."""
        pair = (microphone, played)
        if self._spare is None and not self._outlet.is_odd:
            self._spare = pair
            return
        packet = (pair,) if self._spare is None else (self._spare, pair)
        self._spare = None
        if self._naps and self._is_still(packet):
            self._passed += 1
            self._meter.skip(len(packet))
            self._outlet.send(SILENCE for _ in packet)
            return
        if self._waiting.qsize() >= MOST_WAITING:
            self.overflows += len(packet)
            return
        self._waiting.put(packet)

    def connect(self, send: Callable[[Block], None]) -> None:
        """Send every packet from now on."""
        self._outlet.connect(send)

    def disconnect(self) -> None:
        """Send no more; when this returns, `send` is not running."""
        self._outlet.disconnect()

    def open_gate(self, asked_at_s: float) -> None:
        """Let the microphone into the room; `asked_at_s` is the press, monotonic."""
        self._asked_at_s = asked_at_s
        self._gate.open()

    def close_gate(self, tail_ms: int) -> None:
        """Shut the microphone out."""
        self._gate.close(tail_ms)

    def set_delay(self, delay_ms: int) -> None:
        """New streams are open: take how long it is from speaker to microphone."""
        self._delay_ms = delay_ms
        self._patience_s = PATIENCE_S + 2 * delay_ms / 1000
        self._warm_up = WARM_UP_BLOCKS
        # The streams are new: half a packet of before belongs to another time.
        self._spare = None

    def set_gain(self, db: float) -> None:
        """Set the microphone's gain."""
        self._gain = db_gain(db)

    @property
    def is_idle(self) -> bool:
        """Whether nobody speaks, here or there."""
        return not self._gate.is_open and not self._echo_blocks

    @property
    def blocks(self) -> int:
        """How many were sent."""
        return self._outlet.blocks

    @property
    def depth_s(self) -> float:
        """What waits to be sent, in seconds."""
        return self._waiting.qsize() * PACKET_S

    def _run(self) -> None:
        be_urgent()
        while True:
            self.beat_s = time.monotonic()
            try:
                slept_s = self._naps * PACKET_S
                packet = self._waiting.get(timeout=self._patience_s + slept_s)
            except Empty:
                self._fill()
                continue
            if packet is None:
                return
            if not self._is_owed(packet):
                self._send_packet(packet)

    def _fill(self) -> None:
        """Send the silence that was due while no block came."""
        count = max(1, round(self._patience_s / PACKET_S)) + self._naps
        self._debt += count * PACKET_BLOCKS
        self._silent_s += self._patience_s
        for _ in range(count):
            # New ones each time: the processor works in place.
            first, second = np.zeros((2, BLOCK_FRAMES), np.int16)
            self._send_packet(((first, SILENCE), (second, SILENCE)))
        self._granted = 0

    def _is_owed(self, packet: _Packet) -> bool:
        """Whether silence has gone in this packet's place.

        After a hiccup the late blocks come in a burst; sending them as well would make
        the far end's delay grow.
        """
        is_late = self._silent_s < FORGIVEN_S and not self._waiting.empty()
        if self._debt > 0 and is_late:
            self._debt -= len(packet)
            return True
        self._debt, self._silent_s = 0, 0.0
        return False

    def _send_packet(self, packet: _Packet) -> None:
        ready = [self._ready(*pair) for pair in packet]
        is_sent = self._outlet.send(block for block, _ in ready)
        for _, is_open in ready:
            self._tell(is_open=is_open, is_sent=is_sent)
        is_busy = self._was_open or self._is_at_work or self._gate.has_pre_roll
        self._granted = 0 if is_busy else self._passed + NAP_PACKETS

    @property
    def _naps(self) -> int:
        """Return how many packets may still be passed over."""
        return max(0, self._granted - self._passed)

    def _is_still(self, packet: _Packet) -> bool:
        """Return whether it is certain that silence leaves, whatever was heard."""
        is_played = any(played is not SILENCE for _, played in packet)
        return not is_played and not self._gate.is_open

    def _ready(self, microphone: Block, played: Block) -> tuple[Block, bool]:
        """Return what goes into the room, and whether the gate is open."""
        self._is_at_work = self._is_worth_processing(played)
        if self._processor is not None and self._is_at_work:
            self._processor.process(microphone, played, self._delay_ms)
        if self._gain != 1.0:
            microphone = to_block(microphone.astype(np.float32) * self._gain)
        self._meter.take(microphone, self._playout)
        block = self._gate.passed(microphone)
        is_open = self._gate.is_open
        self._playout.is_muted = self._playout.is_half_duplex and is_open
        return block, is_open

    def _tell(self, *, is_open: bool, is_sent: bool) -> None:
        """Post what the gate did, after it was done."""
        if self._asked_at_s is not None and is_open and is_sent:
            access_s = time.monotonic() - self._asked_at_s
            self._asked_at_s = None
            self._post(TalkFlowed(access_s))
        if self._was_open and not is_open:
            self._post(TailEnded())
        self._was_open = is_open

    def _is_worth_processing(self, played: Block) -> bool:
        """Return whether anybody will hear the result, or the canceller can learn."""
        if played is not SILENCE and played.any():
            self._echo_blocks = HANGOVER_BLOCKS
        elif self._echo_blocks:
            self._echo_blocks -= 1
        self._warm_up = max(0, self._warm_up - 1)
        is_learning = self._echo_blocks > 0 or self._warm_up > 0
        return self._gate.is_open or is_learning or self._meter.is_voice
