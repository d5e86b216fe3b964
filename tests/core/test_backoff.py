from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.backoff import (
    JITTER_S,
    LONGEST_S,
    REPLACED_FIRST_S,
    REPLACED_LONGEST_S,
    replaced_wait_s,
    unreachable_wait_s,
    wait_s,
)

failures = st.integers(1, 10**9)
jitters = st.floats(0, 1)


def test_the_waits_double_from_half_a_second_to_the_cap():
    plain = [0.5, 1, 2, 4, 8, 16, 29.75, 29.75]
    for count, expected_s in enumerate(plain, 1):
        assert abs(wait_s(count, 0.5) - expected_s) <= JITTER_S


def test_what_cannot_be_reached_is_tried_every_8_s_for_five_minutes():
    waits = [unreachable_wait_s(count, 0.5) for count in range(1, 43)]
    plain = [0.5, 1, 2, 4, *[8] * 36, 16, 29.75]
    assert waits == pytest.approx(plain, abs=JITTER_S)
    assert 280 < sum(plain[:40]) < 320


@given(failures, jitters)
def test_a_wait_where_nothing_answers_is_never_longer_than_any_other(count, jitter):
    assert 0.25 <= unreachable_wait_s(count, jitter) <= LONGEST_S
    assert unreachable_wait_s(count, jitter) <= wait_s(count, jitter) + 2 * JITTER_S


@given(failures, jitters)
def test_a_wait_is_never_shorter_than_the_first_nor_longer_than_the_cap(count, jitter):
    assert 0.25 <= wait_s(count, jitter) <= LONGEST_S


@given(failures)
def test_boxes_stay_spread_even_at_the_cap(count):
    waits = sorted(wait_s(count, box / 50) for box in range(50))
    gaps = [later - sooner for sooner, later in pairwise(waits)]
    assert max(gaps) < 2 * JITTER_S / 49
    assert waits[-1] - waits[0] > 1.9 * JITTER_S


@given(failures)
def test_a_box_that_was_replaced_waits_for_minutes_and_never_for_hours(count):
    assert REPLACED_FIRST_S <= replaced_wait_s(count) <= REPLACED_LONGEST_S
    assert replaced_wait_s(count) <= replaced_wait_s(count + 1)


def test_a_box_that_was_replaced_again_waits_twice_as_long():
    assert [replaced_wait_s(count) for count in range(1, 7)] == [
        60,
        120,
        240,
        480,
        960,
        1800,
    ]
