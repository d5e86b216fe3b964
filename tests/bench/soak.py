"""Endurance: unplugged cards, killed servers and busy phases in turn, for an hour.

`python -m tests.bench --only soak --minutes 60`. After each disturbance speech must
pass both ways again, and ten seconds later with the delay of the start. Memory, threads
and open files must not grow. Two boxes with default settings are in a call all the
time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.bench import delay, speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client
from tests.bench.client_start import Ours
from tests.bench.compiler import compiling
from tests.bench.process import Resources, resources
from tests.bench.report import Goal, Row, Section
from tests.bench.speech_signal import RATE_HZ, Speech
from tests.bench.spread import extremes, growth, one

NEAR_MS = 25.0
GROWTH_MB = 2.0
"""The library's caches grow by 1 MB in the first minutes."""
BURSTS_S = 4.0
"""Length of the speech by which the delay is measured, both directions together."""
BACK_S = 10.0
"""Time of speech after a disturbance, both directions together, in which the delay has
to be back."""
DISTURBED_S = 5.0
"""Length of each disturbance."""
MAX_BACK_S = 40.0
"""Longer than the longest wait between two attempts of a box."""
LOOK_S = 0.25
BOTH_S = 0.2
"""Between a burst of one end and one of the other: with both at once the echo
cancellers would remove parts."""
SEATS = ("page and screen on", "both off")

Disturbance = Callable[[BenchRun, Sequence[Client], float], Awaitable[None]]


async def unplug_first(_run: BenchRun, pair: Sequence[Client], seconds: float) -> None:
    """Unplug the first box's card for a while."""
    await _unplug(pair[0], seconds)


async def unplug_second(_run: BenchRun, pair: Sequence[Client], seconds: float) -> None:
    """Unplug the second box's card for a while."""
    await _unplug(pair[1], seconds)


async def kill_server(run: BenchRun, _pair: Sequence[Client], seconds: float) -> None:
    """Kill the server and start it again after a while."""
    await run.server.kill()
    await asyncio.sleep(seconds)
    await run.server.start()


async def compile_all(_run: BenchRun, _pair: Sequence[Client], seconds: float) -> None:
    """Compile on all processors for a while."""
    async with compiling():
        await asyncio.sleep(seconds)


DISTURBANCES: dict[str, Disturbance] = {
    "a card was unplugged": unplug_first,
    "the other card was unplugged": unplug_second,
    "the server was killed": kill_server,
    "a busy phase": compile_all,
}


@dataclass(slots=True)
class Log:
    """Figures of a run."""

    back_s: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in DISTURBANCES}
    )
    """Times until speech passed again; NaN: it did not."""
    start_ms: tuple[float, float] = (float("nan"), float("nan"))
    """Median delays at the start, there and back."""
    changes_ms: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {name: [] for name in DISTURBANCES}
    )
    """Changes of the delays since the start, there and back."""
    resources: list[list[Resources]] = field(default_factory=lambda: [[], []])
    """Readings of each box, one after each disturbance."""


async def measure(run: BenchRun) -> Section:
    """Disturb a call again and again."""
    minutes = run.plan.soak_minutes
    log = Log()
    async with run.call(Ours(), Ours(has_page=False)) as pair:
        log.start_ms = await _delays_ms(pair, 0)
        until_s = time.monotonic() + 60 * minutes
        rounds = 0
        while rounds == 0 or time.monotonic() < until_s:
            rounds += 1
            for name, disturb in DISTURBANCES.items():
                await disturb(run, pair, DISTURBED_S)
                log.back_s[name].append(await speech_back_s(pair, rounds))
                # In sound, because the jitter buffers judge the link by it.
                await delay.ways(pair, BACK_S, rounds)
                now_ms = await _delays_ms(pair, rounds)
                there_ms, back_ms = np.subtract(now_ms, log.start_ms).tolist()
                log.changes_ms[name].append((there_ms, back_ms))
                for client, found in zip(pair, log.resources, strict=True):
                    found.append(resources(client.pid))
    return Section(f"Disturbed for {minutes:g} minutes", tuple(_rows(log)))


