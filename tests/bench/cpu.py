"""CPU time of each process, in per cent of one core."""

from tests.bench import situations
from tests.bench.report import Goal, Row, Section
from tests.bench.scene import Scene, Usage
from tests.bench.spread import Spread, spread
from tests.bench.venue import Venue

SEATS = ("page and screen on", "both off")


async def measure(venue: Venue) -> Section:
    """Read the CPU in a call and in silence, ours and the SDK's own."""
    rival_plain = await situations.rival_plain_call(venue)
    most = _both(rival_plain)
    silent = await situations.silence(venue)
    rival_silent = await situations.rival_silence(venue)
    call = await situations.call(venue)
    rival_call = await situations.rival_call(venue)
    plain = await situations.plain_call(venue)
    goal = _goal(most, 1.0, "MediaDevices, no processing")
    half = _goal(most, 0.5, "half of its call")
    return Section(
        "CPU of one core",
        (
            *_rows("two-way call, processing off", plain, rival_plain, goal),
            *_rows("two-way call, processing on", call, rival_call, goal),
            *_rows("joined and silent", silent, rival_silent, half),
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


def _rows(words: str, ours: Scene, rival: Scene, goal: Goal | None) -> list[Row]:
    return [
        Row(
            name=f"{words}, {seat}",
            unit="%",
            ours=spread(usage.cpu_percent),
            rival=_both(rival),
            goal=goal,
        )
        for usage, seat in zip(ours.usage, SEATS, strict=True)
    ]


def _goal(most: Spread | None, share: float, words: str) -> Goal | None:
    return Goal(most.median * share, words=words) if most else None


def _both(scene: Scene) -> Spread | None:
    """Return the spread over both ends, which are alike."""
    return spread([x for usage in scene.usage for x in usage.cpu_percent])


def _threads(usage: Usage) -> list[str]:
    shares = sorted(usage.threads_percent.items(), key=lambda x: -x[1])
    return [f"    {percent:6.2f} %  {name}" for name, percent in shares]
