"""The simulated room, and what both kinds of processing do in it."""

import math

import numpy as np
import pytest

from tests.bench import echo, speech_signal
from tests.bench.acoustics import (
    AIR_S,
    CARD_S,
    Acoustics,
    captured,
    impulse_response,
)
from tests.bench.speech_signal import RATE_HZ
from tests.card.measure import lag

PART_S = 4.0


@pytest.fixture(scope="module")
def made():
    return echo.talks(PART_S)


@pytest.mark.parametrize("ppm", [0.0, 100.0])
def test_our_processing_removes_the_echo_of_a_room_and_keeps_the_near_end(ppm, made):
    room = Acoustics(reverberation_s=0.2, echo_db=-12.0, drive=1.0, ppm=ppm)
    found = echo.judged(lambda two: echo.Appliance(has_two_cards=two), room, made)
    assert np.nanmedian(found.reduced_db) > 25
    assert found.converged_s < 4 * PART_S
    assert found.softer_db < echo.SOFTER_DB
    assert found.cut_percent < 50


def test_without_processing_no_echo_is_removed_and_nothing_is_cut(made):
    class Wire:
        def play(self, _block, _at_s):
            """Ignore it."""

        def capture(self, block, _at_s):
            return block

    found = echo.judged(lambda _: Wire(), Acoustics(0.2, echo_db=-30.0), made)
    assert np.nanmax(found.reduced_db) == pytest.approx(0.0, abs=0.1)
    assert math.isnan(found.converged_s)
    assert found.cut_percent == 0.0


@pytest.mark.parametrize("reverberation_s", [0.15, 0.3])
def test_a_room_has_the_ordered_level_and_decay(reverberation_s):
    room = Acoustics(reverberation_s, echo_db=-10.0)
    response = impulse_response(room, np.random.default_rng(1))
    assert np.sqrt((response**2).sum()) == pytest.approx(10 ** (-10 / 20))
    assert np.argmax(np.abs(response)) == round((CARD_S + AIR_S) * RATE_HZ)
    ending = response[-RATE_HZ // 100 :]
    assert np.abs(ending).max() < np.abs(response).max() / 100


def test_the_echo_of_a_faster_card_comes_earlier_and_earlier():
    played = speech_signal.talk(np.random.default_rng(1), 11.0)
    room = Acoustics(0.15, echo_db=-6.0, ppm=100.0)
    heard = captured(room, played, np.zeros_like(played), np.random.default_rng(2))
    late = []
    for at_s in (0.0, 10.0):
        first = round(at_s * RATE_HZ)
        said = played[first : first + RATE_HZ // 2]
        late.append(lag(said, heard[first : first + RATE_HZ], RATE_HZ // 2)[0])
    assert late[0] - late[1] == pytest.approx(10 * 200e-6 * RATE_HZ, abs=3)
