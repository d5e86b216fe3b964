"""Figures that the sections of the benchmark compute from readings."""

import math

import numpy as np
import pytest

from tests.bench import agent, clock_drift, shutdown
from tests.bench.bench_run import Exit
from tests.bench.call_figures import Reception
from tests.bench.spread import one


def test_growth_of_the_delay_counts_in_both_directions():
    times = [float(x) for x in range(60)]
    shrinking = clock_drift.grown(
        Reception(times, [100.0 - x for x in times], 0.0), 60.0
    )
    assert shrinking
    assert shrinking.median == pytest.approx(49.0, abs=1.0)
    assert clock_drift.grown(Reception(times, [60.0] * 60, 0.0), 60.0) == one(0.0)


def test_a_delay_that_was_never_found_has_not_grown():
    assert (
        clock_drift.grown(Reception([1.0, 2.0], [math.nan, math.nan], 0.0), 60.0)
        is None
    )
    assert clock_drift.grown(Reception([], [], 0.0), 60.0) is None


def test_a_killed_process_is_no_clean_exit():
    exits = [Exit(True, 0, 0.2), Exit(True, -9, None), Exit(False, 0, 0.1)]
    times, unclean = shutdown.rows(exits)
    assert times.ours == one(0.2)
    assert unclean.ours == one(1.0)
    assert unclean.rival == one(0.0)
    assert unclean.note == "statuses -9"


def test_an_agent_is_silent_after_its_last_loud_sample():
    hum = np.full(48_000, 8000, np.int16)
    hum[9_600:] = 0
    assert agent.silent_after_ms(hum, 0.1) == pytest.approx(100, abs=2)


def test_an_agent_that_is_never_silent_or_never_heard_gives_no_figure():
    assert math.isnan(agent.silent_after_ms(np.full(48_000, 8000, np.int16), 0.1))
    assert math.isnan(agent.silent_after_ms(np.zeros(48_000, np.int16), 0.1))


def test_a_delay_that_departs_for_a_moment_is_found():
    times = [float(x) for x in range(60)]
    delays = [60.0] * 60
    delays[40], delays[50] = 90.0, math.nan
    found = clock_drift.departed(Reception(times, delays, 0.0))
    assert found
    assert (found.low, found.high) == (0.0, 30.0)
    assert clock_drift.departed(Reception([1.0], [math.nan], 0.0)) is None
