"""Measurements of two clients during a call."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from tests.bench import hearing, speech_signal
from tests.bench.client import Client
from tests.bench.process import Memory, cpu_s, memory, shares, threads_s
from tests.bench.speech_signal import RATE_HZ
from tests.card.asound import Samples

Voice: TypeAlias = Callable[[np.random.Generator, float], Samples]

LOOP_S = 10.0
"""Period of the speech, longer than any delay that is searched."""
AHEAD_S = 5.0
QUIET_S = 0.2
"""Silence before the first speech."""
SETTLE_S = 2.0
"""Speech or silence after it, before the first reading."""
SLICES = 4
"""Number of slices in which CPU time is read, to show its variation."""
EVERY_S = 5.0
WINDOW_S = 0.1
LOOK_EVERY_S = 0.5
MAX_S = 3.0
"""Longest delay to search for; buffers without a bound have more than a second."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources used by one client."""

    cpu_percent: list[float]
    """Share of one core, per slice."""
    threads_percent: dict[str, float]
    memory: list[Memory]
    """Readings every few seconds."""


@dataclass(frozen=True, slots=True)
class Reception:
    """One client's speech as played by the other."""

    at_s: list[float]
    delay_ms: list[float]
    """Delays; NaN where the speech was not found."""
    silent_percent: float
    """Share of silent blocks outside pauses."""
    silent_each: list[float] = field(default_factory=list)
    """The same over time; NaN in a pause or if not found."""


@dataclass(frozen=True, slots=True)
class CallFigures:
    """Results of a call at both ends."""

    usage: tuple[Usage, Usage]
    receptions: tuple[Reception, Reception] | None
    """None if both were silent, or for the signal `talk`, which is not searched for."""


async def stay(
    pair: tuple[Client, ...],
    seconds: float,
    voice: Voice | None,
    quiet_s: float = QUIET_S,
) -> CallFigures:
    """Stay in a call and measure its cost.

    Args:
        pair: two clients in one room.
        seconds: duration of the measurement, after settling.
        voice: speech of both; None: both are silent.
        quiet_s: silence before they begin to speak.
    """
    speeches = [_speech(voice, seed) for seed in (1, 2)]
    is_heard = voice in {speech_signal.noise, speech_signal.conversation}
    start_s = pair[0].card.now_s() + quiet_s
    since_s = start_s + SETTLE_S
    async with asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(_keep_speaking(pair, speeches, start_s))
        await asyncio.sleep(since_s - pair[0].card.now_s())
        usages = await _used(pair, seconds)
        if is_heard:
            await asyncio.sleep(MAX_S + LOOK_EVERY_S)
        speaking.cancel()
    if not is_heard:
        return CallFigures(usages, None)
    listen = _conversation if voice is speech_signal.conversation else _noise
    first, second = pair
    receptions = (
        listen(first, speeches[1], start_s, (since_s, since_s + seconds)),
        listen(second, speeches[0], start_s, (since_s, since_s + seconds)),
    )
    return CallFigures(usages, receptions)


def _speech(voice: Voice | None, seed: int) -> Samples:
    if voice is None:
        return np.zeros(0, np.int16)
    return voice(np.random.default_rng(seed), LOOP_S)


async def _keep_speaking(
    pair: tuple[Client, ...], speeches: list[Samples], start_s: float
) -> None:
    at_s = start_s
    while True:
        for client, speech in zip(pair, speeches, strict=True):
            client.card.speak(speech, at_s)
        at_s += LOOP_S
        await asyncio.sleep(max(0.0, at_s - AHEAD_S - pair[0].card.now_s()))


async def _used(pair: tuple[Client, ...], seconds: float) -> tuple[Usage, Usage]:
    slices: list[list[float]] = [[], []]
    memories: list[list[Memory]] = [[], []]
    threads = [threads_s(client.pid) for client in pair]
    count = max(SLICES, round(seconds / EVERY_S))
    for _ in range(count):
        before = [cpu_s(client.pid) for client in pair]
        start_s = pair[0].card.now_s()
        await asyncio.sleep(seconds / count)
        passed_s = pair[0].card.now_s() - start_s
        for place, client in enumerate(pair):
            used_s = cpu_s(client.pid) - before[place]
            slices[place].append(100.0 * used_s / passed_s)
            memories[place].append(memory(client.pid))
    usages = [
        Usage(
            slices[n], shares(threads[n], threads_s(client.pid), seconds), memories[n]
        )
        for n, client in enumerate(pair)
    ]
    return usages[0], usages[1]


def _conversation(
    client: Client, speech: Samples, start_s: float, span_s: tuple[float, float]
) -> Reception:
    """Judge each repetition of a speech with pauses."""
    times: list[float] = []
    delays: list[float] = []
    silent: list[float] = []
    first = int((span_s[0] - start_s) / LOOP_S)
    last = int((span_s[1] - start_s) / LOOP_S)
    for number in range(first, last + 1):
        at_s = start_s + number * LOOP_S
        part_s = max(0.0, span_s[0] - at_s), min(LOOP_S, span_s[1] - at_s)
        heard = client.card.heard(at_s, at_s + LOOP_S + hearing.MAX_S)
        found = hearing.judge(speech, heard, part_s)
        times += [at_s + x for x in found.at_s]
        delays += found.delay_ms
        silent += hearing.silent_percents(speech, heard, found)
    return _reception(times, delays, silent)


def _noise(
    client: Client, speech: Samples, start_s: float, span_s: tuple[float, float]
) -> Reception:
    """Judge a sound without pauses."""
    delays, silent = [], []
    length_s = span_s[1] - span_s[0]
    times = [
        span_s[0] + x for x in speech_signal.windows(length_s, WINDOW_S, LOOK_EVERY_S)
    ]
    loop = np.concatenate((speech, speech[: round(LOOK_EVERY_S * RATE_HZ)]))
    for at_s in times:
        first = round((at_s - start_s) * RATE_HZ) % len(speech)
        said = loop[first : first + round(LOOK_EVERY_S * RATE_HZ)]
        heard = client.card.heard(at_s, at_s + LOOK_EVERY_S + MAX_S)
        window = round(WINDOW_S * RATE_HZ)
        ms = speech_signal.delay_ms(said[:window], heard[: window - len(said)], MAX_S)
        delays.append(ms)
        if not np.isnan(ms) and speech_signal.silent_percent(said) == 0.0:
            later = round(ms * RATE_HZ / 1000)
            silent.append(
                speech_signal.silent_percent(heard[later : later + len(said)])
            )
        else:
            silent.append(float("nan"))
    return _reception(times, delays, silent)


def _reception(
    times: list[float], delays: list[float], silent: list[float]
) -> Reception:
    known = [percent for percent in silent if not np.isnan(percent)]
    mean = float(np.mean(known)) if known else float("nan")
    return Reception(times, delays, mean, silent)
