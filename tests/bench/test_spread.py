"""The three numbers that stand for many values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.spread import bucket, extremes, growth, one, spread

numbers = st.floats(-1e6, 1e6)


def test_few_values_show_their_extremes():
    found = spread([3.0, 1.0, 2.0])
    assert found
    assert (found.low, found.median, found.high, found.count) == (1.0, 2.0, 3.0, 3)


def test_many_values_show_their_5th_and_95th_percentile():
    found = spread([float(x) for x in range(101)])
    assert found
    assert (found.low, found.median, found.high) == (5.0, 50.0, 95.0)


def test_missing_measurements_do_not_count():
    assert spread([math.nan, 2.0, math.nan]) == one(2.0)


def test_the_worst_value_is_shown_where_it_counts():
    found = extremes([0.0] * 30 + [12.0])
    assert found
    assert (found.low, found.median, found.high) == (0.0, 0.0, 12.0)
    assert extremes([]) is None


def test_what_never_ends_is_infinite_beside_a_number():
    found = extremes([2.0, math.inf])
    assert found
    assert (found.low, found.median, found.high) == (2.0, math.inf, math.inf)


def test_nothing_measured_has_no_spread():
    assert spread([math.nan]) is None
    assert spread([]) is None


@given(st.lists(numbers, min_size=1, max_size=200))
def test_the_median_lies_between_low_and_high(values):
    found = spread(values)
    assert found
    assert found.low <= found.median <= found.high


def test_growth_compares_start_and_end():
    assert growth([10.0, 10.0, 99.0, 0.0, 11.0, 11.5, 13.0, 13.0]) == 3.0


@given(numbers)
def test_a_constant_value_does_not_grow(value):
    assert growth([value] * 5) == 0.0


@pytest.mark.parametrize(
    ("share", "bound"), [(0.05, 0.005), (0.5, 0.01), (0.95, 0.1), (1.0, math.inf)]
)
def test_a_share_of_a_histogram_lies_below_a_bound(share, bound):
    counts = [(0.005, 10), (0.01, 60), (0.025, 90), (0.1, 99), (math.inf, 100)]
    assert bucket(counts, share) == bound
