"""Mouth-to-ear latency, over fresh starts of both clients."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.bench import speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client
from tests.bench.client_start import Kind, MediaDevices, Ours
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, one, spread

GOALS_MS = {"processing off": 85.0, "processing on": 95.0}
TIMES_SHORTER = 4
EVEN_MS = 25.0
"""The delay of a receiver's jitter buffer differs by this from start to start."""
BEFORE_S = 10.0
"""Time from joining to the first burst, in which the receivers' jitter buffers settle.
Until then the latency is up to 20 ms higher."""
BEFORE_RIVAL_S = 4.0
"""The same for the SDK's client, whose delay grows with time."""
TURN_S = 1.0
"""Pause before the second client speaks. The echo canceller is in use for 0.6 s after
playback and until a pause, and adds 9 ms."""


@dataclass(slots=True)
class Found:
    """Delays of one kind of client."""

    kind: Kind
    groups: tuple[list[list[float]], list[list[float]]] = field(
        default_factory=lambda: ([], [])
    )
    """Delays from a to b and back: one list per fresh start."""

    def spread(self, way: int) -> Spread | None:
        """Return the spread over all starts."""
        return spread([x for group in self.groups[way] for x in group])

    @property
    def lost(self) -> float:
        """Number of bursts that never arrived."""
        return float(np.isnan(self._all()).sum())

    @property
    def count(self) -> int:
        """Number of bursts spoken."""
        return len(self._all())

    @property
    def medians_ms(self) -> list[float]:
        """Return the median of each start and direction."""
        return [x for groups in self.groups for x in speech_signal.medians(groups)]

    def _all(self) -> list[float]:
        return [x for groups in self.groups for group in groups for x in group]


async def measure(run: BenchRun) -> Section:
    """Start each kind of client several times and let both ends speak."""
    plan = run.plan
    ours = [Found(Ours(has_processing=is_on)) for is_on in (False, True)]
    rivals = [Found(MediaDevices(has_processing=is_on)) for is_on in (False, True)]
    # In turns, so that other load of the machine affects all of them.
    for start in range(plan.starts):
        for found in ours[: 2 if start < plan.processed_starts else 1]:
            await _add(run, found, seed=start)
        if start < plan.rival_starts:
            for found in rivals:
                await _add(run, found, seed=start)
    rows: list[Row] = []
    for words, mine, theirs in zip(("off", "on"), ours, rivals, strict=True):
        rows += _rows(f"processing {words}", mine, theirs)
    return Section("Mouth to ear", tuple(rows))


async def ways(
    pair: Sequence[Client], seconds: float, seed: int, before_s: float = BEFORE_S
) -> tuple[list[float], list[float]]:
    """Let first one end and then the other speak; return delays there and back.

    Not both at once, because the echo cancellers would remove parts as echo.
    """
    first, second = pair
    rng = np.random.default_rng(seed)
    half_s = seconds / 2
    starts_s = (0.0, half_s + TURN_S)
    speeches = [
        speech_signal.bursts(rng, start_s, start_s + half_s) for start_s in starts_s
    ]
    at_s = first.card.now_s() + before_s
    for client, speech in zip(pair, speeches, strict=True):
        client.card.speak(speech.samples, at_s)
    until_s = at_s + seconds + TURN_S + speech_signal.MAX_S
    await asyncio.sleep(until_s - first.card.now_s())
    return (
        speech_signal.delays_ms(speeches[0], second.card.heard(at_s, until_s)),
        speech_signal.delays_ms(speeches[1], first.card.heard(at_s, until_s)),
    )


async def _add(run: BenchRun, found: Found, seed: int) -> None:
    async with run.call(found.kind, found.kind) as pair:
        before_s = BEFORE_S if isinstance(found.kind, Ours) else BEFORE_RIVAL_S
        there, back = await ways(pair, run.plan.burst_s, seed, before_s)
    found.groups[0].append(there)
    found.groups[1].append(back)


def _rows(words: str, ours: Found, rival: Found) -> list[Row]:
    rows = [
        Row(
            name=f"{way}, {words}",
            unit="ms",
            ours=ours.spread(n),
            rival=rival.spread(n),
            goal=Goal(GOALS_MS[words]),
        )
        for n, way in enumerate(("a to b", "b to a"))
    ]
    mine, theirs = spread(ours.medians_ms), spread(rival.medians_ms)
    share = mine.median / theirs.median if mine and theirs else None
    tail = [_tail(ours.spread(way)) for way in (0, 1)]
    starts = f"{len(ours.groups[0])} starts"
    return [
        *rows,
        Row(
            name=f"of MediaDevices' median, {words}",
            unit="",
            ours=one(share) if share else None,
            goal=Goal(1 / TIMES_SHORTER),
        ),
        Row(
            name=f"95 % above median, worse way, {words}",
            unit="ms",
            ours=one(max(tail)),
            rival=one(max(_tail(rival.spread(way)) for way in (0, 1))),
            goal=Goal(EVEN_MS),
        ),
        Row(
            name=f"largest less smallest median, {starts}, {words}",
            unit="ms",
            ours=_range(mine),
            rival=_range(theirs),
            goal=Goal(EVEN_MS),
        ),
        Row(
            name=f"bursts lost of {ours.count}, {words}",
            unit="",
            ours=one(ours.lost),
            rival=one(rival.lost),
            goal=Goal(0.0),
            note=f"MediaDevices: of {rival.count}" if rival.count else "",
        ),
    ]


def _tail(found: Spread | None) -> float:
    return found.high - found.median if found else float("nan")


def _range(found: Spread | None) -> Spread | None:
    return one(found.high - found.low) if found else None
