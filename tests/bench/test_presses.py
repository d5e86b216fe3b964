"""Speech lost at the start and at the end of a talk."""

import numpy as np
import pytest

from tests.bench.presses import lost, lost_word
from tests.bench.speech_signal import RATE_HZ, RELEASE_S, talk, word

SPAN_S = (0.2, 0.7)
FIRST, LAST = (round(x * RATE_HZ) for x in SPAN_S)
DELAY = round(0.06 * RATE_HZ)
VOICE_S = 0.5


@pytest.fixture
def said():
    return talk(np.random.default_rng(7), 0.9)


def heard_later(said, start=FIRST, end=LAST):
    """What passed the gate, 60 ms later."""
    heard = np.zeros(len(said) + RATE_HZ, np.int16)
    heard[start + DELAY : end + DELAY] = said[start:end]
    return heard


def test_a_talk_that_is_only_delayed_has_no_loss(said):
    found = lost(said, heard_later(said), SPAN_S)
    assert found.delay_s == pytest.approx(0.06, abs=0.001)
    assert found.lost_start_ms + found.lost_within_ms + found.lost_end_ms == 0


@pytest.mark.parametrize("missing_ms", [10, 30, 80])
def test_a_cut_beginning_or_end_is_found(said, missing_ms):
    missing = missing_ms * RATE_HZ // 1000
    start = lost(said, heard_later(said, start=FIRST + missing), SPAN_S)
    end = lost(said, heard_later(said, end=LAST - missing), SPAN_S)
    for found in (start, end):
        total_ms = found.lost_start_ms + found.lost_within_ms + found.lost_end_ms
        assert total_ms == pytest.approx(missing_ms, abs=6)
    assert start.lost_start_ms == pytest.approx(missing_ms, abs=6)
    assert end.lost_end_ms == pytest.approx(missing_ms, abs=6)


def test_a_long_cut_is_not_mistaken_for_another_delay(said):
    found = lost(said, heard_later(said, start=FIRST + round(0.2 * RATE_HZ)), SPAN_S)
    assert found.lost_start_ms > 50


def test_a_hole_is_found(said):
    heard = heard_later(said)
    heard[FIRST + DELAY + 9600 : FIRST + DELAY + 9600 + 960] = 0
    found = lost(said, heard, SPAN_S)
    assert found.lost_within_ms == pytest.approx(20, abs=6)
    assert found.lost_start_ms == 0


def test_time_compression_of_a_talk_is_no_loss(said):
    """Time compression as by a jitter buffer: 8 ms removed at several places."""
    heard = np.zeros(len(said) + RATE_HZ, np.int16)
    at = FIRST + DELAY
    for first in range(FIRST, LAST, 4800):
        heard[at : at + 4800] = said[first : first + 4800]
        at += 4800 - 384
    found = lost(said, heard, SPAN_S)
    assert found.lost_start_ms == found.lost_end_ms == 0
    assert found.lost_within_ms <= 5 * 8 + 6


@pytest.mark.parametrize("closure_s", [0.05, 0.09])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_missing_plosive_is_lost_at_its_end_of_the_word(closure_s, seed):
    rng = np.random.default_rng(seed)
    said = word(rng, VOICE_S, closure_s)
    release = round(RELEASE_S * RATE_HZ)
    found = [
        lost_word(said, among_noise(rng, said, since, until), (0.0, VOICE_S), 0.15)
        for since, until in ((0, None), (release, None), (0, -release))
    ]
    lost_ms = [(x.lost_start_ms, x.lost_end_ms) for x in found]
    assert lost_ms == [(0, 0), (pytest.approx(15, abs=5), 0), (0, 15)]


@pytest.mark.parametrize("earlier_ms", [-60, 0, 40])
def test_a_plosive_after_a_closure_of_another_length_is_not_lost(earlier_ms):
    rng = np.random.default_rng(4)
    said = word(rng, VOICE_S, 0.07)
    voice = round((VOICE_S + 0.01) * RATE_HZ)
    heard = among_noise(rng, said, 0, voice)
    plosive = said[-round(RELEASE_S * RATE_HZ) :]
    at = DELAY + len(said) - len(plosive) - earlier_ms * RATE_HZ // 1000
    heard[at : at + len(plosive)] += plosive
    found = lost_word(said, heard, (0.0, VOICE_S), 0.15)
    assert found.lost_start_ms == found.lost_end_ms == 0


def among_noise(rng, said, since, until):
    """Return this part of the word 60 ms later, among faint noise."""
    heard = rng.normal(0.0, 20.0, len(said) + RATE_HZ).astype(np.int16)
    until = len(said) if until is None else until % len(said)
    heard[DELAY + since : DELAY + until] += said[since:until]
    return heard
