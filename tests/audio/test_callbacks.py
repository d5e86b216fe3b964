"""Tests of the PortAudio callbacks: periods in, blocks out."""

import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.callbacks import CaptureCallback, DuplexCallback, PlaybackCallback
from appliance.audio.echo_reference import MOST_FRAMES, EchoReference
from appliance.audio.mixer import Mixer
from appliance.audio.stream_clock import StreamClock
from tests.audio.steady import Steady


class Loud(Mixer):
    """Mixer that plays a sample counter, so that each sample is identifiable."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def next(self, frames=480):
        first, self.count = self.count, self.count + frames
        samples = np.arange(first, first + frames) % 20_000 + 1
        self.reference = samples.astype(np.int16)
        return self.reference


class RecordingSink:
    """Sink that records pairs of blocks, and "skipped" for skipped packets."""

    def __init__(self):
        self.story: list[Any] = []
        self.idle_packets = 0

    def put(self, microphone, played):
        self.story.append((microphone, played))

    def skip_packets(self, packets):
        self.story += ["skipped"] * packets

    def may_drop(self, heard):
        return False

    def would_be_audible(self, heard):
        return np.abs(np.frombuffer(heard, np.int16)).max() > 50


NOTHING = memoryview(b"")


def blank(frames, channels):
    return memoryview(bytearray(frames * channels * 2))


def heard(rate_hz, frames):
    return memoryview((np.ones(frames, np.int16) * (rate_hz // 100)).tobytes())


@pytest.mark.parametrize("speaker_hz", [48_000, 44_100, 16_000])
@pytest.mark.parametrize("microphone_hz", [48_000, 44_100, 32_000, 16_000])
@pytest.mark.parametrize("per_second", [200, 100])
def test_two_cards_of_different_rates_still_give_blocks_of_10_ms(
    speaker_hz, microphone_hz, per_second
):
    block_sink, reference, mixer = RecordingSink(), EchoReference(), Loud()
    speaker = PlaybackCallback(mixer, reference, Steady(speaker_hz))
    microphone = CaptureCallback(mixer, reference, block_sink, Steady(microphone_hz))

    def period(rate_hz):
        return rate_hz // (per_second if rate_hz == 48_000 else 100)

    for _ in range(20):
        speaker.call(NOTHING, blank(period(speaker_hz), 2), period(speaker_hz), 0)
        microphone.call(
            heard(microphone_hz, period(microphone_hz)),
            NOTHING,
            period(microphone_hz),
            0,
        )
    assert len(block_sink.story) >= 10
    assert all(len(block) == len(played) == 480 for block, played in block_sink.story)


def test_a_duplex_callback_pairs_captured_blocks_with_those_played_meanwhile():
    block_sink = RecordingSink()
    duplex = DuplexCallback(Loud(), block_sink, Steady(48_000))
    for _ in range(4):
        duplex.call(heard(48_000, 240), blank(240, 2), 240, 0)
    assert [played[0] for _, played in block_sink.story] == [1, 481]
    assert block_sink.story[0][1][-1] == 480


class DroppingSink(RecordingSink):
    """Sink that drops the third period it is asked about, in effect one in four."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def may_drop(self, heard):
        self.asked += 1
        return self.asked == 3


def numbered(number, frames):
    return memoryview(np.full(frames, number, np.int16).tobytes())


@pytest.mark.parametrize("is_duplex", [True, False])
def test_a_dropped_period_loses_only_itself_and_delays_no_block(
    is_duplex,
):
    block_sink, stream_clock = DroppingSink(), Steady(48_000)
    duplex = DuplexCallback(Mixer(), block_sink, stream_clock)
    card = (
        duplex
        if is_duplex
        else CaptureCallback(Mixer(), EchoReference(), block_sink, stream_clock)
    )
    counts = []
    for number in range(1, 14):
        card.call(numbered(number, 240), blank(240, 2), 240, 0)
        counts.append(len(block_sink.story))
    heard = np.concatenate([microphone for microphone, _ in block_sink.story])
    assert heard[::240].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13]
    assert counts == [0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6]


class Card:
    """Duplex card, or one with input only, with a simulated clock."""

    def __init__(self, is_duplex=True, period=240):
        self.block_sink, self.reference, self.period = (
            RecordingSink(),
            EchoReference(),
            period,
        )
        self.now_s = 1.0
        stream_clock = StreamClock(48_000, lambda: self.now_s)
        duplex = DuplexCallback(Mixer(), self.block_sink, stream_clock)
        alone = CaptureCallback(Mixer(), self.reference, self.block_sink, stream_clock)
        self.callback = duplex if is_duplex else alone

    def hear(self, value, status=0, late_s=0.0):
        self.now_s += self.period / 48_000 + late_s
        out = blank(self.period, 2)
        self.callback.call(numbered(value, self.period), out, self.period, status)

    def run(self, seconds, value, ppm=0):
        for _ in range(round(seconds * 48_000 / self.period)):
            self.hear(value, late_s=-ppm * 1e-6 * self.period / 48_000)

    @property
    def heard(self):
        return np.concatenate([microphone for microphone, _ in self.block_sink.story])


