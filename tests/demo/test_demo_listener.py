import numpy as np
import pytest

from appliance.demo.listener import LONGEST_BLOCKS, Listener

QUIET = np.zeros(480, np.int16)
LOUD = np.full(480, 3000, np.int16)


def talks(*runs):
    """Play runs of (block, how many) to a listener; return what it took for talks."""
    listener = Listener()
    at_s, found = 50.0, []
    for block, count in runs:
        for _ in range(count):
            found.append(listener.take(block, at_s))
            at_s += 0.01
    return [talk for talk in found if talk is not None]


def test_a_talk_ends_with_half_a_second_of_silence():
    (talk,) = talks((QUIET, 100), (LOUD, 80), (QUIET, 60))
    assert talk.sound.at_s == pytest.approx(50.0 + 0.71)
    loud = np.flatnonzero(talk.sound.samples)
    assert len(loud) == 80 * 480


def test_it_is_repeated_with_a_little_silence_around_it():
    (talk,) = talks((QUIET, 100), (LOUD, 80), (QUIET, 60))
    again = talk.sound.samples[talk.first : talk.last]
    assert len(again) == (10 + 80 + 10) * 480
    assert not again[: 10 * 480].any()
    assert again[10 * 480 : 90 * 480].all()


def test_pauses_between_words_do_not_end_a_talk():
    assert len(talks((LOUD, 20), (QUIET, 40), (LOUD, 20), (QUIET, 60))) == 1


def test_two_talks_are_two():
    assert len(talks((LOUD, 20), (QUIET, 60), (LOUD, 20), (QUIET, 60))) == 2


def test_a_talk_from_the_first_block_on_is_whole():
    (talk,) = talks((LOUD, 20), (QUIET, 60))
    assert talk.first == 0
    assert talk.sound.at_s == pytest.approx(50.0)


def test_whoever_never_stops_is_repeated_in_parts():
    first, second = talks((LOUD, 2 * LONGEST_BLOCKS))
    for talk in (first, second):
        assert len(talk.sound.samples) == LONGEST_BLOCKS * 480
        assert talk.last == len(talk.sound.samples)


def test_silence_is_no_talk():
    assert talks((QUIET, 500)) == []
