"""Effect of clock drift: cards off by 200 ppm, one fast, one slow.

`python -m tests.bench --only clocks --minutes 10` is a longer call between cards that
are off by 300 ppm.
"""

import numpy as np

from tests.bench import shared_calls
from tests.bench.bench_run import BenchRun
from tests.bench.call_figures import CallFigures, Reception
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, extremes, one, spread

EDGE_S = 10.0
"""Length of start and end, whose medians are compared."""
EVEN_MS = 10.0
NEAR_MS = 25.0
WAYS = ("slow to fast", "fast to slow")


async def measure(run: BenchRun) -> Section:
    """Speak in both directions at once and measure the change of the delay."""
    ours = await shared_calls.plain_call(run)
    rival = await shared_calls.rival_plain_call(run)
    seconds = run.plan.call_s
    rows: list[Row] = []
    for mine, theirs, way in zip(
        _receptions(ours), _receptions(rival), WAYS, strict=True
    ):
        rows += _rows(way, mine, theirs, seconds)
    return Section(f"Clocks 400 ppm apart for {seconds:.0f} s", tuple(rows))


async def measure_long(run: BenchRun) -> Section:
    """Speak for minutes and measure how far the delay departs from the start's."""
    receptions = _receptions(await shared_calls.clocks_call(run))
    rows: list[Row] = []
    for reception, way in zip(receptions, WAYS, strict=True):
        rows += [
            Row(name=f"delay, {way}", unit="ms", ours=spread(reception.delay_ms)),
            Row(
                name=f"delay, difference to the first {EDGE_S:.0f} s, {way}",
                unit="ms",
                ours=departed(reception),
                goal=Goal(NEAR_MS, "high"),
                note=_far_times(reception),
            ),
            Row(
                name=f"silent blocks within sound, {way}",
                unit="%",
                ours=_silent(reception),
                goal=Goal(0.0),
                note=_silent_times(reception),
            ),
            Row(
                name=f"moments not recognised, {way}",
                unit="%",
                ours=_unlike(reception),
            ),
        ]
    apart, minutes = 2 * shared_calls.FAR_PPM, run.plan.clocks_minutes
    return Section(f"Clocks {apart:.0f} ppm apart for {minutes:g} min", tuple(rows))


def departed(reception: Reception) -> Spread | None:
    """Return the differences of the delays to their median at the start."""
    return extremes([ms for _, ms in _differences(reception)])


def _differences(reception: Reception) -> list[tuple[float, float]]:
    """Return for each moment the seconds from the start, and the difference in ms."""
    pairs = zip(reception.at_s, reception.delay_ms, strict=True)
    known = [(at_s - reception.at_s[0], ms) for at_s, ms in pairs if not np.isnan(ms)]
    start = spread([ms for at_s, ms in known if at_s <= EDGE_S])
    return [] if start is None else [(at, abs(ms - start.median)) for at, ms in known]


def _far_times(reception: Reception) -> str:
    """Return when the delay departed too far, for the first few moments."""
    return _first_times([at for at, ms in _differences(reception) if ms > NEAR_MS])


def _silent_times(reception: Reception) -> str:
    """Return when there were silent blocks, for the first few."""
    pairs = zip(reception.at_s, reception.silent_each, strict=True)
    return _first_times([at - reception.at_s[0] for at, x in pairs if x > 0.0])


def _first_times(times_s: list[float]) -> str:
    if not times_s:
        return ""
    shown = ", ".join(f"{at_s:.1f}" for at_s in times_s[:10])
    return f"{len(times_s)} times, after {shown} s"


def _receptions(figures: CallFigures) -> tuple[Reception, Reception]:
    assert figures.receptions is not None
    return figures.receptions


def _rows(way: str, ours: Reception, rival: Reception, seconds: float) -> list[Row]:
    return [
        Row(
            name=f"delay, {way}",
            unit="ms",
            ours=spread(ours.delay_ms),
            rival=spread(rival.delay_ms),
        ),
        Row(
            name=f"grown from start to end, {way}",
            unit="ms",
            ours=grown(ours, seconds),
            rival=grown(rival, seconds),
            goal=Goal(EVEN_MS),
        ),
        Row(
            name=f"silent blocks within sound, {way}",
            unit="%",
            ours=_silent(ours),
            rival=_silent(rival),
            goal=Goal(0.0),
        ),
        Row(
            name=f"moments not recognised, {way}",
            unit="%",
            ours=_unlike(ours),
            rival=_unlike(rival),
        ),
    ]


def grown(reception: Reception, seconds: float) -> Spread | None:
    """Return the change of the delay from start to end."""
    edge_s = min(EDGE_S, seconds / 3)
    pairs = list(zip(reception.at_s, reception.delay_ms, strict=True))
    if not pairs:
        return None
    first_s, last_s = reception.at_s[0] + edge_s, reception.at_s[-1] - edge_s
    start = spread([ms for at_s, ms in pairs if at_s <= first_s])
    end = spread([ms for at_s, ms in pairs if at_s >= last_s])
    if start is None or end is None:
        return None
    return one(abs(end.median - start.median))


def _silent(reception: Reception) -> Spread | None:
    return None if np.isnan(reception.silent_percent) else one(reception.silent_percent)


def _unlike(reception: Reception) -> Spread | None:
    if not reception.delay_ms:
        return None
    return one(100.0 * float(np.isnan(reception.delay_ms).mean()))
