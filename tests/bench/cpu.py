"""CPU time of each process, in per cent of one core.

Both kinds of client are in their calls at the same time, so that other load and the
speed of the machine are the same for both.
"""

from dataclasses import dataclass

from tests.bench import shared_calls, speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.call_figures import CallFigures, Usage, Voice
from tests.bench.client_start import MediaDevices, Ours
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, spread

SEATS = ("page and screen on", "both off")


@dataclass(frozen=True, slots=True)
class Match:
    """Pair of our clients and the pair it is compared with."""

    name: str
    ours: tuple[Ours, Ours]
    """Client with page and screen, and client without."""
    rivals: MediaDevices
    voice: Voice | None
    """Of ours; the others are in a call."""
    share: float
    """Allowed share of the SDK's CPU time."""
    words: str


MATCHES = (
    Match(
        "two-way call, processing off",
        (Ours(has_processing=False), Ours(has_processing=False, has_page=False)),
        MediaDevices(),
        speech_signal.noise,
        0.75,
        "0.75 of MediaDevices",
    ),
    Match(
        "two-way call, processing on",
        (Ours(), Ours(has_page=False)),
        MediaDevices(has_processing=True),
        speech_signal.talk,
        1.0,
        "MediaDevices with its own",
    ),
    Match(
        "joined and silent",
        (Ours(mode="hybrid"), Ours(mode="hybrid", has_page=False)),
        MediaDevices(),
        None,
        0.4,
        "0.4 of its call",
    ),
)


async def measure(run: BenchRun) -> Section:
    """Measure the CPU time in a call and in silence, ours and the SDK's."""
    rows: list[Row] = []
    for match in MATCHES:
        rows += _rows(
            match,
            *await shared_calls.beside(run, match.ours, match.rivals, match.voice),
        )
    return Section("CPU of one core", tuple(rows))


def threads(run: BenchRun) -> str:
    """Return the CPU time per thread over all measurements."""
    lines = []
    for kinds, figures in run.calls.items():
        for kind, usage in zip(kinds, figures.usage, strict=False):
            lines += [str(kind), *_threads(usage)]
    return "\n".join(lines)


def _rows(match: Match, ours: CallFigures, rival: CallFigures) -> list[Row]:
    """Return a row per client."""
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


def _both(figures: CallFigures) -> Spread | None:
    """Return the spread over both clients, which are equal."""
    return spread([x for usage in figures.usage for x in usage.cpu_percent])


def _threads(usage: Usage) -> list[str]:
    shares = sorted(usage.threads_percent.items(), key=lambda x: -x[1])
    return [f"    {percent:6.2f} %  {name}" for name, percent in shares]
