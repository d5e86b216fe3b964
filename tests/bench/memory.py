"""Memory of each process and its growth."""

import sys

from tests.bench import situations
from tests.bench.box import Ours
from tests.bench.report import Goal, Row, Section
from tests.bench.scene import Scene, Usage
from tests.bench.spread import Spread, growth, one, spread
from tests.bench.venue import Venue

GOALS_MB = (90.0, 60.0)
FLAT_MB = 1.0
"""Our choice: more in a run is not noise."""
SEATS = ("page and screen on", "both off")
UNWANTED = ("starlette", "uvicorn", "luma", "PIL", "smbus2", "segno", "websockets")
"""Packages that only page and screen need."""


async def measure(venue: Venue) -> Section:
    """Read the memory in the calls made, and the imported packages."""
    call = await situations.call(venue)
    plain = await situations.plain_call(venue)
    rival_plain = await situations.rival_plain_call(venue)
    rows = [
        Row(
            name=f"PSS in a call, {seat}",
            unit="MB",
            ours=spread([x.pss for x in usage.memory]),
            rival=spread([x.pss for x in rival_plain.usage[0].memory]),
            goal=Goal(most),
        )
        for usage, seat, most in zip(call.usage, SEATS, GOALS_MB, strict=True)
    ]
    rows += [
        Row(
            name=f"alone on a machine (RSS), {seat}",
            unit="MB",
            ours=spread([x.rss for x in usage.memory]),
            rival=spread([x.rss for x in rival_plain.usage[0].memory]),
        )
        for usage, seat in zip(call.usage, SEATS, strict=True)
    ]
    rows += _growth(plain, rival_plain, venue.plan.call_s)
    rows.append(await _imported(venue))
    return Section("Memory", tuple(rows))


async def imports(venue: Venue, kind: Ours) -> dict[str, float]:
    """Return the packages imported until the box has joined, and the ms of each.

    The time of a package is that of everything in it, without what others import.
    """
    seat = venue.seat(venue.fresh_room(), 0)
    client = await kind.start(seat)
    try:
        await client.says("joined  ticket")
        if kind.has_page:
            await client.says("page served")
    finally:
        await client.stop()
    return packages([line.text for line in client.lines])


def packages(lines: list[str]) -> dict[str, float]:
    """Return the ms of each top-level package, from what `-X importtime` writes."""
    found: dict[str, float] = {}
    for line in lines:
        cells = line.removeprefix("import time:").split("|")
        if not line.startswith("import time:") or not cells[0].strip().isdigit():
            continue
        package = cells[2].strip().partition(".")[0]
        found[package] = found.get(package, 0.0) + int(cells[0]) / 1000
    return found


async def _imported(venue: Venue) -> Row:
    kind = Ours(has_page=False, options=("-X", "importtime"))
    found = await imports(venue, kind)
    unwanted = [name for name in UNWANTED if name in found]
    return Row(
        name="packages of page and screen imported with both off",
        unit="",
        ours=one(float(len(unwanted))) if found else None,
        goal=Goal(0.0),
        note=", ".join(unwanted),
    )


def _growth(plain: Scene, rival: Scene, seconds: float) -> list[Row]:
    return [
        Row(
            name=f"grown in a call of {seconds:.0f} s, {seat}",
            unit="MB",
            ours=_grown(usage),
            rival=_grown(rival.usage[0]),
            goal=Goal(FLAT_MB),
        )
        for usage, seat in zip(plain.usage, SEATS, strict=True)
    ]


def _grown(usage: Usage) -> Spread:
    return one(growth([x.pss for x in usage.memory]))


async def import_times(venue: Venue) -> str:
    """Return the import time of a start by package."""
    found = await imports(venue, Ours(options=("-X", "importtime")))
    shares = sorted(found.items(), key=lambda x: -x[1])[:25]
    own = [f"    {ms:7.1f} ms  {name}" for name, ms in shares]
    total = f"imports of a box with page and screen, {sum(found.values()):.0f} ms"
    return "\n".join((f"{total}, Python {sys.version.split()[0]}", *own))
