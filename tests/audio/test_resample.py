"""Tests of the rate conversion for cards without 48 kHz."""

import numpy as np
import pytest

from appliance.audio.dsp import Resampler, resampler

RATES_HZ = [8_000, 16_000, 24_000, 32_000, 44_100, 88_200, 96_000, 192_000]


def converted(from_hz, to_hz, hz, seconds=1):
    """Return a tone after conversion, in blocks of 10 ms."""
    convert = Resampler(from_hz, to_hz)
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
    convert = Resampler(from_hz, to_hz)
    step = np.repeat([0, 8000], from_hz // 2).astype(np.int16)
    out = np.concatenate([convert.apply(block) for block in step.reshape(100, -1)])
    late_ms = (np.flatnonzero(out > 4000)[0] - to_hz // 2) / to_hz * 1000
    assert -0.5 < late_ms <= most_ms


def test_at_the_rate_of_the_room_nothing_is_converted():
    assert resampler(48_000, 48_000) is None
