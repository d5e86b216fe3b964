"""Shutdown by SIGTERM in the middle of a call."""

from tests.bench import shared_calls
from tests.bench.bench_run import BenchRun, Exit
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import extremes, one

GOAL_S = 3.0


async def measure(run: BenchRun) -> Section:
    """Evaluate the shutdown of every client that was in a call so far."""
    if not any(x.is_ours for x in run.exits):
        await shared_calls.call(run)
    return Section("Shutdown", rows(run.exits))


def rows(exits: list[Exit]) -> tuple[Row, Row]:
    """Return the duration, and the number of failures."""
    ours = [x for x in exits if x.is_ours]
    rivals = [x for x in exits if not x.is_ours]
    return (
        Row(
            name=f"SIGTERM to the end of the process, {len(ours)} times",
            unit="s",
            ours=extremes(_seconds(ours)),
            rival=extremes(_seconds(rivals)),
            goal=Goal(GOAL_S, "high"),
        ),
        Row(
            name="exit status not 0, or killed",
            unit="",
            ours=one(float(_unclean(ours))),
            rival=one(float(_unclean(rivals))) if rivals else None,
            goal=Goal(0.0),
            note=_statuses(ours),
        ),
    )


def _seconds(exits: list[Exit]) -> list[float]:
    return [x.seconds for x in exits if x.seconds is not None]


def _unclean(exits: list[Exit]) -> int:
    return sum(x.status != 0 for x in exits)


def _statuses(exits: list[Exit]) -> str:
    found = sorted({x.status for x in exits if x.status})
    return f"statuses {', '.join(map(str, found))}" if found else ""
