"""Tests of idle mode: skipped periods are counted and later sound is complete."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.driver import IDLE_PERIODS
from appliance.audio.echo_cancellation import EchoReference
from appliance.audio.jitter_buffer import SIZE_BLOCKS
from appliance.audio.mixer import Mixer
from appliance.metrics.counters import AudioFault
from appliance.pcm import SILENCE
from tests.audio.fakes import (
    NOTHING,
    Path,
    Periods,
    Sink,
    capture_callback,
    counters,
    duplex_callback,
    playback_callback,
)

CYCLE = IDLE_PERIODS + 1


class Card:
    """Duplex callback whose captured samples are the number of the period."""

    def __init__(self, sink=None):
        self.sink = sink or Sink(is_idle=True)
        self.mixer = Mixer()
        self.counters, self.totals = counters()
        callback = duplex_callback(self.mixer, self.sink, self.counters)
        self.card = Periods(callback)
        self.periods = self.processed = 0

    def period(self, status=0):
        self.periods += 1
        heard = np.full(480, self.periods, np.int16)
        played = memoryview(bytearray(b"x" * 1920))
        if not self.card.run(memoryview(heard.tobytes()), played, status):
            return None
        self.processed += 1
        return np.frombuffer(played, np.int16)[::2]

    def run(self, periods):
        return [self.period() for _ in range(periods)]


def test_while_idle_one_period_in_eight_is_processed_and_every_packet_is_counted():
    card = Card()
    card.run(1 + 40 * CYCLE)
    assert card.processed == 1 + 40
    assert card.sink.skipped == 40 * (IDLE_PERIODS // 2)
    assert len(card.sink.heard) == card.counters.blocks == card.periods


def test_processed_periods_give_the_speaker_silence_while_idle():
    played = [each for each in Card().run(60) if each is not None]
    assert len(played) > 5
    assert not any(each.any() for each in played)


@pytest.mark.parametrize("passed", range(CYCLE + 1))
def test_from_a_press_on_every_period_is_captured_at_its_position(passed):
    card = Card()
    card.run(1 + CYCLE + passed)
    card.sink.is_idle = False
    card.mixer.idle_window.end()
    first = card.periods + 1
    card.run(40)
    numbers = card.sink.last_samples[first - 1 :]
    assert numbers == list(range(first, first + 40))
    before = list(enumerate(card.sink.last_samples[: first - 1], 1))
    assert {number for number, sample in before if sample} == set(
        range(1, first, CYCLE)
    )
    assert all(sample in {0, number} for number, sample in before)


def test_xruns_are_counted_while_idle_too():
    card = Card()
    card.run(3)
    card.period(status=4)
    assert card.totals["speaker"].faults[AudioFault.XRUN] == 1


class Late(Sink):
    """Sink that runs an action at a moment while an idle window opens."""

    def __init__(self, action, moment):
        super().__init__()
        self._action = action
        self._moment = moment
        self.is_busy = False

    def put(self, microphone, played):
        super().put(microphone, played)
        if self._moment == "before the check":
            self._action(self)

    @property
    def is_idle(self):
        answer = not self.is_busy
        if self._moment == "after the check":
            self._action(self)
        return answer

    @is_idle.setter
    def is_idle(self, _):
        pass


@pytest.mark.parametrize("moment", ["before the check", "after the check"])
@pytest.mark.parametrize("what", ["word", "press", "earcon"])
def test_speech_that_begins_while_an_idle_window_opens_is_not_missed(what, moment):
    def act(sink):
        if what == "word":
            write(np.full(480, 5000, np.int16))
        elif what == "earcon":
            card.mixer.play(np.full(48_000, 4000, np.float32))
        else:
            sink.is_busy = True
            card.mixer.idle_window.end()

    card = Card(Late(act, moment))
    write = card.mixer.add("ann")
    card.mixer.idle_window.end()
    card.period()
    assert card.mixer.idle_window.is_over or not card.card.left


def test_a_talker_is_played_from_the_first_sample_after_an_idle_window():
    path = Path()
    path.mixer.set_volume(100)
    write = path.mixer.add("ann")
    path.fall_silent()
    for _ in range(4 * SIZE_BLOCKS):
        write(SILENCE)
        path.period(10)
    assert path.passed > 0
    played = []
    for count in range(12):
        write(np.full(480, 3000, np.int16) if count < 5 else SILENCE)
        played.append(path.period(10))
    loud = np.concatenate([each for each in played if each is not None])
    assert np.count_nonzero(loud) > 4.9 * 480


def test_an_earcon_ends_an_idle_window():
    card = Card()
    card.run(3)
    card.mixer.play(np.full(480, 4000, np.float32))
    assert card.period().any()


def test_inaudible_noise_does_not_end_an_idle_window():
    path = Path()
    write = path.mixer.add("ann")
    path.fall_silent()
    for _ in range(4 * SIZE_BLOCKS):
        write(np.full(480, 3, np.int16))
        path.period(10)
    before = path.passed
    for _ in range(80):
        write(np.full(480, 3, np.int16))
        path.period(10)
    assert path.passed - before > 40


def test_a_capture_stream_without_playback_skips_periods_too():
    sink, mixer = Sink(is_idle=True), Mixer()
    reference = EchoReference(0.01)
    reference.take()
    microphone = Periods(capture_callback(mixer, reference, sink, counters()[0]))
    for _ in range(1 + 5 * CYCLE):
        microphone.run(memoryview(bytes(960)), NOTHING)
    assert sink.skipped == 5 * (IDLE_PERIODS // 2)


def test_a_stream_that_only_plays_skips_periods_too_and_an_earcon_ends_that():
    mixer, (counts, _) = Mixer(), counters()
    speaker = Periods(playback_callback(mixer, EchoReference(0.01), counts))
    processed = []

    def period():
        played = memoryview(bytearray(b"x" * 960))
        if speaker.run(NOTHING, played):
            processed.append(np.frombuffer(played, np.int16))

    for _ in range(1 + 5 * CYCLE):
        period()
    assert len(processed) == 1 + 5
    assert counts.blocks == 1 + 5 * CYCLE
    mixer.play(np.full(480, 4000, np.float32))
    period()
    assert len(processed) == 1 + 6
    assert processed[-1].any()


@given(
    st.lists(
        st.sampled_from(["press", "xrun", "earcon", "busy", "free", ""]), max_size=120
    )
)
def test_captured_sound_keeps_its_position_in_any_sequence_of_events(story):
    card = Card()
    for word in story:
        if word == "press":
            card.mixer.idle_window.end()
        if word == "earcon":
            card.mixer.play(np.full(480, 4000, np.float32))
        if word in {"busy", "free"}:
            card.sink.is_idle = word == "free"
        card.period(status=4 if word == "xrun" else 0)
    card.sink.is_idle = False
    card.mixer.idle_window.end()
    card.run(8)
    numbers = np.array(card.sink.last_samples)
    right = np.arange(1, card.periods + 1)
    assert len(numbers) == card.periods
    assert ((numbers == right) | (numbers == 0)).all()
    assert (numbers[-4:] == right[-4:]).all()


@pytest.mark.parametrize("before", range(40, 60))
def test_after_a_press_blocks_are_sent_in_whole_packets_and_in_order(before):
    path = Path()
    path.fall_silent()
    for _ in range(before):
        path.period(20)
    assert path.passed > 20
    path.taken()
    path.sender.open_gate(0.0)
    for number in range(1, 41):
        path.period(100 * number)
    sent = path.taken()
    assert len(sent) % 2 == 0
    numbers = [int(block[-1]) for block in sent if block[-1] >= 100]
    assert numbers == [100 * n for n in range(1, len(numbers) + 1)]
    assert len(numbers) >= 38


@pytest.mark.parametrize("status", [0, 4])
@pytest.mark.parametrize("passed", range(CYCLE))
def test_a_talk_that_begins_in_an_idle_window_is_faded_in(passed, status):
    path = Path()
    path.fall_silent()
    for _ in range(40 + passed):
        path.period(100)
    path.taken()
    path.sender.open_gate(0.0)
    path.period(100, status=status)
    for _ in range(39):
        path.period(100)
    sent = np.concatenate(path.taken()).astype(np.int32)
    assert sent.max() == 100
    assert np.abs(np.diff(sent)).max() < 5
