"""Tests of levels, limiter, interpolation and resampler."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.audio import dsp
from appliance.pcm import BLOCK_FRAMES, SILENCE

blocks = arrays(np.int16, (BLOCK_FRAMES,))


def test_a_full_scale_square_wave_is_0_dbfs():
    wave = np.where(np.arange(480) % 2, 32767, -32768).astype(np.int16)
    assert dsp.level_dbfs(wave) == pytest.approx(0.0, abs=0.01)


def test_a_full_scale_sine_is_3_db_below_it():
    wave = (32767 * np.sin(np.arange(480) * 2 * np.pi / 48)).astype(np.int16)
    assert dsp.level_dbfs(wave) == pytest.approx(-3.01, abs=0.02)


@given(blocks)
def test_a_level_is_never_nan_and_never_above_full_scale(block):
    assert dsp.SILENCE_DBFS <= dsp.level_dbfs(block) <= 0.001


@given(blocks)
def test_the_peak_is_the_largest_absolute_value(block):
    assert dsp.peak(block) == np.abs(block.astype(int)).max()


def test_all_zeros_have_the_level_of_silence():
    assert dsp.level_dbfs(SILENCE) == dsp.SILENCE_DBFS


@given(arrays(np.float32, (480,), elements=st.floats(-1e6, 1e6, width=32)))
def test_samples_beyond_16_bits_are_clipped_and_never_wrap(samples):
    block = dsp.to_block(samples)
    assert (np.sign(block) * np.sign(np.rint(samples)) >= 0).all()


@given(
    st.lists(
        arrays(np.float32, (480,), elements=st.floats(-3e5, 3e5, width=32)),
        min_size=1,
        max_size=6,
    )
)
def test_the_limiters_output_never_exceeds_its_ceiling(stretch):
    limiter = dsp.Limiter()
    for samples in stretch:
        assert np.abs(limiter.apply(samples)).max() <= dsp.CEILING * 1.0001


def test_the_limiter_does_not_change_ordinary_speech():
    samples = np.full(480, 9000, np.float32)
    assert dsp.Limiter().apply(samples) is samples


def test_the_limiters_gain_changes_without_a_step():
    """Three loud talkers begin at once, in the middle of a block."""
    limiter = dsp.Limiter()
    at = np.arange(2400) / 48_000
    loud = 90_000 * np.sin(2 * np.pi * 100 * at) * (at > 0.025)
    blocks = loud.astype(np.float32).reshape(-1, 480)
    played = np.concatenate([limiter.apply(block) for block in blocks])
    before = np.abs(np.diff(loud)).max()
    assert np.abs(np.diff(played)).max() < before


def test_a_late_peak_lowers_the_gain_of_a_block_by_a_ramp():
    limiter = dsp.Limiter()
    samples = np.full(480, 20_000, np.float32)
    samples[300:] = 64_000
    gains = limiter.gains(samples)
    assert np.abs(np.diff(gains)).max() < 0.02
    assert gains[0] == pytest.approx(1.0)
    assert (samples * gains).max() <= dsp.CEILING * 1.0001


def test_the_limiters_gain_recovers_without_steps():
    """One gain for each block would be heard as roughness, 100 times a second."""
    limiter = dsp.Limiter()
    limiter.gains(np.full(480, 90_000, np.float32))
    gains = [limiter.gains(np.full(480, 1000, np.float32)) for _ in range(20)]
    assert np.abs(np.diff(np.concatenate(gains))).max() < 3 * 0.01 / 480


def test_the_limiter_releases_within_two_seconds():
    limiter = dsp.Limiter()
    limiter.apply(np.full(480, 90_000, np.float32))
    for _ in range(200):
        last = limiter.apply(np.full(480, 1000, np.float32))
    assert last[-1] == pytest.approx(1000)


@given(
    arrays(np.float32, (486,), elements=st.floats(-32768, 32767, width=32)),
    st.floats(0, 1, exclude_max=True),
    st.floats(-0.005, 0.005),
)
def test_interpolated_samples_lie_on_the_catmull_rom_spline(window, fraction, rate):
    found = dsp.interpolated(window, fraction, rate)
    at = fraction + np.arange(480) * (1 + rate)
    first = np.floor(at).astype(int)
    t = at - first
    # Catmull and Rom's basis, as it stands in their paper.
    basis = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    points = np.stack([window[first + n] for n in range(4)]).astype(np.float64)
    expected = (np.stack([t**0, t, t**2, t**3]) * (basis @ points)).sum(axis=0)
    assert found.shape == (480,)
    assert found == pytest.approx(expected, abs=0.5)


def test_half_volume_is_minus_12_db_and_zero_is_silence():
    assert dsp.volume_gain(100) == 1.0
    assert dsp.volume_gain(50) == 0.25
    assert dsp.volume_gain(0) == 0.0