@pytest.mark.parametrize("is_duplex", [True, False])
@pytest.mark.parametrize(
    ("late_s", "periods"), [(0.0, 0), (0.002, 0), (0.0045, 1), (0.0105, 2), (0.3, 0)]
)
def test_frames_lost_by_the_card_are_replaced_by_silence(is_duplex, late_s, periods):
    """The last case is a long loss, which the sender fills with silence."""
    card = Card(is_duplex)
    card.run(1.0, 9000)
    before = len(card.heard)
    for number in range(1, 13):
        is_lossy = number == 6
        card.hear(number * 100, 4 * is_lossy, late_s * is_lossy)
    whole = [100, 200, 300, 400, 500, *[0] * periods, *range(600, 1300, 100)]
    after = card.heard[before:][239::240].tolist()
    assert after == whole[: len(after)]
    assert len(after) >= len(whole) - 1
    card.run(2.0, 9000)
    assert not (card.heard[-48_000:] == 0).any(), "once is enough"


def test_sound_after_a_loss_is_faded_in():
    card = Card()
    card.run(1.0, 9000)
    before = len(card.heard)
    card.hear(9000, 4, 0.01)
    card.run(0.02, 9000)
    after = card.heard[before + 480 :]
    assert abs(int(after[0])) < 500
    assert after[239] == 9000


def test_a_loss_does_not_shift_the_echo_reference():
    """Two cards, of which only the capturing one loses frames."""
    card = Card(is_duplex=False)
    for number in range(1, 241):
        card.reference.put(np.full(240, number, np.int16), 240)
        if number not in {225, 226}:
            is_lossy = number == 227
            card.hear(number, 4 * is_lossy, 0.01 * is_lossy)
    heard, voices = (
        np.concatenate(x) for x in zip(*card.block_sink.story, strict=True)
    )
    assert heard[-1] == 240
    assert (heard[-960:] == voices[-960:]).all()


@pytest.mark.parametrize("ppm", [-200, 200, 20])
def test_clock_drift_of_the_card_is_corrected_in_pauses(ppm):
    """Corrections are made only where they are inaudible."""
    card = Card()
    card.run(1.0, 20)
    before_s, before = card.now_s, len(card.heard)
    for _ in range(60):
        card.run(3.0, 9000, ppm)
        loud = (card.heard == 9000).sum()
        card.run(2.0, 20, ppm)
    wanted = (card.now_s - before_s) * 48_000
    assert len(card.heard) - before == pytest.approx(wanted, abs=0.006 * 48_000)
    assert loud == pytest.approx(60 * 3 * 48_000, abs=480 * 60)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_clock_drift_is_not_corrected_during_speech(ppm):
    card = Card()
    card.run(1.0, 20)
    before = len(card.heard)
    card.run(60.0, 9000, ppm)
    assert (card.heard[before:] == 9000).all()
    assert len(card.heard) - before == 60 * 48_000


@pytest.mark.parametrize("ppm", [-200, 200])
def test_clock_drift_is_not_corrected_with_long_periods(ppm):
    card = Card(period=480)
    card.run(60.0, 20, ppm)
    assert len(card.heard) == 60 * 48_000


@pytest.mark.parametrize("ppm", [-50, 50])
@pytest.mark.parametrize("period", [240, 480])
def test_the_silence_for_a_loss_does_not_include_earlier_clock_drift(ppm, period):
    card = Card(period=period)
    card.run(600.0, 9000, ppm)
    before = len(card.heard)
    card.hear(9000, 4, 0.0105)
    card.run(1.0, 9000)
    assert len(card.heard) - before == pytest.approx(48_000 + 960, abs=480)
    # With a fast card one correction is possible.
    silent = (card.heard[before:] == 0).sum()
    assert silent == pytest.approx(480, abs=10) or (ppm > 0 and 230 < silent < 490)


@pytest.mark.parametrize("ppm", [-100, 100])
def test_a_large_offset_that_built_up_slowly_is_accepted_and_not_corrected(ppm):
    """An hour of steady noise without a pause, which then stops."""
    card = Card()
    card.run(1.0, 20)
    card.run(900.0, 9000, 4 * ppm)
    before = len(card.heard)
    card.run(30.0, 20)
    assert abs(len(card.heard) - before - 30 * 48_000) <= 960


