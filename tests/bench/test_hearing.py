"""Delay and lost speech, judged from a recording."""

import math
from itertools import pairwise

import numpy as np
import pytest

from tests.bench import speech_signal
from tests.bench.hearing import MAX_S, Hearing, back_s, judge, silent_percents
from tests.bench.speech_signal import RATE_HZ

SECONDS = 6.0
SPAN_S = (0.0, SECONDS)
PACKET = RATE_HZ // 50


@pytest.fixture(scope="module")
def said():
    return speech_signal.conversation(np.random.default_rng(3), SECONDS)


def later(samples, delay_ms):
    """Return the samples after a delay, with silence up to the longest one."""
    before = np.zeros(round(delay_ms * RATE_HZ / 1000), np.int16)
    heard = np.concatenate((before, samples // 2))
    whole = round((SECONDS + MAX_S) * RATE_HZ)
    return np.pad(heard, (0, whole - len(heard)))


def concealed(samples, every):
    """Replace every n-th packet by a repetition of the 10 ms before."""
    result = samples.copy()
    for first in range(PACKET * every, len(samples) - PACKET, PACKET * every):
        result[first : first + PACKET] = np.tile(result[first - PACKET // 2 : first], 2)
    return result


@pytest.mark.parametrize("delay_ms", [0.0, 61.3, 480.0, 2400.0])
def test_speech_that_is_only_late_is_heard_as_said(delay_ms, said):
    found = judge(said, later(said, delay_ms), SPAN_S)
    assert found.lost_percent == 0.0
    assert found.delay_ms == pytest.approx([delay_ms] * len(found.at_s), abs=0.1)


@pytest.mark.parametrize("speed", [0.995, 0.998, 1.003, 1.005])
def test_speech_that_is_played_a_little_faster_or_slower_is_heard_as_said(speed, said):
    at = np.arange(0, len(said) - 1, speed)
    played = np.interp(at, np.arange(len(said)), said).astype(np.int16)
    found = judge(said, later(played, 80.0), SPAN_S)
    assert found.lost_percent < 1.0
    expected_ms = [80.0 + 1000.0 * (1 / speed - 1) * (x + 0.1) for x in found.at_s]
    assert found.delay_ms == pytest.approx(expected_ms, abs=0.5)


def test_noise_of_a_codec_is_no_loss(said):
    noise = np.random.default_rng(4).normal(0.0, 400.0, len(said)).astype(np.int16)
    assert judge(said, later(said + noise, 80.0), SPAN_S).lost_percent < 1.0


@pytest.mark.parametrize("every", [10, 40])
def test_concealed_packets_are_lost_although_they_sound(every, said):
    found = judge(said, later(concealed(said, every), 80.0), SPAN_S)
    assert found.lost_percent == pytest.approx(100 / every, rel=0.5)


def test_silent_packets_are_lost(said):
    heard = said.copy()
    for first in range(0, len(heard), PACKET * 20):
        heard[first : first + PACKET] = 0
    found = judge(said, later(heard, 80.0), SPAN_S)
    assert found.lost_percent == pytest.approx(5.0, rel=0.5)


def known(percents):
    return [percent for percent in percents if not math.isnan(percent)]


def test_pauses_and_closures_are_no_silent_blocks(said):
    # What a receiver plays of the noise of a room is nothing, because of DTX.
    heard = later(np.where(np.abs(said) < 6 * speech_signal.FLOOR, 0, said), 80.0)
    found = known(silent_percents(said, heard, judge(said, heard, SPAN_S)))
    assert len(found) > 20
    assert set(found) == {0.0}


def test_a_silent_block_within_speech_is_found(said):
    heard = later(said, 80.0)
    times = judge(said, heard, SPAN_S).at_s
    at_s = next(x for x, y in pairwise(times) if y - x == pytest.approx(0.1))
    first = round((at_s + 0.18) * RATE_HZ)
    heard[first : first + RATE_HZ // 50] = 0
    found = silent_percents(said, heard, judge(said, heard, SPAN_S))
    assert max(known(found)) > 0.0


def test_a_changed_delay_is_no_loss(said):
    half = round(SECONDS / 2 * RATE_HZ)
    heard = np.concatenate(
        (said[:half], np.zeros(RATE_HZ // 10, np.int16), said[half:])
    )
    found = judge(said, later(heard, 80.0), SPAN_S)
    assert found.lost_percent < 2.0
    assert {round(x) for x in found.delay_ms if not math.isnan(x)} >= {80, 180}


def test_another_voice_is_all_lost(said):
    other = speech_signal.conversation(np.random.default_rng(5), SECONDS)
    found = judge(said, later(other, 80.0), SPAN_S)
    assert found.lost_percent == 100.0
    assert all(math.isnan(x) for x in found.delay_ms)


def test_without_speech_there_is_no_share():
    silence = np.zeros(RATE_HZ, np.int16)
    assert math.isnan(judge(silence, silence, (0.0, 1.0)).lost_percent)


def test_the_delay_is_back_when_it_stays_usual():
    times = tuple(x / 10 for x in range(200))
    # 80 ms; from 10 s on 300 ms; a single 80 at 11 s; from 12.5 s on 90 ms.
    delays = [80.0] * 100 + [300.0] * 25 + [90.0] * 75
    delays[110] = 80.0
    hearing = Hearing(times, tuple(delays), 0.0)
    assert back_s(hearing, 10.0, 10.5, 20.0) == pytest.approx(2.0)
    assert math.isnan(back_s(hearing, 10.0, 10.5, 12.0))


def test_a_delay_that_never_changed_is_back_at_once():
    times = tuple(x / 10 for x in range(200))
    hearing = Hearing(times, (80.0,) * 200, 0.0)
    assert back_s(hearing, 10.0, 10.2, 20.0) == pytest.approx(0.0)


def test_silence_during_a_gap_is_not_a_usual_delay():
    times = tuple(x / 10 for x in range(200))
    delays = (80.0,) * 100 + (math.nan,) * 40 + (85.0,) * 60
    hearing = Hearing(times, delays, 0.0)
    assert back_s(hearing, 10.0, 12.0, 20.0) == pytest.approx(2.0)