async def speech_back_s(pair: Sequence[Client], seed: int) -> float:
    """Let both ends speak until both hear each other, and return how long it took.

    Returns:
        Seconds; NaN if one of them never heard the other.
    """
    rng = np.random.default_rng(seed)
    # The same bursts at both ends would be echo.
    speeches = [
        speech_signal.bursts(rng, since_s, MAX_BACK_S) for since_s in (0.0, BOTH_S)
    ]
    start_s = pair[0].card.now_s()
    for client, speech in zip(pair, speeches, strict=True):
        client.card.speak(speech.samples, start_s)
    found = [float("nan")] * 2
    sides = list(zip((0, 1), pair, reversed(speeches), strict=True))
    while np.isnan(found).any() and pair[0].card.now_s() - start_s < MAX_BACK_S:
        await asyncio.sleep(LOOK_S)
        for side, client, speech in sides:
            if np.isnan(found[side]):
                found[side] = await asyncio.to_thread(_first_s, client, speech, start_s)
    rest = np.zeros(round(MAX_BACK_S * RATE_HZ), np.int16)
    for client in pair:
        client.card.speak(rest, pair[0].card.now_s())
    return max(found) if not np.isnan(found).any() else float("nan")


def _first_s(client: Client, speech: Speech, start_s: float) -> float:
    """Return when the first burst was heard whose echo could have arrived by now."""
    passed_s = client.card.now_s() - start_s - speech_signal.MAX_S
    for first_s, last_s in speech.spans_s:
        if last_s > passed_s:
            break
        first, last = (round(x * RATE_HZ) for x in (first_s, last_s))
        heard = client.card.heard(
            start_s + first_s, start_s + last_s + speech_signal.MAX_S
        )
        ms = speech_signal.delay_ms(speech.samples[first:last], heard)
        if not np.isnan(ms):
            return first_s + ms / 1000
    return float("nan")


async def _unplug(client: Client, seconds: float) -> None:
    client.card.unplug()
    await asyncio.sleep(seconds)
    client.card.plug()


async def _delays_ms(pair: Sequence[Client], seed: int) -> tuple[float, float]:
    """Return the median delays there and back."""
    there, back = await delay.ways((pair[0], pair[1]), BURSTS_S, seed)
    return float(np.nanmedian(there)), float(np.nanmedian(back))


def _rows(log: Log) -> list[Row]:
    rows = [
        Row(
            name=f"until speech passes both ways, after {name}",
            unit="s",
            ours=extremes([x for x in found if not np.isnan(x)]),
            note=f"{len(found)} times",
        )
        for name, found in log.back_s.items()
    ]
    lost = sum(float(np.isnan(found).sum()) for found in log.back_s.values())
    rows += [
        Row(
            name=f"speech not back within {MAX_BACK_S:.0f} s",
            unit="",
            ours=one(lost),
            goal=Goal(0.0),
        )
    ]
    rows += [_change(name, log) for name in log.changes_ms]
    for seat, found in zip(SEATS, log.resources, strict=True):
        rows += _growth(seat, found)
    return rows


def _change(name: str, log: Log) -> Row:
    changes_ms = np.array(log.changes_ms[name])
    ways = zip(("there", "back"), log.start_ms, changes_ms.T, strict=True)
    notes = (
        f"{way} {start_ms:.0f} ms at the start, {np.nanmedian(found):+.0f} then"
        for way, start_ms, found in ways
    )
    return Row(
        name=f"delay, difference to the start, after {name}",
        unit="ms",
        ours=extremes(np.abs(changes_ms[~np.isnan(changes_ms)]).tolist()),
        goal=Goal(NEAR_MS, "high"),
        note="; ".join(notes),
    )


def _growth(seat: str, found: Sequence[Resources]) -> list[Row]:
    figures = (
        ("own memory", "MB", GROWTH_MB, [x.memory.anonymous for x in found]),
        ("threads", "", 0.0, [float(x.threads) for x in found]),
        ("open files", "", 0.0, [float(x.files) for x in found]),
    )
    return [
        Row(
            name=f"{name}, grown, {seat}",
            unit=unit,
            ours=one(growth(values)),
            goal=Goal(most),
            note=f"{values[0]:.0f} after the first disturbance, {values[-1]:.0f} last",
        )
        for name, unit, most, values in figures
    ]
