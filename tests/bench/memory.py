"""Memory of each process and its growth."""

import sys

from tests.bench import shared_calls
from tests.bench.bench_run import BenchRun
from tests.bench.call_figures import CallFigures, Usage
from tests.bench.client_start import Ours
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, growth, one, spread

GOALS_MB = (90.0, 60.0)
FLAT_MB = 1.0
"""Our choice: more in a run is not noise."""
SEATS = ("page and screen on", "both off")
UNWANTED = ("starlette", "uvicorn", "luma", "PIL", "smbus2", "segno", "websockets")
"""Packages that only page and screen need."""


async def measure(run: BenchRun) -> Section:
    """Read the memory in the calls made, and the imported packages."""
    call = await shared_calls.call(run)
    plain = await shared_calls.plain_call(run)
    rival_plain = await shared_calls.rival_plain_call(run)
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
    rows += _growth(plain, rival_plain, run.plan.call_s)
    rows.append(await _imported(run))
    return Section("Memory", tuple(rows))


async def imports(run: BenchRun, kind: Ours) -> dict[str, float]:
    """Return the packages imported until the box has joined, and the ms of each.

    The time of a package is that of everything in it, without what others import.
    """
    seat = run.seat(run.fresh_room(), 0)
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


async def _imported(run: BenchRun) -> Row:
    kind = Ours(has_page=False, options=("-X", "importtime"))
    found = await imports(run, kind)
    unwanted = [name for name in UNWANTED if name in found]
    return Row(
        name="packages of page and screen imported with both off",
        unit="",
        ours=one(float(len(unwanted))) if found else None,
        goal=Goal(0.0),
        note=", ".join(unwanted),
    )


def _growth(plain: CallFigures, rival: CallFigures, seconds: float) -> list[Row]:
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


async def import_times(run: BenchRun) -> str:
    """Return the import time of a start by package."""
    found = await imports(run, Ours(options=("-X", "importtime")))
    shares = sorted(found.items(), key=lambda x: -x[1])[:25]
    own = [f"    {ms:7.1f} ms  {name}" for name, ms in shares]
    total = f"imports of a box with page and screen, {sum(found.values()):.0f} ms"
    return "\n".join((f"{total}, Python {sys.version.split()[0]}", *own))
