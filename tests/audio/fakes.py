"""Fakes of the ports around the audio path, and the path without threads."""

import numpy as np

from appliance.audio.driver import IDLE_PERIODS
from appliance.audio.echo_cancellation import CaptureProcessing, EchoReference
from appliance.audio.gate import Gate
from appliance.audio.mixer import Mixer
from appliance.audio.sender import Sender
from appliance.audio.stream_callbacks import StreamCallback, StreamCounters, Totals
from appliance.pcm import PACKET_BLOCKS, SILENCE
from appliance.sound_cards.devices import PARTS, Direction

NOTHING = memoryview(b"")
WARM_UP_PACKETS = 200
"""Longer than the warm-up of the noise suppressor, and than any hang-over."""


class Clock:
    """Monotonic clock that the test moves."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class Sink:
    """Sender that records what it gets; skipped packets are zeros."""

    def __init__(self, *, is_idle=False):
        self.mixer = Mixer()
        self.heard: list[np.ndarray] = []
        self.played: list[np.ndarray] = []
        self.skipped = 0
        self.is_idle = is_idle

    def put(self, microphone, played):
        self.heard.append(microphone)
        self.played.append(played)

    def skip_packets(self, packets):
        self.skipped += packets
        self.heard += [SILENCE] * (2 * packets)

    @property
    def last_samples(self):
        """Return the last sample of each block."""
        return [int(block[-1]) for block in self.heard]


def counters(now_s=None, rate_hz=48_000):
    """Return the counters of a duplex stream, and the totals that they add to."""
    totals: dict[Direction, Totals] = {way: Totals() for way in PARTS}
    clock = [now_s] if now_s else []
    return StreamCounters(rate_hz, totals, *clock), totals


def duplex_callback(mixer, sink, counters):
    """Return the callback of a stream that captures and plays."""
    return _callback(set(PARTS), mixer, sink, EchoReference(0.01), counters)


def capture_callback(mixer, reference, sink, counters):
    """Return the callback of a stream that only captures."""
    return _callback({"microphone"}, mixer, sink, reference, counters)


def playback_callback(mixer, reference, counters):
    """Return the callback of a stream that only plays."""
    return _callback({"speaker"}, mixer, Sink(), reference, counters)


def _callback(directions, mixer, sink, reference, counters):
    sink.mixer = mixer
    return StreamCallback(directions, sink, reference, counters)


class Periods:
    """Periods of a callback, skipped as the sound process does."""

    def __init__(self, callback):
        self.callback = callback
        self.left = self._skipped = 0

    def run(self, heard, played, status=0):
        """Run one period, and return whether it was processed."""
        if self.left and not (status or self.callback.idle_window.is_over):
            self.left -= 1
            self._skipped += 1
            return False
        skipped, self._skipped = self._skipped, 0
        self.left = self.callback.call(heard, played, status, 0.0, skipped)
        return True


class Processor:
    """Echo canceller and noise suppressor that mark the samples."""

    CANCELLED = 1000

    def __init__(self):
        self.cancelled = self.cleaned = 0
        self.delay_ms = -1

    def cancel(self, microphone, played, delay_ms):
        self.cancelled += 1
        self.delay_ms = delay_ms
        microphone[:] = self.CANCELLED

    def clean(self, microphone):
        self.cleaned += 1
        microphone += 1


SKIPPED = IDLE_PERIODS // PACKET_BLOCKS
"""Packets that are skipped in a row."""


def block(value):
    """Return a block whose samples all have this value."""
    return np.full(480, value, np.int16)


def last_samples(sent):
    """Return the last sample of each block."""
    return [int(one[-1]) for one in sent]


def process(sender):
    """Process what is in the queue, as the sender's thread does."""
    while sender.depth_s:
        sender.process_next()


class Path:
    """Capture and playback of a duplex card, one packet after another."""

    def __init__(self, gate=None, mixer=None, cleaner=None, clock=None):
        self.clock = clock or Clock()
        self.events: list[object] = []
        self.sent: list[np.ndarray] = []
        self.mixer = mixer or Mixer()
        self.sender = Sender(
            gate or Gate(0),
            self.mixer,
            self.events.append,
            CaptureProcessing(None, cleaner),
            self.clock,
        )
        self.sender.encoder_feed.connect(lambda block: self.sent.append(block.copy()))
        self.counters, _ = counters(self.clock)
        callback = duplex_callback(self.mixer, self.sender, self.counters)
        self._card = Periods(callback)
        self.passed = self.packets = 0

    def put(self, value, played=SILENCE):
        """Capture a packet of this value and process it as the thread does."""
        self.clock.now_s += 0.02
        self.packets += 1
        for _ in range(2):
            self.sender.put(np.full(480, value, np.int16), played)
        process(self.sender)
        return self.taken()

    def fall_silent(self):
        """Pass the warm-up and a long silence; no packet is skipped in it."""
        for _ in range(WARM_UP_PACKETS):
            self.put(0)

    def taken(self):
        """Return what was sent since the last call."""
        sent, self.sent = self.sent, []
        self.sender.encoder_feed.disconnect()
        self.sender.encoder_feed.connect(lambda block: self.sent.append(block.copy()))
        return sent

    def period(self, value, status=0):
        """Run one period of the card, and return what it plays; None: skipped."""
        self.clock.now_s += 0.01
        played = memoryview(bytearray(b"x" * 1920))
        heard = memoryview(np.full(480, value, np.int16).tobytes())
        if not self._card.run(heard, played, status):
            self.passed += 1
            return None
        process(self.sender)
        return np.frombuffer(played, np.int16)[::2]
