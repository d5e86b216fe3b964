"""CPU time of each process, in per cent of one core.

Ours and the SDK's own are in their calls at the same time: what else the machine does,
and how fast it happens to be, is the same for both.
"""

from dataclasses import dataclass

from tests.bench import situations, sound
from tests.bench.box import MediaDevices, Ours
from tests.bench.report import Goal, Row, Section
from tests.bench.scene import Scene, Usage, Voice
from tests.bench.spread import Spread, spread
from tests.bench.venue import Venue

SEATS = ("page and screen on", "both off")


@dataclass(frozen=True, slots=True)
class Match:
    """A pair of ours, and what it is held against."""

    name: str
    ours: tuple[Ours, Ours]
    """With page and screen, and without."""
    rivals: MediaDevices
    voice: Voice | None
    """Of ours; the others are in a call."""
    share: float
    """How much of theirs is allowed."""
    words: str


MATCHES = (
    Match(
        "two-way call, processing off",
        (Ours(has_processing=False), Ours(has_processing=False, has_page=False)),
        MediaDevices(),
        sound.noise,
        1.0,
        "MediaDevices",
    ),
    Match(
        "two-way call, processing on",
        (Ours(), Ours(has_page=False)),
        MediaDevices(has_processing=True),
        sound.talk,
        1.0,
        "MediaDevices with its own",
    ),
    Match(
        "joined and silent",
        (Ours(mode="hybrid"), Ours(mode="hybrid", has_page=False)),
        MediaDevices(),
        None,
        0.5,
        "half its call",
    ),
)


async def measure(venue: Venue) -> Section:
    """Read the CPU in a call and in silence, ours and the SDK's own."""
    rows: list[Row] = []
    for match in MATCHES:
        rows += _rows(
            match,
            *await situations.beside(venue, match.ours, match.rivals, match.voice),
        )
    return Section("CPU of one core", tuple(rows))


def threads(venue: Venue) -> str:
    """Return which threads used the CPU in everything that was measured."""
    lines = []
    for kinds, scene in venue.scenes.items():
        for kind, usage in zip(kinds, scene.usage, strict=False):
            lines += [str(kind), *_threads(usage)]
    return "\n".join(lines)


def _rows(match: Match, ours: Scene, rival: Scene) -> list[Row]:
    """Return a row for each seat."""
    most = _both(rival)
    goal = Goal(most.median * match.share, words=match.words) if most else None
    return [
        Row(
            name=f"{match.name}, {seat}",
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
