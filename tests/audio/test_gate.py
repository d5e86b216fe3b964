"""Tests of the talk gate: pre-roll, tail and fades."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.dsp import FADE_FRAMES
from appliance.audio.gate import SILENT_BLOCKS, Gate
from appliance.pcm import BLOCK_FRAMES, SILENCE

LOUD = np.full(BLOCK_FRAMES, 6000, np.int16)
QUIET = np.full(BLOCK_FRAMES, 5, np.int16)
MAX_STEP = 1600
"""0.05 of full scale: a larger step within one sample clicks."""


def numbered(number: int) -> np.ndarray:
    return np.full(BLOCK_FRAMES, 1000 + number, np.int16)


def test_a_closed_gate_returns_silence_for_each_block():
    gate = Gate(pre_roll_ms=0)
    assert gate.apply(LOUD) is SILENCE


def test_the_first_block_after_opening_is_faded_in():
    gate = Gate(pre_roll_ms=0)
    gate.open()
    passed = gate.apply(LOUD)
    assert passed[0] == 0
    assert (passed[FADE_FRAMES:] == 6000).all()
    assert (gate.apply(LOUD) == 6000).all()


def closed_at_once(pre_roll_ms, captured):
    """Return what is sent for this block after a talk was closed without a tail."""
    gate = Gate(pre_roll_ms)
    gate.open()
    sent = [gate.apply(LOUD) for _ in range(10)]
    gate.close(tail_ms=0)
    assert not gate.is_open
    return np.concatenate((sent[-1], gate.apply(captured), gate.apply(captured)))


@pytest.mark.parametrize("pre_roll_ms", [0, 30])
def test_closing_without_a_tail_passes_no_further_sample(pre_roll_ms):
    other = -LOUD[::-1]
    sent = closed_at_once(pre_roll_ms, LOUD)
    assert (sent == closed_at_once(pre_roll_ms, other)).all()
    assert not sent[BLOCK_FRAMES + FADE_FRAMES :].any()


@pytest.mark.parametrize("pre_roll_ms", [0, 30])
def test_closing_without_a_tail_does_not_click(pre_roll_ms):
    sent = closed_at_once(pre_roll_ms, LOUD)
    assert np.abs(np.diff(sent.astype(int))).max() < MAX_STEP


def test_a_talk_after_one_that_was_closed_at_once_does_not_click():
    gate = Gate(pre_roll_ms=0)
    gate.open()
    gate.apply(LOUD)
    gate.close(tail_ms=0)
    first = gate.apply(LOUD)
    gate.open()
    sent = np.concatenate((first, gate.apply(LOUD)))
    assert np.abs(np.diff(sent.astype(int))).max() < MAX_STEP


def test_a_loud_tail_has_the_configured_length_and_is_faded_out():
    gate = Gate(pre_roll_ms=0)
    gate.open()
    gate.apply(LOUD)
    gate.close(tail_ms=50)
    tail = [gate.apply(LOUD) for _ in range(6)]
    assert [bool(block.any()) for block in tail] == [True] * 5 + [False]
    assert tail[3][-1] == 6000
    assert tail[4][-1] == 0


def test_silence_ends_the_tail_early():
    gate = Gate(pre_roll_ms=0)
    gate.open()
    gate.apply(LOUD)
    gate.close(tail_ms=500)
    for _ in range(SILENT_BLOCKS):
        assert gate.is_open
        gate.apply(QUIET)
    assert not gate.is_open


def test_a_plosive_inside_a_word_does_not_end_the_tail():
    gate = Gate(pre_roll_ms=0)
    gate.open()
    gate.close(tail_ms=500)
    for _ in range(SILENT_BLOCKS - 1):
        gate.apply(QUIET)
    gate.apply(LOUD)
    gate.apply(QUIET)
    assert gate.is_open


def test_a_press_during_the_tail_continues_without_a_gap():
    gate = Gate(pre_roll_ms=0)
    gate.open()
    gate.apply(LOUD)
    gate.close(tail_ms=100)
    gate.apply(LOUD)
    gate.open()
    assert all((gate.apply(LOUD) == 6000).all() for _ in range(30))


def test_the_pre_roll_sends_the_sound_from_before_the_press():
    gate = Gate(pre_roll_ms=30)
    for number in range(5):
        gate.apply(numbered(number))
    gate.open()
    sent = [gate.apply(numbered(number)) for number in range(5, 9)]
    assert [block[-1] - 1000 for block in sent] == [2, 3, 4, 5]


def test_a_pre_roll_that_is_longer_than_what_was_captured_begins_with_silence():
    gate = Gate(pre_roll_ms=30)
    gate.open()
    sent = [gate.apply(numbered(number)) for number in range(5)]
    assert [int(block[-1]) for block in sent] == [0, 0, 0, 1000, 1001]


def test_sound_from_before_the_pre_roll_was_cleared_is_not_sent():
    gate = Gate(pre_roll_ms=30)
    for number in range(5):
        gate.apply(numbered(number))
    gate.clear()
    gate.apply(numbered(5))
    gate.open()
    sent = [gate.apply(numbered(number)) for number in range(6, 10)]
    assert [int(block[-1]) for block in sent] == [0, 0, 1005, 1006]


@given(
    st.lists(
        st.one_of(
            st.just("open"),
            st.integers(0, 300).map(lambda tail_ms: tail_ms),
            st.booleans(),
        ),
        max_size=120,
    ),
    st.sampled_from([0, 10, 50]),
)
def test_a_closed_gate_never_passes_captured_sound(story, pre_roll_ms):
    gate = Gate(pre_roll_ms)
    for turn in story:
        if turn == "open":
            gate.open()
        elif isinstance(turn, bool):
            was_open = gate.is_open
            passed = gate.apply(LOUD if turn else QUIET)
            assert passed.shape == (BLOCK_FRAMES,)
            # The fade after a hard end is made of the last sample that was sent.
            assert was_open or passed is SILENCE or not passed[FADE_FRAMES:].any()
        else:
            gate.close(turn)


CLOSURES_MS = [50, 60, 90, 120, 140]


@pytest.mark.parametrize("closure_ms", CLOSURES_MS)
def test_the_sound_after_the_closure_of_a_final_plosive_is_sent(closure_ms):
    gate = Gate(pre_roll_ms=0)
    gate.open()
    gate.apply(LOUD)
    gate.close(tail_ms=250)
    for _ in range(closure_ms // 10):
        gate.apply(QUIET)
    assert all(gate.apply(LOUD).any() for _ in range(6))


def test_a_pre_roll_without_a_tail_sends_what_was_said_until_the_release():
    """The core adds the pre-roll to the tail, because the whole talk is that late."""
    gate = Gate(pre_roll_ms=30)
    gate.open()
    for number in range(10):
        gate.apply(numbered(number))
    gate.close(tail_ms=30)
    sent = [gate.apply(numbered(number)) for number in range(10, 20)]
    assert max(int(block.max()) for block in sent) == 1009
    assert not gate.is_open


def test_closing_at_once_drops_the_pre_roll_too():
    gate = Gate(pre_roll_ms=30)
    gate.open()
    for number in range(10):
        gate.apply(numbered(number))
    gate.close(tail_ms=0)
    gate.apply(numbered(10))
    assert gate.apply(numbered(11)) is SILENCE
