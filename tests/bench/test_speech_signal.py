"""Speech and noise that the benchmark plays."""

import math

import numpy as np
import pytest

from tests.bench import speech_signal
from tests.bench.speech_signal import RATE_HZ


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def later(samples, delay_ms, until_s=3.0):
    """Return the samples after a delay."""
    heard = np.zeros(round(until_s * RATE_HZ), np.int16)
    first = round(delay_ms * RATE_HZ / 1000)
    heard[first : first + len(samples)] = samples // 2
    return heard


@pytest.mark.parametrize("make", [speech_signal.noise, speech_signal.talk])
def test_generated_sounds_have_the_requested_length_and_level(make, rng):
    spoken = make(rng, 0.5)
    assert len(spoken) == RATE_HZ // 2
    assert np.abs(spoken).max() == speech_signal.PEAK


@pytest.mark.parametrize("make", [speech_signal.noise, speech_signal.talk])
def test_continuous_sounds_have_no_silent_block(make, rng):
    assert speech_signal.silent_percent(make(rng, 2.0)) == 0.0


def test_a_conversation_has_pauses_and_the_noise_of_a_room(rng):
    spoken = speech_signal.conversation(rng, 20.0)
    assert len(spoken) == 20 * RATE_HZ
    assert speech_signal.silent_percent(spoken) == 0.0
    levels = np.abs(spoken.reshape(-1, speech_signal.BLOCK).astype(np.int32)).max(
        axis=1
    )
    assert 0.2 < np.mean(levels < 6 * speech_signal.FLOOR) < 0.6
    assert levels.max() > speech_signal.PEAK / 2


@pytest.mark.parametrize("delay_ms", [0.0, 53.25, 466.0, 1190.0])
def test_the_delay_of_every_burst_is_found(delay_ms, rng):
    speech = speech_signal.bursts(rng, 0.2, 2.0)
    heard = later(speech.samples, delay_ms, until_s=3.5)
    found = speech_signal.delays_ms(speech, heard)
    assert found == pytest.approx([delay_ms] * len(speech.spans_s), abs=0.05)


def test_a_burst_that_never_arrived_has_no_delay(rng):
    speech = speech_signal.bursts(rng, 0.0, 1.0)
    heard = later(speech.samples, 60.0)
    first, last = (round(x * RATE_HZ) for x in speech.spans_s[0])
    heard[first : last + RATE_HZ // 5] = 0
    found = speech_signal.delays_ms(speech, heard)
    assert math.isnan(found[0])
    assert found[1] == pytest.approx(60.0, abs=0.05)


def test_another_voice_is_not_mistaken_for_the_speaker(rng):
    speech = speech_signal.bursts(rng, 0.0, 1.0)
    other = speech_signal.bursts(rng, 0.0, 1.0)
    found = speech_signal.delays_ms(speech, later(other.samples, 60.0))
    assert all(math.isnan(x) for x in found)


def test_bursts_begin_after_the_requested_silence(rng):
    speech = speech_signal.bursts(rng, 1.0, 3.0)
    assert min(speech.spans_s)[0] >= 1.0
    assert not speech.samples[:RATE_HZ].any()


def test_silent_blocks_are_counted(rng):
    heard = speech_signal.noise(rng, 1.0)
    heard[4800:9600] = 5
    assert speech_signal.silent_percent(heard) == 10.0


def test_an_empty_recording_has_no_share_of_silence():
    assert math.isnan(speech_signal.silent_percent(np.zeros(0, np.int16)))


def test_each_start_has_a_median():
    groups = [[50.0, 52.0, math.nan], [math.nan], [60.0]]
    assert speech_signal.medians(groups) == [51.0, 60.0]
