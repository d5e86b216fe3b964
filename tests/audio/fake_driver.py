"""Fake of PortAudio, and the supervisor running on it."""

import queue
import threading
from contextlib import contextmanager

import numpy as np

from appliance.audio.echo_cancellation import CaptureProcessing
from appliance.audio.gate import Gate
from appliance.audio.latency_steps import LATENCY_STEPS_S
from appliance.audio.mixer import Mixer
from appliance.audio.sender import Sender
from appliance.audio.stream_faults import StreamFaults
from appliance.audio.supervisor import Supervisor
from appliance.config import SoundConfig
from appliance.sound_cards.selected_devices import SelectedDevices
from tests.clock import Clock

DEADLINE_S = 10.0
LOUD = np.full(480, 5000, np.int16)


class FakeStream:
    """Stream of a fake driver, whose callback the test calls."""

    latency_s = 0.02

    def __init__(self, ways, names, wanted_before):
        self.ways = ways
        self.names = names
        self.wanted_before = wanted_before
        """Directions that the supervisor tried to open earlier."""
        self.reason = ""
        """Why it has ended."""
        self.is_closed = threading.Event()

    def failure(self):
        return self.reason

    def close(self):
        self.is_closed.set()


class FakeDriver:
    """PortAudio with duplex cards, whose streams the test calls back."""

    def __init__(self, cards=(("USB Audio", 2, 2),)):
        self.searches = 0
        self.is_closed = threading.Event()
        self.cards = cards
        self.streams: queue.Queue[FakeStream] = queue.Queue()
        self.opened: queue.Queue[tuple[float, object]] = queue.Queue()
        self.wanted: list[set[str]] = []

    def devices(self):
        self.searches += 1
        keys = "name", "max_input_channels", "max_output_channels"
        rate = {"default_samplerate": 48_000.0}
        return [dict(zip(keys, facts, strict=True)) | rate for facts in self.cards]

    def close(self):
        self.is_closed.set()

    def open(self, wanted, callback, instead_of=None):
        if instead_of:
            instead_of.close()
        devices = wanted.microphone, wanted.speaker
        names = {device.name for device in devices if device}
        stream = FakeStream(wanted.directions, names, tuple(self.wanted))
        self.wanted.append(wanted.directions)
        self.opened.put((wanted.latency_s, callback(48_000)))
        self.streams.put(stream)
        return stream


class Steps:
    """Latency steps that move once the test says so."""

    def __init__(self):
        self.latency_s = LATENCY_STEPS_S[0]
        self.must_move = threading.Event()
        self.losing: set[str] = set()
        self.changes: list[bool] = []
        self.looks: queue.Queue[bool] = queue.Queue()
        """Whether it was idle, at each look."""

    def start(self, _now_s, *, is_change):
        self.changes.append(is_change)

    def update(self, _losses, _now_s, *, is_idle):
        self.looks.put(is_idle)
        if not self.must_move.is_set():
            return False
        self.must_move.clear()
        self.latency_s = LATENCY_STEPS_S[1]
        return True


@contextmanager
def supervising(
    driver,
    steps,
    config=None,
    choice=None,
    set_card_volumes=lambda _: None,
    *,
    gate=None,
    mixer=None,
):
    """Run a supervisor on the driver; yield it and the events it posts."""
    events: queue.Queue[object] = queue.Queue()
    processing = CaptureProcessing(None, None)
    sender = Sender(gate or Gate(0), mixer or Mixer(), events.put, processing)
    choice = choice or SelectedDevices(config or SoundConfig())
    faults = StreamFaults(events.put)
    supervisor = Supervisor(choice, driver, sender, faults, steps)
    supervisor.set_card_volumes = set_card_volumes
    sender.start()
    supervisor.start()
    supervisor.open()
    try:
        yield supervisor, events
    finally:
        supervisor.end()
        sender.close()


@contextmanager
def running(driver, steps, **parts):
    """Run a supervisor as `supervising` does; yield the events it posts."""
    with supervising(driver, steps, **parts) as (_, events):
        yield events


def beat(callback, status=0, level=0):
    """Run one period that captures this level, and return what is played in it."""
    played = memoryview(bytearray(1920))
    heard = memoryview(np.full(960, level, np.int16).tobytes())
    callback.call(heard, played, status, 0.0, 0)
    return played


class FarEnd:
    """Mixer on a clock that goes on with each period, and somebody who may talk to it.

    Sound and periods come from one thread: on a busy machine there is no gap in a talk.
    """

    def __init__(self):
        self._clock = Clock()
        self.mixer = Mixer(now_s=self._clock)
        self._write = self.mixer.add("far")

    def talk(self):
        """Talk in the next period."""
        self._write(LOUD)
        self.listen()

    def listen(self):
        """Say nothing in the next period."""
        self._clock.now_s += 0.01


class Beating:
    """Context in which a callback is called every 10 ms, and something before it."""

    def __init__(self, callback, status=0, level=0, before=lambda: None):
        arguments = callback, status, level
        self._before = before
        self._thread = threading.Thread(target=self._run, args=arguments)
        self._end = threading.Event()

    def _run(self, *arguments):
        while not self._end.wait(0.01):
            self._before()
            beat(*arguments)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
