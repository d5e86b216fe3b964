import numpy as np
import pytest

from tests.bench.gate import lost
from tests.bench.sound import RATE_HZ, talk

SPAN_S = (0.2, 0.7)
FIRST, LAST = (round(x * RATE_HZ) for x in SPAN_S)
DELAY = round(0.06 * RATE_HZ)


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
