"""Tests of idle windows: skipped periods are counted and later sound is complete."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.callbacks import CaptureCallback, DuplexCallback, PlaybackCallback
from appliance.audio.echo_reference import EchoReference
from appliance.audio.encoder_feed import EncoderFeed
from appliance.audio.gate import Gate
from appliance.audio.jitter_priming import FIRST_STEP_BLOCKS
from appliance.audio.mixer import Mixer
from appliance.audio.processing import CaptureProcessing
from appliance.audio.ring_buffer import SIZE_BLOCKS
from appliance.audio.sender import Sender
from appliance.pcm import SILENCE
from tests.audio.steady import Steady

RATE_HZ = 48_000
PERIOD = 240
PACKET_PERIODS = 4


class RecordingSink:
    """Sink that identifies blocks by the value of their samples; skipped ones are 0."""

    def __init__(self):
        self.heard = np.zeros(0, np.int16)
        self.played: list[np.ndarray] = []
        self.hushes = 0
        self.idle_packets = 1

    def put(self, microphone, played):
        self.played.append(played)
        self.heard = np.concatenate((self.heard, microphone))

    def skip_packets(self, packets):
        self.hushes += packets
        self.heard = np.concatenate((self.heard, np.zeros(packets * 960, np.int16)))

    def may_drop(self, heard):
        return False

    def would_be_audible(self, heard):
        return True


class Bench:
    """Duplex callback, driven period by period as by PortAudio's thread."""

    def __init__(self, mixer=None):
        self.block_sink = RecordingSink()
        self.mixer = mixer or Mixer()
        self.stream_clock = Steady(RATE_HZ)
        self.duplex = DuplexCallback(self.mixer, self.block_sink, self.stream_clock)
        self.periods = 0
        self.looked_at = 0

    def period(self, status=0):
        """Run one period whose captured samples are its number."""
        self.periods += 1
        if self.duplex.idle_window.passes(status):
            return None
        self.looked_at += 1
        heard = np.full(PERIOD, self.periods, np.int16)
        played = memoryview(bytearray(b"x" * PERIOD * 4))
        self.duplex.call(memoryview(heard.tobytes()), played, PERIOD, status)
        return np.frombuffer(played, np.int16)[::2]

    def run(self, periods):
        return [self.period() for _ in range(periods)]


def test_while_idle_one_period_per_packet_is_processed_and_every_packet_is_counted():
    bench = Bench()
    bench.run(2 + 40 * PACKET_PERIODS)
    assert bench.looked_at == 2 + 40
    assert bench.block_sink.hushes == 40
    assert (
        len(bench.block_sink.heard)
        == bench.stream_clock.frames
        == bench.periods * PERIOD
    )


def test_processed_periods_give_the_speaker_silence_while_idle():
    played = [each for each in Bench().run(60) if each is not None]
    assert len(played) > 10
    assert not any(each.any() for each in played)


@pytest.mark.parametrize("passed", range(PACKET_PERIODS + 1))
def test_from_a_press_on_every_period_is_captured_at_its_position(passed):
    bench = Bench()
    bench.run(2 + PACKET_PERIODS + passed)
    bench.block_sink.idle_packets = 0
    bench.mixer.idle_window.end()
    first = bench.periods + 1
    bench.run(8 * PACKET_PERIODS)
    heard = bench.block_sink.heard
    # The last sample of each period, because the first ones are faded in.
    numbers = heard[first * PERIOD - 1 :: PERIOD]
    assert len(numbers) >= 8 * PACKET_PERIODS - 1
    assert (numbers == range(first, first + len(numbers))).all()
    assert not heard[2 * PERIOD : (first - 1) * PERIOD].any()


def test_xruns_are_counted_while_idle_too():
    bench = Bench()
    bench.run(3)
    bench.period(status=4)
    assert bench.stream_clock.xruns == 1
    bench.run(40)
    assert bench.stream_clock.frames >= (bench.periods - PACKET_PERIODS) * PERIOD


