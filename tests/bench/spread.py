"""Spread of many measurements in three numbers; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ENOUGH = 20
"""Number of values from which percentiles are shown instead of extremes."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Low, median and high of measured values.

    p5, p50 and p95 of `ENOUGH` values or more; of fewer, the smallest, the median and
    the largest.
    """

    low: float
    median: float
    high: float
    values: tuple[float, ...]
    """All values."""

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.values)


def spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of the values that are numbers; None: there is none."""
    known = np.asarray([x for x in values if not np.isnan(x)], np.float64)
    if not len(known):
        return None
    edges = (5, 50, 95) if len(known) >= ENOUGH else (0, 50, 100)
    low, median, high = np.percentile(known, edges)
    return Spread(float(low), float(median), float(high), tuple(known.tolist()))


def extremes(values: Sequence[float]) -> Spread | None:
    """Return smallest, median and largest value, for figures whose worst counts."""
    if not values:
        return None
    # Not percentiles, which are not numbers beside an infinite value.
    low, median, high = np.min(values), np.median(values), np.max(values)
    return Spread(float(low), float(median), float(high), tuple(values))


def one(value: float) -> Spread:
    """Return the spread of a single value."""
    return Spread(value, value, value, (value,))


def growth(values: Sequence[float]) -> float:
    """Return the difference of the medians of the last and the first quarter."""
    quarter = max(1, len(values) // 4)
    return float(np.median(values[-quarter:]) - np.median(values[:quarter]))


def bucket(counts: Sequence[tuple[float, int]], share: float) -> float:
    """Return the bound below which that share of a histogram's values lies.

    Args:
        counts: upper bound and how many values are at most as large, ascending.
        share: 0-1.
    """
    wanted = share * counts[-1][1]
    return next(bound for bound, count in counts if count >= wanted)
