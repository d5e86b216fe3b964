"""Which blocks are left out, so that far ends hold back less."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.block import SILENCE
from appliance.sound.dsp import BLOCK_FRAMES, level_dbfs
from appliance.sound.gate import SILENT_DBFS
from appliance.sound.trim import FIRST_BLOCKS, LATER_BLOCKS, Trim

LOUD = np.full(480, 5000, np.int16)
NOISE = np.full(480, 20, np.int16)
DAY_BLOCKS = 100_000


def left_out(trim, blocks):
    """Return the places of the blocks that are left out."""
    return [place for place, block in enumerate(blocks) if trim.leaves_out(block)]


def test_a_box_that_is_never_spoken_into_trims_once_and_never_again():
    assert left_out(Trim(), [SILENCE] * DAY_BLOCKS) == [FIRST_BLOCKS - 1]


def test_later_ones_come_in_the_pause_after_a_talk_and_a_minute_apart():
    day = ([LOUD] * 300 + [SILENCE] * 700) * 20
    found = left_out(Trim(), day)
    assert all(day[place] is SILENCE for place in found)
    gaps = np.diff(found)
    assert len(gaps) > 1
    assert all(LATER_BLOCKS <= gap < LATER_BLOCKS + 1000 for gap in gaps)


def test_a_room_that_is_quiet_enough_counts_as_a_pause():
    assert level_dbfs(NOISE) < SILENT_DBFS
    assert left_out(Trim(), [LOUD] * FIRST_BLOCKS + [NOISE]) == [FIRST_BLOCKS]


def test_another_track_begins_again():
    trim = Trim()
    left_out(trim, [SILENCE] * DAY_BLOCKS)
    trim.restart()
    assert len(left_out(trim, [SILENCE] * DAY_BLOCKS)) == 1


def test_what_the_card_loses_takes_the_place_of_a_block_that_is_left_out():
    trim = Trim()
    left_out(trim, [SILENCE] * (FIRST_BLOCKS - 1))
    trim.lose(BLOCK_FRAMES)
    assert left_out(trim, [SILENCE] * DAY_BLOCKS) == []
    assert left_out(trim, [LOUD, SILENCE]) == [1]


def test_a_callback_that_was_only_late_has_lost_nothing():
    trim = Trim()
    trim.lose(BLOCK_FRAMES - 1)
    assert len(left_out(trim, [SILENCE] * DAY_BLOCKS)) == 1


@given(st.lists(st.tuples(st.sampled_from([LOUD, NOISE, SILENCE]), st.integers(1, 99))))
def test_what_can_be_heard_is_never_left_out_and_steps_keep_their_distance(story):
    blocks = [block for block, count in story for _ in range(count)]
    found = left_out(Trim(), blocks)
    assert not any(blocks[place] is LOUD for place in found)
    assert all(gap >= LATER_BLOCKS for gap in np.diff(found))
