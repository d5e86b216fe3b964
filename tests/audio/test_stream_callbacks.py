"""Tests of the PortAudio callbacks: periods in, blocks out."""

import numpy as np
import pytest

from appliance.audio.driver import IDLE_PERIODS
from appliance.audio.echo_cancellation import EchoReference
from appliance.audio.mixer import Mixer
from appliance.audio.stream_callbacks import (
    ADC_VALUES,
    FLUSH_BLOCKS,
    INPUT_UNDERFLOW,
    OutputBuffer,
)
from appliance.metrics.counters import AudioFault
from tests.audio.fakes import (
    NOTHING,
    Clock,
    Periods,
    Sink,
    capture_callback,
    counters,
    duplex_callback,
    playback_callback,
)


class Loud(Mixer):
    """Mixer that plays a sample counter, so that each sample is identifiable."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def next(self):
        first, self.count = self.count, self.count + 480
        samples = np.arange(first, first + 480) % 20_000 + 1
        self.reference = samples.astype(np.int16)
        return self.reference


def blank(rate_hz=48_000, channels=2):
    return memoryview(bytearray(b"x" * (rate_hz // 100 * channels * 2)))


def heard(*channels, rate_hz=48_000):
    """Return a period whose channels have these constant samples."""
    frames = np.tile(np.array(channels, np.int16), (rate_hz // 100, 1))
    return memoryview(frames.tobytes())


def duplex(mixer, sink, rate_hz=48_000):
    counts, _ = counters(rate_hz=rate_hz)
    return duplex_callback(mixer, sink, counts)


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 32_000, 16_000, 96_000, 8_000])
def test_a_card_of_any_rate_gives_and_takes_blocks_of_10_ms(rate_hz):
    sink = Sink()
    card = duplex(Loud(), sink, rate_hz)
    for _ in range(20):
        card.call(heard(100, rate_hz=rate_hz), blank(rate_hz), 0, 0.0, 0)
    assert len(sink.heard) == 20
    assert all(len(block) == 480 for block in (*sink.heard, *sink.played))
    assert sink.last_samples[-1] == pytest.approx(100, abs=1)


def test_a_duplex_callback_pairs_captured_blocks_with_those_played_meanwhile():
    sink = Sink()
    card = duplex(Loud(), sink)
    for _ in range(2):
        card.call(heard(1), blank(), 0, 0.0, 0)
    assert [played[0] for played in sink.played] == [1, 481]


@pytest.mark.parametrize("channels", [1, 2])
def test_every_output_channel_plays_the_same_samples(channels):
    out = blank(channels=channels)
    duplex(Loud(), Sink()).call(heard(1), out, 0, 0.0, 0)
    frames = np.frombuffer(out, np.int16).reshape(480, channels)
    assert all((frames[:, n] == np.arange(1, 481)).all() for n in range(channels))


RESAMPLED_HZ = [8_000, 16_000, 32_000, 44_100, 96_000, 192_000]


def written(output, rate_hz, block, count):
    """Return what is written for this block, which is repeated."""
    periods = [blank(rate_hz, channels=1) for _ in range(count)]
    for period in periods:
        output.fill(period, block)
    return np.concatenate([np.frombuffer(period, np.int16) for period in periods])


@pytest.mark.parametrize("rate_hz", RESAMPLED_HZ)
def test_the_end_of_a_sound_is_played_at_once_by_a_card_of_another_rate(rate_hz):
    output, loud = OutputBuffer(rate_hz), np.full(480, 8000, np.int16)
    sound = written(output, rate_hz, loud, 20)
    was_idle = output.is_idle
    end = written(output, rate_hz, None, FLUSH_BLOCKS)
    assert (was_idle, output.is_idle) == (False, True)
    both = np.concatenate((sound, end))
    assert (both > 4000).sum() == pytest.approx(rate_hz // 5, abs=rate_hz // 1000)
    assert np.abs(np.diff(end.astype(int))).max() < 8000, "it does not click"
    assert np.abs(end[-rate_hz // 1000 :]).max() <= 2, "nothing but dither"
    assert not written(output, rate_hz, None, 3).any()
    assert written(output, rate_hz, -loud, 20).max() < 1500, "only the filter's ringing"


def test_a_card_of_another_rate_is_not_idle_before_the_end_of_a_sound_is_played():
    mixer, (counts, _) = Mixer(), counters(rate_hz=16_000)
    mixer.play(np.full(480, 5000, np.float32))
    card = Periods(duplex_callback(mixer, Sink(is_idle=True), counts))
    for _ in range(1 + FLUSH_BLOCKS):
        assert card.run(heard(0, rate_hz=16_000), blank(16_000))
    assert not card.run(heard(0, rate_hz=16_000), blank(16_000))


def test_silence_overwrites_the_old_content_of_the_output_buffer():
    out = blank()
    duplex(Mixer(), Sink()).call(heard(1), out, 0, 0.0, 0)
    assert not any(out)


def test_captured_blocks_are_writable_and_never_reused():
    sink = Sink()
    card = duplex(Mixer(), sink)
    for _ in range(2):
        card.call(heard(480), blank(), 0, 0.0, 0)
    sink.heard[0][:] = 7
    assert (sink.heard[1] == 480).all()


def test_the_echo_reference_does_not_contain_earcons():
    sink, mixer, out = Sink(), Mixer(), blank()
    mixer.play(np.full(480, 5000, np.float32))
    duplex(mixer, sink).call(heard(1), out, 0, 0.0, 0)
    assert np.frombuffer(out, np.int16).max() == 5000
    assert not sink.played[0].any()


@pytest.mark.parametrize("loud", [0, 1])
def test_of_a_stereo_microphone_the_channel_with_sound_is_heard(loud):
    sink = Sink()
    card = duplex(Mixer(), sink)
    for _ in range(60):
        card.call(
            heard(*(3000 if n == loud else 5 for n in range(2))), blank(), 0, 0.0, 0
        )
    assert sink.last_samples[-1] == 3000


@pytest.mark.parametrize("silent", [0, 1])
def test_speech_in_one_channel_only_has_its_full_level(silent):
    sink = Sink()
    card = duplex(Mixer(), sink)
    speech = np.random.default_rng(1).normal(0, 3000, (60, 480)).astype(np.int16)
    for block in speech:
        frames = np.zeros((480, 2), np.int16)
        frames[:, 1 - silent] = block
        card.call(memoryview(frames.tobytes()), blank(), 0, 0.0, 0)
    assert (np.array(sink.heard) == speech).all()


def test_two_channels_of_similar_level_are_not_switched():
    sink = Sink()
    card = duplex(Mixer(), sink)
    for count in range(100):
        card.call(heard(1000, 1000 + 200 * (count % 3)), blank(), 0, 0.0, 0)
    assert set(sink.last_samples) == {1000}


class Clocked:
    """Duplex callback on a clock of the test."""

    def __init__(self):
        self.clock = Clock()
        self.counts, self._totals = counters(self.clock)
        self._card = duplex_callback(Mixer(), Sink(), self.counts)

    def call(self, value=1, status=0, adc_s=0.0):
        self._card.call(heard(value), blank(), status, adc_s, 0)

    def faults(self, kind, way="microphone"):
        return self._totals[way].faults[kind]


def test_zeros_are_told_from_sound():
    card = Clocked()

    def run(value):
        card.clock.now_s += 0.01
        card.call(value)
        return card.counts.zeros_since_s

    assert run(0) == card.clock.now_s
    assert run(0) == card.clock.now_s - 0.01
    assert run(1) is None
    assert run(0) == card.clock.now_s


def test_callbacks_without_captured_samples_are_xruns_only_if_the_microphone_goes_on():
    card = Clocked()
    flags = (0, INPUT_UNDERFLOW, INPUT_UNDERFLOW, 0, INPUT_UNDERFLOW)
    seen: list[tuple[bool, int]] = []
    for flag in flags:
        card.clock.now_s += 0.01
        card.call(status=flag)
        has_none = card.counts.no_samples_since_s is not None
        seen.append((has_none, card.faults(AudioFault.XRUN)))
    assert seen == [(False, 0), (True, 0), (True, 0), (False, 2), (True, 2)]
    assert card.counts.no_samples_since_s == card.clock.now_s
    for flag in [INPUT_UNDERFLOW] * 200 + [0]:
        card.call(status=flag)
    assert card.faults(AudioFault.XRUN) == 2
    assert card.faults(AudioFault.XRUN, "speaker") == 0


def test_periods_that_portaudio_discards_silently_are_counted_by_their_time():
    card = Clocked()
    adc_s = 5.0
    for lost in (0, 0, 1, 0, 3, *[0] * 2 * ADC_VALUES):
        adc_s += 0.01 * (1 + lost)
        card.call(adc_s=adc_s)
    assert card.faults(AudioFault.DROP) == 4
    assert card.faults(AudioFault.DROP, "speaker") == 0
    assert card.faults(AudioFault.XRUN) == 0


@pytest.mark.parametrize("skipped", [0, IDLE_PERIODS])
@pytest.mark.parametrize("lost", [0, 3])
def test_a_converter_time_that_varies_does_not_count_as_discarded_periods(
    lost, skipped
):
    card = Clocked()
    lateness_s = np.random.default_rng(1).uniform(0, 0.012, 6000)
    for count, late_s in enumerate(lateness_s):
        card.counts.skip(skipped)
        passed = count * (1 + skipped) + (lost if count > 3000 else 0)
        card.call(adc_s=5.0 + 0.01 * passed + late_s)
    assert card.faults(AudioFault.DROP) == lost


@pytest.mark.parametrize("adc_s", [float("nan"), float("inf")])
def test_a_converter_time_that_is_no_number_is_unknown(adc_s):
    card = Clocked()
    for _ in range(3 * ADC_VALUES):
        card.call(adc_s=adc_s)
    assert card.faults(AudioFault.DROP) == 0
    assert card.counts.blocks == 3 * ADC_VALUES


def test_the_first_word_of_a_microphone_in_the_second_channel_is_complete():
    sink = Sink()
    card = duplex(Mixer(), sink)
    for _ in range(30):
        card.call(heard(0, 0), blank(), 0, 0.0, 0)
    for _ in range(3):
        card.call(heard(0, 3000), blank(), 0, 0.0, 0)
    assert sink.last_samples[30:] == [3000] * 3


def test_a_converter_slower_than_its_nominal_rate_discards_nothing():
    card = Clocked()
    for count in range(6000):
        card.call(adc_s=5.0 + 0.01 * count * 1.0005)
    assert card.faults(AudioFault.DROP) == 0


@pytest.mark.parametrize("lost", [3, 60])
@pytest.mark.parametrize("step_s", [3600.0, -3600.0, -0.5])
def test_a_converter_time_that_is_set_with_the_wall_clock_discards_nothing(
    step_s, lost
):
    card = Clocked()
    adc_s = 1e9
    for count in range(400):
        adc_s += 0.01 * (1 + (lost if count == 305 else 0))
        adc_s += step_s if count == 105 else 0.0
        card.call(adc_s=adc_s)
        if count == 300:
            assert card.faults(AudioFault.DROP) == 0
    assert card.faults(AudioFault.DROP) == lost, "they are counted again afterwards"


def test_a_late_callback_an_xrun_and_skipped_periods_are_no_discarded_ones():
    card = Clocked()
    for adc_s, status in ((5.0, 0), (5.012, 0), (5.02, 0), (5.9, 4), (5.91, 0)):
        card.call(adc_s=adc_s, status=status)
    card.counts.skip(5)
    card.call(adc_s=5.97)
    assert card.faults(AudioFault.DROP) == 0
    assert card.faults(AudioFault.XRUN) == card.faults(AudioFault.XRUN, "speaker") == 1


def two_cards(
    ppm, seconds, late_s=0.0, stall_s=(0.0, 0.0), *, is_lost=False, latency_s=0.01
):
    """Return the delays in frames from playing a sample to its use as reference.

    Args:
        ppm: drift of the microphone's clock.
        seconds: duration.
        late_s: by how much callbacks are late; most by less, some by twice as much.
        stall_s: start and length of a stall of the speaker's card.
        is_lost: whether its callbacks are lost meanwhile, or come at once afterwards.
        latency_s: of each stream.
    """
    late = np.abs(np.random.default_rng(1).normal(0.0, late_s, 400 * seconds))
    lateness = iter(late.tolist())
    clock, mixer, sink = Clock(), Loud(), Sink()
    reference = EchoReference(latency_s, clock)
    speaker = playback_callback(mixer, reference, counters(clock)[0])
    microphone = capture_callback(mixer, reference, sink, counters(clock)[0])
    delays, begun_s, captured, waiting = [], clock.now_s, 0, 0
    for count in range(round(100 * seconds)):
        clock.now_s = begun_s + count * 0.01
        next_s = clock.now_s + 0.01
        clock.now_s += next(lateness)
        passed_s = count * 0.01 - stall_s[0]
        if 0 <= passed_s < stall_s[1]:
            waiting += not is_lost
        else:
            for _ in range(waiting + 1):
                speaker.call(NOTHING, blank(), 0, 0.0, 0)
            waiting = 0
        while (due_s := begun_s + 0.004 + captured * 0.01 * (1 + ppm / 1e6)) < next_s:
            captured += 1
            clock.now_s = due_s + next(lateness)
            microphone.call(heard(1), NOTHING, 0, 0.0, 0)
            newest = int(sink.played.pop()[-1])
            if newest:
                age = (mixer.count - newest) % 20_000
                delays.append(age + (due_s - begun_s - count * 0.01) * 48_000)
    return np.array(delays)


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.002])
@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_with_two_cards_the_delay_of_the_echo_reference_stays_the_same(ppm, late_s):
    delays = two_cards(ppm, seconds=60, late_s=late_s)
    # A sample counter of steep slope: some values fall on its jump back.
    seconds = delays[2000 : len(delays) // 100 * 100].reshape(-1, 100)
    means = np.median(seconds, axis=1)
    # A filter of the echo canceller follows a change of a tenth of a millisecond.
    assert np.abs(np.diff(means)).max() < 5
    assert np.ptp(means) < 96
    # In the first second both clocks are measured.
    assert len(delays) > 0.99 * 5900


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("length_s", [0.03, 0.1, 1.0])
def test_after_a_stall_of_the_speakers_card_the_delay_of_the_reference_is_as_before(
    length_s, is_lost
):
    delays = two_cards(50, 40, stall_s=(25.0, length_s), is_lost=is_lost)
    before, after = delays[2000:2400], delays[-500:]
    assert np.median(after) == pytest.approx(np.median(before), abs=48)


@pytest.mark.parametrize("latency_s", [0.01, 0.02, 0.04])
def test_a_callback_as_late_as_the_latency_does_not_interrupt_the_reference(latency_s):
    usual, late = (
        two_cards(0, 5, stall_s=(2.995, stall_s), latency_s=latency_s)
        for stall_s in (0.0, latency_s)
    )
    assert len(usual) == len(late)
