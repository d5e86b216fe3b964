"""Tests of the measurement: known delays and losses are found."""

import math

import numpy as np
import pytest

from tests.card.measure import bursts, mouth_to_ear_s

RATE_HZ = 48_000


def noise(seconds, seed=1):
    rng = np.random.default_rng(seed)
    samples = rng.normal(0.0, 3000.0, round(seconds * RATE_HZ))
    return samples.round().astype(np.int16)


def delayed(samples, by_s):
    return np.pad(samples, (round(by_s * RATE_HZ), RATE_HZ))


@pytest.mark.parametrize("delay_s", [0.0, 0.0125, 0.5, 1.99])
def test_a_delay_is_found_to_the_sample(delay_s):
    words = noise(0.5)
    assert mouth_to_ear_s(words, delayed(words, delay_s)) == delay_s


def test_the_delay_of_a_quiet_inverted_copy_in_noise_is_found():
    words = noise(0.5)
    heard = delayed(-words // 10, 0.1) + noise(1.6, seed=2) // 10
    assert mouth_to_ear_s(words, heard) == 0.1


@pytest.mark.parametrize("heard", [noise(3.0, seed=2), noise(3.0) * 0, noise(0.0)])
def test_an_unrelated_sound_has_no_delay(heard):
    assert math.isnan(mouth_to_ear_s(noise(0.5), heard))


def test_losses_at_start_end_and_within_are_distinguished():
    words = delayed(noise(0.5), 0.3)
    heard = delayed(words, 0.1)
    first = round(0.4 * RATE_HZ)
    for lost_s, length_s in ((0.0, 0.04), (0.2, 0.03), (0.48, 0.02)):
        at = first + round(lost_s * RATE_HZ)
        heard[at : at + round(length_s * RATE_HZ)] = 0
    (burst,) = bursts(words, heard, [(0.3, 0.8)])
    assert burst.delay_s == pytest.approx(0.1)
    assert burst.lost_start_ms == pytest.approx(40, abs=3)
    assert burst.lost_within_ms == pytest.approx(30, abs=6)
    assert burst.lost_end_ms == pytest.approx(20, abs=3)


def test_a_burst_that_never_arrived_is_completely_lost():
    (burst,) = bursts(noise(0.5), np.zeros(RATE_HZ, np.int16), [(0.0, 0.5)])
    assert math.isnan(burst.delay_s)
    assert burst.lost_start_ms == 500


def test_each_burst_has_its_own_delay():
    words = np.concatenate([noise(0.2), noise(0.3) * 0, noise(0.2, seed=2)])
    heard = np.concatenate([noise(0.2), noise(0.4) * 0, noise(0.2, seed=2)])
    first, second = bursts(words, delayed(heard, 0.05), [(0.0, 0.2), (0.5, 0.7)])
    assert first.delay_s == pytest.approx(0.05)
    assert second.delay_s == pytest.approx(0.15)
