"""Tests of levels, limiter, interpolation and the rate conversion for cards."""

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


RATES_HZ = [8_000, 16_000, 24_000, 32_000, 44_100, 88_200, 96_000, 192_000]


def converted(from_hz, to_hz, hz, seconds=1):
    """Return a tone after conversion, in blocks of 10 ms."""
    convert = dsp.Resampler(from_hz, to_hz)
    at = np.arange(from_hz * seconds) / from_hz
    tone = (8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)
    blocks = [convert.apply(block) for block in tone.reshape(100 * seconds, -1)]
    assert {len(block) for block in blocks} == {to_hz // 100}
    return np.concatenate(blocks).astype(float)


def level_db(out):
    """Return the level of the second half, relative to the tone's."""
    return 10 * np.log10((out[len(out) // 2 :] ** 2).mean() / (8000**2 / 2) + 1e-12)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("is_to_card", [True, False])
def test_a_tone_keeps_its_pitch_and_loudness_at_another_rate(rate_hz, is_to_card):
    from_hz, to_hz = (48_000, rate_hz) if is_to_card else (rate_hz, 48_000)
    out = converted(from_hz, to_hz, 1000, seconds=2)[to_hz:]
    assert level_db(out) == pytest.approx(0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    assert np.argmax(spectrum) == 1000
    noise = np.delete(spectrum, range(980, 1021))
    assert (noise**2).sum() / (spectrum**2).sum() < 1e-5


@pytest.mark.parametrize("hz", [8500, 9000, 9500, 15_000])
def test_sibilants_are_not_folded_back_at_16_khz(hz):
    assert level_db(converted(48_000, 16_000, hz)) < -60


@pytest.mark.parametrize("hz", [100, 3000, 7000])
def test_speech_is_not_attenuated_at_16_khz(hz):
    assert level_db(converted(48_000, 16_000, hz)) > -0.5


@pytest.mark.parametrize(("rate_hz", "most_ms"), [(44_100, 8), (16_000, 20)])
@pytest.mark.parametrize("is_to_card", [True, False])
def test_the_delay_of_the_conversion_is_short(rate_hz, most_ms, is_to_card):
    from_hz, to_hz = (48_000, rate_hz) if is_to_card else (rate_hz, 48_000)
    convert = dsp.Resampler(from_hz, to_hz)
    step = np.repeat([0, 8000], from_hz // 2).astype(np.int16)
    out = np.concatenate([convert.apply(block) for block in step.reshape(100, -1)])
    late_ms = (np.flatnonzero(out > 4000)[0] - to_hz // 2) / to_hz * 1000
    assert -0.5 < late_ms <= most_ms


def test_at_the_rate_of_the_room_nothing_is_converted():
    assert dsp.resampler(48_000, 48_000) is None
