"""Effect of clock drift: cards off by 200 ppm, one fast, one slow."""

import numpy as np

from tests.bench import situations
from tests.bench.report import Goal, Row, Section
from tests.bench.scene import Reception, Scene
from tests.bench.spread import Spread, one, spread
from tests.bench.venue import Venue

EDGE_S = 10.0
"""Length of start and end, whose medians are compared."""
EVEN_MS = 10.0
WAYS = ("slow to fast", "fast to slow")


async def measure(venue: Venue) -> Section:
    """Speak in both directions at once and measure the change of the delay."""
    ours = await situations.plain_call(venue)
    rival = await situations.rival_plain_call(venue)
    seconds = venue.plan.call_s
    rows: list[Row] = []
    for mine, theirs, way in zip(
        _receptions(ours), _receptions(rival), WAYS, strict=True
    ):
        rows += _rows(way, mine, theirs, seconds)
    return Section(f"Clocks 400 ppm apart for {seconds:.0f} s", tuple(rows))


def _receptions(scene: Scene) -> tuple[Reception, Reception]:
    assert scene.receptions is not None
    return scene.receptions


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