class Late(RecordingSink):
    """Mixer that runs an action at a moment while an idle window opens."""

    def __init__(self, event, moment):
        super().__init__()
        self.is_idle = True
        self._event = event
        self._moment = moment

    def put(self, microphone, played):
        """Run it before the check for speech, after the jitter buffers were read."""
        super().put(microphone, played)
        if self._moment == "before":
            self._event(self)

    @property
    def idle_packets(self):
        """Run it after the check for speech, before the window begins."""
        answer = self.is_idle
        if self._moment == "after":
            self._event(self)
        return int(answer)

    @idle_packets.setter
    def idle_packets(self, _):
        pass


def press(mixer, block_sink):
    """Open the gate, then end the idle window, as `Sender.open_gate` does."""
    block_sink.is_idle = False
    mixer.idle_window.end()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", ["word", "press", "earcon"])
def test_speech_that_begins_while_an_idle_window_opens_is_not_missed(what, moment):
    bench = Bench()
    write = bench.mixer.add("ann")
    happens: dict[str, Callable[[Late], object]] = {
        "word": lambda _: write(np.full(480, 5000, np.int16)),
        "earcon": lambda _: bench.mixer.play(np.full(48_000, 4000, np.float32)),
        "press": lambda block_sink: press(bench.mixer, block_sink),
    }
    block_sink = Late(happens[what], moment)
    for _ in range(2 * SIZE_BLOCKS):
        write(SILENCE)
        bench.run(2)
    bench.duplex._capture._block_sink = block_sink
    bench.duplex.idle_window.end()
    while bench.duplex._capture._heard or not block_sink.heard.size:
        bench.period()
    assert bench.duplex.idle_window.is_over or not bench.duplex.idle_window.left


def test_a_talker_is_played_from_the_first_sample_after_an_idle_window():
    bench = Bench()
    bench.mixer.set_volume(100)
    write = bench.mixer.add("ann")
    for _ in range(100):
        write(SILENCE)
        bench.run(2)
    assert bench.duplex.idle_window.left or bench.block_sink.hushes
    played = []
    for count in range(10):
        write(np.full(480, 3000, np.int16) if count < 5 else SILENCE)
        played += bench.run(2)
    loud = np.concatenate([each for each in played if each is not None])
    assert np.count_nonzero(loud) > 4.9 * 480


def test_an_earcon_ends_an_idle_window():
    bench = Bench()
    bench.run(3)
    bench.mixer.play(np.full(480, 4000, np.float32))
    assert bench.period().any()


def test_inaudible_noise_does_not_end_an_idle_window():
    bench = Bench()
    write = bench.mixer.add("ann")
    for _ in range(2 * SIZE_BLOCKS):
        write(np.full(480, 3, np.int16))
        bench.run(2)
    looked_at = bench.looked_at
    for _ in range(40):
        write(np.full(480, 3, np.int16))
        bench.run(2)
    assert bench.looked_at - looked_at <= 80 / PACKET_PERIODS + 1


def test_a_capture_stream_without_playback_skips_periods_too():
    block_sink, mixer, stream_clock = RecordingSink(), Mixer(), Steady(RATE_HZ)
    microphone = CaptureCallback(mixer, EchoReference(), block_sink, stream_clock)
    for _ in range(2 + 5 * PACKET_PERIODS):
        if microphone.idle_window.passes(0):
            continue
        sound = memoryview(bytes(PERIOD * 2))
        microphone.call(sound, memoryview(b""), PERIOD, 0)
    assert block_sink.hushes == 5


@given(
    st.lists(
        st.sampled_from(["press", "xrun", "earcon", "busy", "free", ""]), max_size=120
    )
)
def test_captured_sound_keeps_its_position_in_any_sequence_of_events(story):
    bench = Bench()
    for word in story:
        if word == "press":
            bench.mixer.idle_window.end()
        if word == "earcon":
            bench.mixer.play(np.full(100, 4000, np.float32))
        if word in {"busy", "free"}:
            bench.block_sink.idle_packets = len(story) % 5 if word == "free" else 0
        bench.period(status=4 if word == "xrun" else 0)
    bench.block_sink.idle_packets = 0
    bench.mixer.idle_window.end()
    bench.run(2 * PACKET_PERIODS)
    heard = bench.block_sink.heard
    assert 0 <= bench.periods * PERIOD - len(heard) < 480
    numbers = heard[PERIOD - 1 :: PERIOD]
    right = np.arange(1, len(numbers) + 1)
    assert ((numbers == right) | (numbers == 0)).all()
    assert (numbers[-4:] == right[-4:]).all()


