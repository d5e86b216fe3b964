"""Call of two boxes while a third process floods the page of one of them."""

import asyncio
import json
import math
import sys
from dataclasses import dataclass, field

from tests.bench import speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.call_figures import LOOK_EVERY_S, SETTLE_S, CallFigures, stay
from tests.bench.client import ROOT, Client, inherited, together_with_us
from tests.bench.client_start import Ours, Seat
from tests.bench.delay import BEFORE_S
from tests.bench.process import cpu_s
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, one, spread

PER_S = 1000
CALM_S = 8.0
"""Duration measured before the flood."""
BACK_S = 5.0
"""Pause after the flood, in which the delay recovers."""
AFTER_S = 8.0
"""Duration measured after the pause."""
EVEN_MS = 10.0
KINDS = {
    "connect": f"{PER_S:,} connects a second",
    "request": f"{PER_S:,} requests a second",
}


@dataclass(slots=True)
class Flooded:
    """A box whose page is flooded."""

    kind: Ours = field(default_factory=lambda: Ours(has_processing=False))
    listen: str = ""

    async def start(self, seat: Seat) -> Client:
        """Start it on this seat."""
        client = await self.kind.start(seat)
        config = json.loads((seat.folder / "config.yaml").read_text(encoding="utf-8"))
        self.listen = config["page"]["listen"]
        await client.says("page served")
        return client


async def measure(run: BenchRun) -> Section:
    """Flood with connections, then with requests, each in a call of its own."""
    rows: list[Row] = []
    for kind, words in KINDS.items():
        rows += await _rows(run, kind, words)
    return Section(f"Page flooded for {run.plan.flood_s:.0f} s", tuple(rows))


async def _rows(run: BenchRun, kind: str, words: str) -> list[Row]:
    seconds = run.plan.flood_s
    box = Flooded()
    other = Ours(has_processing=False, has_page=False)
    async with run.call(box, other) as pair:
        from_s = pair[0].card.now_s() + BEFORE_S + SETTLE_S + CALM_S
        total_s = CALM_S + seconds + BACK_S + AFTER_S
        figures, cpu_percent, count = await asyncio.gather(
            stay(pair, total_s, speech_signal.noise, BEFORE_S),
            _used(pair[0], from_s, seconds),
            _flood(pair[0], box.listen, kind, from_s, seconds),
        )
    return [
        Row(
            name=f"silent 10 ms blocks in {CALM_S:.0f} s before, {words}",
            unit="",
            ours=silent_blocks(figures, -math.inf, from_s),
        ),
        Row(
            name=f"silent 10 ms blocks from then on, both ways, {words}",
            unit="",
            ours=silent_blocks(figures, from_s, math.inf),
            goal=Goal(0.0),
            note=f"{count / seconds:.0f} a second were made",
        ),
        *_delays(figures, from_s, seconds, words),
        Row(name=f"CPU of one core, {words}", unit="%", ours=one(cpu_percent)),
    ]


def _delays(
    figures: CallFigures, from_s: float, seconds: float, words: str
) -> list[Row]:
    to_s = from_s + seconds
    spans = {
        "before": (-math.inf, from_s),
        "during": (from_s, to_s),
        f"{BACK_S:.0f} s after": (to_s + BACK_S, math.inf),
    }
    rows = [
        Row(name=f"delay {when}, {words}", unit="ms", ours=delay(figures, *span))
        for when, span in spans.items()
    ]
    back = Row(
        name=f"delay {BACK_S:.0f} s after, less before, worse way, {words}",
        unit="ms",
        ours=grown(figures, from_s, to_s + BACK_S),
        goal=Goal(EVEN_MS),
    )
    return [*rows, back]


async def _used(box: Client, from_s: float, seconds: float) -> float:
    await asyncio.sleep(from_s - box.card.now_s())
    before = cpu_s(box.pid)
    await asyncio.sleep(seconds)
    return 100.0 * (cpu_s(box.pid) - before) / seconds


async def _flood(
    box: Client, listen: str, kind: str, from_s: float, seconds: float
) -> int:
    await asyncio.sleep(from_s - box.card.now_s())
    command = (sys.executable, "-m", "tests.bench.attacker", listen, kind)
    limits = ("--per-s", str(PER_S), "--seconds", str(seconds))
    attacker = await asyncio.create_subprocess_exec(
        *(*together_with_us(), *command, *limits),
        env=inherited(),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await attacker.communicate()
    return int(told)


def silent_blocks(figures: CallFigures, from_s: float, to_s: float) -> Spread | None:
    """Return how many 10 ms blocks of the sound were silent between two moments."""
    receptions = figures.receptions or ()
    found = [
        percent
        for reception in receptions
        for percent in _between(reception.at_s, reception.silent_each, from_s, to_s)
        if not math.isnan(percent)
    ]
    blocks = LOOK_EVERY_S * speech_signal.RATE_HZ / speech_signal.BLOCK
    return one(round(sum(found) / 100.0 * blocks)) if found else None


def delay(figures: CallFigures, from_s: float, to_s: float) -> Spread | None:
    """Return the delay of both directions between two moments."""
    receptions = figures.receptions or ()
    return spread(
        [
            ms
            for reception in receptions
            for ms in _between(reception.at_s, reception.delay_ms, from_s, to_s)
        ]
    )


def grown(figures: CallFigures, until_s: float, since_s: float) -> Spread | None:
    """Return the growth of the median of the worse direction."""
    found = []
    for reception in figures.receptions or ():
        before = spread(
            _between(reception.at_s, reception.delay_ms, -math.inf, until_s)
        )
        after = spread(_between(reception.at_s, reception.delay_ms, since_s, math.inf))
        if before is None or after is None:
            return None
        found.append(after.median - before.median)
    return one(max(found)) if found else None


def _between(
    times_s: list[float], values: list[float], from_s: float, to_s: float
) -> list[float]:
    pairs = zip(times_s, values, strict=True)
    return [value for at_s, value in pairs if from_s <= at_s < to_s]