def test_corrections_are_further_apart_than_the_history_of_neteq():
    card = Card()
    card.run(1.0, 20)
    card.run(180.0, 9000, 100)
    lengths = []
    for _ in range(8):
        before = len(card.heard)
        card.run(1.0, 20)
        lengths.append((48_000 - (len(card.heard) - before)) // 240)
    assert 3 <= sum(lengths) <= 4
    assert all(first + second <= 2 for first, second in pairwise(lengths))


def test_a_long_interruption_without_an_xrun_flag_is_not_filled_with_silence():
    card = Card()
    card.run(5.0, 20)
    card.hear(20, late_s=0.3)
    before = len(card.heard)
    card.run(60.0, 20)
    assert len(card.heard) - before == 60 * 48_000


def test_an_xrun_flag_at_the_first_callback_inserts_no_silence():
    card = Card()
    card.hear(9000, 4, late_s=0.05)
    card.run(1.0, 9000)
    assert card.heard.all()


def test_a_late_callback_is_not_mistaken_for_clock_drift():
    card = Card()
    rng = np.random.default_rng(1)
    for _ in range(200 * 60):
        late_s = float(rng.exponential(0.0005))
        card.now_s += late_s
        card.hear(20)
        card.now_s -= late_s
    assert len(card.heard) == 60 * 48_000


def test_no_period_is_dropped_if_periods_are_long():
    block_sink = DroppingSink()
    card = DuplexCallback(Mixer(), block_sink, Steady(48_000))
    for _ in range(8):
        card.call(heard(48_000, 480), blank(480, 2), 480, 0)
    assert block_sink.asked == 0


def test_the_played_samples_of_a_dropped_period_are_dropped_with_it():
    block_sink = DroppingSink()
    card = DuplexCallback(Loud(), block_sink, Steady(48_000))
    for number in range(1, 10):
        card.call(numbered(number, 240), blank(240, 2), 240, 0)
    pairs = [(each[::240], played[::240]) for each, played in block_sink.story]
    assert [played.tolist() for _, played in pairs] == [
        [1 + 240 * (int(number) - 1) for number in numbers] for numbers, _ in pairs
    ]


@pytest.mark.parametrize("channels", [1, 2])
def test_every_output_channel_plays_the_same_samples(channels):
    out = blank(240, channels)
    DuplexCallback(Loud(), RecordingSink(), Steady(48_000)).call(
        heard(48_000, 240), out, 240, 0
    )
    frames = np.frombuffer(out, np.int16).reshape(240, channels)
    assert all((frames[:, n] == np.arange(1, 241)).all() for n in range(channels))


def test_silence_overwrites_the_old_content_of_the_output_buffer():
    out = memoryview(bytearray(b"x" * 960))
    DuplexCallback(Mixer(), RecordingSink(), Steady(48_000)).call(
        heard(48_000, 240), out, 240, 0
    )
    assert bytes(out) == bytes(960)


def test_captured_blocks_are_writable_and_never_reused():
    block_sink = RecordingSink()
    duplex = DuplexCallback(Mixer(), block_sink, Steady(48_000))
    for _ in range(4):
        duplex.call(heard(48_000, 240), blank(240, 2), 240, 0)
    block_sink.story[0][0][:] = 7
    assert (block_sink.story[1][0] == 480).all()


def test_the_echo_reference_does_not_contain_earcons():
    block_sink, mixer = RecordingSink(), Mixer()
    duplex = DuplexCallback(mixer, block_sink, Steady(48_000))
    mixer.play(np.full(480, 5000, np.float32))
    out = blank(480, 2)
    duplex.call(heard(48_000, 480), out, 480, 0)
    assert np.frombuffer(out, np.int16).max() == 5000
    assert not block_sink.story[0][1].any()


def test_pending_audio_is_dropped_when_the_output_stream_closes():
    reference = EchoReference()
    reference.put(np.full(480, 3000, np.int16), 480)
    assert reference.take(480).max() == 3000
    reference.put(None, 480)
    assert not reference.take(480).any()


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([160, 240, 441, 480])), max_size=200
    )
)
def test_the_echo_reference_has_the_length_of_the_captured_sound_and_bounded_age(turns):
    reference, written = EchoReference(), 0
    for is_put, frames in turns:
        if is_put:
            played = np.arange(written, written + frames) % 30_000 + 1
            reference.put(played.astype(np.int16), frames)
            written += frames
            continue
        taken = reference.take(frames)
        assert taken.shape == (frames,)
        newest = int(taken.max())
        assert not written or newest == 0 or written - newest <= MOST_FRAMES


def test_an_exception_in_a_callback_reaches_threading_excepthook():
    seen: list[threading.ExceptHookArgs] = []

    class Broken(RecordingSink):
        def put(self, microphone, played):
            raise ZeroDivisionError

    before, threading.excepthook = threading.excepthook, seen.append
    try:
        duplex = DuplexCallback(Loud(), Broken(), Steady(48_000))
        with pytest.raises(ZeroDivisionError):
            duplex.call(heard(48_000, 480), blank(480, 2), 480, 0)
    finally:
        threading.excepthook = before
    assert seen[0].exc_type is ZeroDivisionError
