"""Many measurements in three numbers; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ENOUGH = 20
"""From here on the 5th and 95th percentile say more than the extremes."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Low, median and high of what was measured.

    p5, p50 and p95 of `ENOUGH` values or more; of fewer, the smallest, the median and
    the largest.
    """

    low: float
    median: float
    high: float
    values: tuple[float, ...]
    """All of them, for those who want to look closer."""

    @property
    def count(self) -> int:
        """How many values there are."""
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
    """Return smallest, median and largest, where the worst is what counts."""
    if not values:
        return None
    low, median, high = np.percentile(values, (0, 50, 100))
    return Spread(float(low), float(median), float(high), tuple(values))


def one(value: float) -> Spread:
    """Return the spread of a single value."""
    return Spread(value, value, value, (value,))


def growth(values: Sequence[float]) -> float:
    """Return by how much the last quarter lies above the first, by their medians."""
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