class Whole:
    """Everything between the card and the encoder, without threads."""

    def __init__(self):
        self.mixer = Mixer()
        self.encoder_feed = EncoderFeed()
        self.gate = Gate(0)
        events: list[object] = []
        processing = CaptureProcessing(None, None)
        self.sender = Sender(
            self.gate, self.mixer, self.encoder_feed, events.append, processing
        )
        self.sender._processing._activity._warm_up_blocks = 0
        self.sent: list[np.ndarray] = []
        self.encoder_feed.connect(lambda block: self.sent.append(block.copy()))
        self.encoder_feed.send([(SILENCE, SILENCE)] * (FIRST_STEP_BLOCKS // 2 - 10))
        self.sent.clear()
        self.duplex = DuplexCallback(self.mixer, self.sender, Steady(RATE_HZ))
        self.periods = self.passed = 0

    def run(self, periods, value=None, status=0):
        """Capture a value, or the number of the period in hundreds."""
        for _ in range(periods):
            self.periods += 1
            if self.duplex.idle_window.passes(status):
                self.passed += 1
                continue
            number = 100 * self.periods if value is None else value
            heard = np.full(PERIOD, number, np.int16)
            played = memoryview(bytearray(PERIOD * 4))
            self.duplex.call(memoryview(heard.tobytes()), played, PERIOD, status)
            while not self.sender._queue.empty():
                taken = self.sender._queue.get()
                assert taken is not None
                self.sender._take(taken)


@pytest.mark.parametrize("before", range(80, 100))
def test_after_a_press_blocks_are_sent_in_whole_packets_and_in_order(before):
    """Half a block is dropped once, at any position in an idle window."""
    whole = Whole()
    whole.run(before, value=20)
    assert whole.passed > 20
    assert not whole.encoder_feed.is_drop_due, "it was left out"
    whole.sender.open_gate(0.0)
    first = whole.periods + 1
    whole.run(40)
    assert len(whole.sent) % 2 == 0
    last = np.concatenate(whole.sent)[PERIOD - 1 :: PERIOD] // 100
    heard = last[last > 0]
    assert heard[0] == first
    assert (np.diff(heard) == 1).all()
    assert heard[-1] >= whole.periods - 2 * PACKET_PERIODS


@pytest.mark.parametrize("status", [0, 4])
@pytest.mark.parametrize("passed", range(PACKET_PERIODS))
def test_a_talk_that_begins_in_an_idle_window_is_faded_in(passed, status):
    """Also if the card reports an xrun at the same moment."""
    whole = Whole()
    whole.run(40 + passed, value=100)
    assert whole.passed > 20
    whole.sender.open_gate(0.0)
    whole.run(1, value=100, status=status)
    whole.run(39, value=100)
    sent = np.concatenate(whole.sent).astype(np.int32)
    assert sent.max() == 100
    assert np.abs(np.diff(sent)).max() < 5


class Voice(Mixer):
    """Mixer that plays a loud voice once it is switched on."""

    is_speaking = False

    @property
    def is_still(self):
        return not self.is_speaking

    def next(self, frames=480):
        self.reference = np.full(frames, 3000, np.int16) if self.is_speaking else None
        return self.reference


@pytest.mark.parametrize("passed", range(12))
def test_with_two_cards_the_echo_reference_is_correct_right_after_an_idle_window(
    passed,
):
    mixer, reference, block_sink = Voice(), EchoReference(), RecordingSink()
    speaker = PlaybackCallback(mixer, reference, Steady(RATE_HZ))
    microphone = CaptureCallback(mixer, reference, block_sink, Steady(RATE_HZ))
    nothing = memoryview(b"")

    def run(periods):
        for _ in range(periods):
            speaker.call(nothing, memoryview(bytearray(PERIOD * 4)), PERIOD, 0)
            if not microphone.idle_window.passes(0):
                microphone.call(memoryview(bytes(PERIOD * 2)), nothing, PERIOD, 0)

    run(2 + 4 * PACKET_PERIODS + passed)
    block_sink.played.clear()
    mixer.is_speaking = True
    mixer.idle_window.end()
    run(8 - passed % 2)
    known = np.concatenate(block_sink.played)
    assert np.count_nonzero(known) == (8 - passed % 2) * PERIOD
