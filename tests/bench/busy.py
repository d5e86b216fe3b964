"""Busy machine: compilers on all processors in the middle of a call.

Both ends of a call speak all the time, first ours, then the SDK's own clients. Reported
are the delay before, during and after, the speech that was lost, and whether the card's
buffer of our boxes was lengthened without a reason.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from tests.bench import hearing, speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client, LogLine
from tests.bench.client_start import Kind, MediaDevices, Ours
from tests.bench.compiler import compiling
from tests.bench.hearing import Hearing, back_s, judge
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, extremes, one, spread
from tests.card.asound import Card, Samples

Ear: TypeAlias = tuple[Hearing, Hearing, Hearing]
"""What one end heard before, during and after."""

LOOK_S = 0.1
NEAR_MS = 10.0
"""The delay is back when it is this near to the one before."""
REASON_S = 60.0
"""Losses in this time before a longer buffer are its reason; see `LatencySteps`."""
SHORTEST_MS = 10
"""Buffer with which a card is opened for the first time."""
AHEAD_S = 0.5
"""Silence before the first word."""
CHANGED = "buffer size changed  latency_ms="
PHASES = ("before", "during", "after")


@dataclass(frozen=True, slots=True)
class Look:
    """Xruns of a card, up to a moment."""

    at_s: float
    """On the monotonic clock."""
    xruns: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a pair of clients heard, and what happened to their cards."""

    ears: tuple[Ear, ...]
    back_s: tuple[float, ...]
    """For each end, from the end of the load; NaN: the delay did not come back."""
    xruns: int
    longer: int
    """Times a card's buffer was lengthened."""
    unfounded: int
    """Those of them without an xrun of the card before."""


BACK_S = 10.0
"""Goal: the delay is back within this time. Never is infinite."""


async def measure(run: BenchRun) -> Section:
    """Call with each kind of client, and compile meanwhile."""
    ours = Ours(has_processing=False), Ours(has_processing=False, has_page=False)
    mine = await call(run, ours)
    theirs = await call(run, (MediaDevices(), MediaDevices()))
    seconds = run.plan.busy_s
    rows = [row for n in range(len(PHASES)) for row in _rows(n, mine, theirs)]
    rows += [
        Row(
            name=f"until the delay is within {NEAR_MS:.0f} ms of before",
            unit="s",
            ours=_back(mine),
            rival=_back(theirs),
            goal=Goal(BACK_S, "high"),
            note=f"{_missing(mine, 'ours')}{_missing(theirs, 'MediaDevices')}",
        ),
        Row(
            name="xruns of both cards in the call",
            unit="",
            ours=one(mine.xruns),
            rival=one(theirs.xruns),
        ),
        Row(
            name="times a card's buffer was lengthened", unit="", ours=one(mine.longer)
        ),
        Row(
            name="of them without an xrun before",
            unit="",
            ours=one(mine.unfounded),
            goal=Goal(0.0),
        ),
    ]
    return Section(f"Compilers on all processors for {seconds:.0f} s", tuple(rows))


async def call(run: BenchRun, kinds: tuple[Kind, Kind]) -> Found:
    """Speak at both ends, compile for a while, and judge what was heard."""
    plan = run.plan
    lengths_s = plan.busy_settle_s, plan.busy_edge_s, plan.busy_s, 2 * plan.busy_edge_s
    edges_s: list[float] = np.cumsum(lengths_s).tolist()
    speeches = [
        speech_signal.conversation(np.random.default_rng(seed), edges_s[-1])
        for seed in (1, 2)
    ]
    async with run.call(*kinds) as pair:
        looks: list[list[Look]] = [[], []]
        watches = [
            asyncio.create_task(_watch(client.card, found))
            for client, found in zip(pair, looks, strict=True)
        ]
        start_s = pair[0].card.now_s() + AHEAD_S
        for client, speech in zip(pair, speeches, strict=True):
            client.card.speak(speech, start_s)
        await _until(pair[0], start_s + edges_s[1])
        async with compiling():
            await _until(pair[0], start_s + edges_s[2])
        until_s = start_s + edges_s[3] + hearing.MAX_S
        await _until(pair[0], until_s)
        for watch in watches:
            watch.cancel()
        sounds = [client.card.heard(start_s, until_s) for client in pair]
        longer = [
            lengthened(client.lines, found)
            for client, found in zip(pair, looks, strict=True)
        ]
    ears = [
        _phases(speech, heard, edges_s)
        for speech, heard in zip(reversed(speeches), sounds, strict=True)
    ]
    return Found(
        tuple(ears),
        tuple(_back_s(ear, edges_s) for ear in ears),
        xruns=sum(found[-1].xruns - found[0].xruns for found in looks),
        longer=sum(count for count, _ in longer),
        unfounded=sum(count for _, count in longer),
    )


async def _until(client: Client, at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - client.card.now_s()))


async def _watch(card: Card, looks: list[Look]) -> None:
    """Record the card's xruns over time."""
    while True:
        counts = card.counts()
        looks.append(Look(time.monotonic(), counts.overruns + counts.underruns))
        await asyncio.sleep(LOOK_S)


def lengthened(lines: Sequence[LogLine], looks: Sequence[Look]) -> tuple[int, int]:
    """Return how often the buffer was lengthened, and how often without an xrun."""
    buffer_ms, longer, unfounded = SHORTEST_MS, 0, 0
    for line in lines:
        _, found, value = line.text.partition(CHANGED)
        if not found:
            continue
        if int(value) > buffer_ms:
            longer += 1
            xruns = [
                x.xruns for x in looks if line.at_s - REASON_S <= x.at_s <= line.at_s
            ]
            unfounded += not xruns or xruns[0] == xruns[-1]
        buffer_ms = int(value)
    return longer, unfounded


def _phases(said: Samples, heard: Samples, edges_s: Sequence[float]) -> Ear:
    before, during, after = (judge(said, heard, span) for span in pairwise(edges_s))
    return before, during, after


def _back_s(ear: Ear, edges_s: Sequence[float]) -> float:
    whole = Hearing(
        tuple(x for phase in ear for x in phase.at_s),
        tuple(x for phase in ear for x in phase.delay_ms),
        float("nan"),
    )
    start_s, end_s, until_s = edges_s[1:]
    return back_s(whole, start_s, end_s, until_s, NEAR_MS)


def _rows(number: int, ours: Found, rival: Found) -> list[Row]:
    """Return the rows of one phase."""
    when = PHASES[number]
    return [
        Row(
            name=f"mouth to ear {when}",
            unit="ms",
            ours=_delays(ours, number),
            rival=_delays(rival, number),
        ),
        Row(
            name=f"speech concealed or lost {when}",
            unit="%",
            ours=_lost(ours, number),
            rival=_lost(rival, number),
        ),
    ]


def _delays(found: Found, number: int) -> Spread | None:
    return spread([ms for ear in found.ears for ms in ear[number].delay_ms])


def _lost(found: Found, number: int) -> Spread | None:
    return extremes([ear[number].lost_percent for ear in found.ears])


def _back(found: Found) -> Spread | None:
    return extremes([np.inf if np.isnan(x) else x for x in found.back_s])


def _missing(found: Found, who: str) -> str:
    count = int(np.isnan(found.back_s).sum())
    return f"{who}: not back at {count} of 2 ends. " if count else ""
