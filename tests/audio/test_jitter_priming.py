"""What far ends get while a track is new, so that they all keep sound equally long."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.dsp import QUIET_PEAK, level_dbfs
from appliance.audio.jitter_priming import (
    FAINT,
    FAINT_BLOCKS,
    FIRST_STEP_BLOCKS,
    HUSH_BLOCKS,
    PAUSE_BLOCKS,
    SOON_BLOCKS,
    SPELLS,
    STEPS,
    JitterPriming,
)
from appliance.pcm import SILENCE

LOUD = np.full(480, 5000, np.int16)
QUIET = np.full(480, QUIET_PEAK, np.int16)
NOTHINGS = [SILENCE, np.zeros(480, np.int16), QUIET]
LONG_PACKETS = FIRST_STEP_BLOCKS + STEPS * PAUSE_BLOCKS


def left(settle, packets):
    """Return what is sent for so many packets of silence."""
    return [settle.filled((SILENCE, SILENCE)) for _ in range(packets)]


def test_a_new_track_says_nothing_then_something_faint_and_then_what_it_is_given():
    sent = left(JitterPriming(), FAINT_BLOCKS)
    hush, faint = HUSH_BLOCKS // 2, FAINT_BLOCKS // 2
    assert all(packet == () for packet in sent[:hush])
    assert all(one is FAINT for packet in sent[hush:faint] for one in packet)
    assert all(one is SILENCE for packet in sent[faint:] for one in packet)


def test_after_the_last_step_something_faint_begins_again_and_again():
    settle = JitterPriming()
    for _ in range(STEPS):
        left(settle, LONG_PACKETS)
        settle.step()
    sent = left(settle, SPELLS[-1][1])
    is_faint = [packet[0] is FAINT for packet in sent]
    edges = np.flatnonzero(np.diff([False, *is_faint, False])) * 2
    assert edges.tolist() == [edge for spell in SPELLS for edge in spell]


def test_for_those_who_come_later_it_begins_again_and_the_track_never_pauses():
    settle = JitterPriming()
    left(settle, LONG_PACKETS)
    for _ in range(STEPS):
        settle.step()
        left(settle, LONG_PACKETS)
    settle.repeat()
    sent = left(settle, LONG_PACKETS)
    silence, faint = SOON_BLOCKS // 2, (FAINT_BLOCKS - HUSH_BLOCKS + SOON_BLOCKS) // 2
    assert all(one is SILENCE for packet in sent[:silence] for one in packet)
    assert all(one is FAINT for packet in sent[silence:faint] for one in packet)
    assert all(one is SILENCE for packet in sent[faint:] for one in packet)
    assert all(sent)
    assert settle.is_step_due


def test_before_what_is_faint_comes_nothing_may_be_late():
    settle = JitterPriming()
    left(settle, LONG_PACKETS)
    assert not settle.is_prompt
    settle.repeat()
    assert settle.is_prompt


def test_what_is_faint_is_far_below_any_room_and_fits_onto_itself_every_2_5_ms():
    assert level_dbfs(FAINT) < -80
    assert (np.tile(FAINT, 2)[120:600] == FAINT).all()
    assert any((np.roll(FAINT, n) != FAINT).any() for n in range(1, 120))


@given(st.lists(st.sampled_from([LOUD, *NOTHINGS]), max_size=2 * FAINT_BLOCKS))
def test_what_can_be_heard_is_sent_as_it_is_and_at_once(blocks):
    settle = JitterPriming()
    for packet in zip(blocks[::2], blocks[1::2], strict=False):
        sent = settle.filled(packet)
        assert len(sent) in {0, 2}
        for given_one, sent_one in zip(packet, sent, strict=bool(sent)):
            assert sent_one is given_one or (
                sent_one is FAINT and given_one is not LOUD
            )
        assert sent or not any(one is LOUD for one in packet)


@pytest.mark.parametrize("busy_blocks", [0, 1000])
def test_half_a_block_is_left_out_twice_and_what_far_ends_remember_apart(busy_blocks):
    settle, steps = JitterPriming(), []
    for block in range(2, 2 * LONG_PACKETS + busy_blocks, 2):
        settle.filled((SILENCE, SILENCE))
        if block > busy_blocks and settle.is_step_due:
            settle.step()
            steps.append(block)
    assert len(steps) == STEPS
    assert steps[0] >= FIRST_STEP_BLOCKS
    assert (np.diff(steps) >= PAUSE_BLOCKS).all()


def test_another_track_begins_again():
    settle = JitterPriming()
    left(settle, LONG_PACKETS)
    settle.step()
    settle.restart()
    assert left(settle, 1) == [()]
    assert not settle.is_step_due
    left(settle, LONG_PACKETS)
    assert settle.is_step_due
