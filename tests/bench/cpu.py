"""CPU time of each process, in per cent of one core.

Ours and the SDK's own are in their calls at the same time: what else the machine does,
and how fast it happens to be, is the same for both.
"""

import asyncio

from tests.bench import situations
from tests.bench.report import Goal, Row, Section
from tests.bench.scene import Scene, Usage
from tests.bench.spread import Spread, spread
from tests.bench.venue import Venue

SEATS = ("page and screen on", "both off")


async def measure(venue: Venue) -> Section:
    """Read the CPU in a call and in silence, ours and the SDK's own."""
    plain, rival_plain = await asyncio.gather(
        situations.short_plain_call(venue), situations.rival_short_plain_call(venue)
    )
    call, rival_call = await asyncio.gather(
        situations.call(venue), situations.rival_call(venue)
    )
    silent, rival_meanwhile = await asyncio.gather(
        situations.silence(venue), situations.rival_short_plain_call(venue)
    )
    off, on = "two-way call, processing off", "two-way call, processing on"
    return Section(
        "CPU of one core",
        (
            *_rows(off, plain, rival_plain, 1.0, "MediaDevices"),
            *_rows(on, call, rival_call, 1.0, "MediaDevices with its own"),
            *_rows("joined and silent", silent, rival_meanwhile, 0.5, "half its call"),
        ),
    )


def threads(venue: Venue) -> str:
    """Return which threads used the CPU in everything that was measured."""
    lines = []
    for key, scene in venue.scenes.items():
        kinds = key[0] if isinstance(key, tuple) else ()
        for kind, usage in zip(kinds, scene.usage, strict=True):
            lines += [str(kind), *_threads(usage)]
    return "\n".join(lines)


def _rows(name: str, ours: Scene, rival: Scene, share: float, words: str) -> list[Row]:
    """Return a row for each seat; the rival was in a call at the same time."""
    most = _both(rival)
    goal = Goal(most.median * share, words=words) if most else None
    return [
        Row(
            name=f"{name}, {seat}",
            unit="%",
            ours=spread(usage.cpu_percent),
            rival=most,
            goal=goal,
        )
        for usage, seat in zip(ours.usage, SEATS, strict=True)
    ]


def _both(scene: Scene) -> Spread | None:
    """Return the spread over both ends, which are alike."""
    return spread([x for usage in scene.usage for x in usage.cpu_percent])


def _threads(usage: Usage) -> list[str]:
    shares = sorted(usage.threads_percent.items(), key=lambda x: -x[1])
    return [f"    {percent:6.2f} %  {name}" for name, percent in shares]
