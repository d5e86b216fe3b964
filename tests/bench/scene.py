"""What is read from two clients while they are in a call."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tests.bench import sound
from tests.bench.client import Client
from tests.bench.process import Memory, cpu_s, memory, shares, threads_s
from tests.bench.sound import RATE_HZ
from tests.card.asound import Samples

Voice: TypeAlias = Callable[[np.random.Generator, float], Samples]

LOOP_S = 10.0
"""Speech repeats after this: longer than any delay that is looked for."""
AHEAD_S = 5.0
SETTLE_S = 2.0
"""After joining, until buffers have found their depth."""
SLICES = 4
"""CPU is read in so many parts, to see how even it is."""
EVERY_S = 5.0
WINDOW_S = 0.1
LOOK_EVERY_S = 0.5
MOST_S = 3.0
"""Longest delay to look for; buffers without a bound have more than a second."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one client used."""

    cpu_percent: list[float]
    """Of one core, in each slice."""
    threads_percent: dict[str, float]
    memory: list[Memory]
    """Every few seconds."""


@dataclass(frozen=True, slots=True)
class Ear:
    """What came out of one's speaker of the other's speech, which never paused."""

    at_s: list[float]
    delay_ms: list[float]
    """NaN where nothing like it was heard."""
    silent_percent: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A call, as seen from both ends."""

    usage: tuple[Usage, Usage]
    ears: tuple[Ear, Ear] | None
    """None: nobody spoke, or it was not noise."""


async def stay(pair: tuple[Client, ...], seconds: float, voice: Voice | None) -> Scene:
    """Stay in a call and read what it costs.

    Args:
        pair: two clients who hear each other.
        seconds: how long to look, after everything has settled.
        voice: what both speak all the time; None: both are silent.
    """
    speeches = [_speech(voice, seed) for seed in (1, 2)]
    start_s = pair[0].card.now_s() + 0.2
    since_s = start_s + SETTLE_S
    async with asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(_keep_speaking(pair, speeches, start_s))
        await asyncio.sleep(since_s - pair[0].card.now_s())
        usages = await _used(pair, seconds)
        if voice is sound.noise:
            await asyncio.sleep(MOST_S + WINDOW_S)
        speaking.cancel()
    if voice is not sound.noise:
        return Scene(usages, None)
    times = [since_s + x for x in sound.windows(seconds, WINDOW_S, LOOK_EVERY_S)]
    first, second = pair
    ears = (
        _ear(first, speeches[1], start_s, times),
        _ear(second, speeches[0], start_s, times),
    )
    return Scene(usages, ears)


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


def _ear(client: Client, speech: Samples, start_s: float, times: list[float]) -> Ear:
    delays = []
    loop = np.concatenate((speech, speech[: round(WINDOW_S * RATE_HZ)]))
    for at_s in times:
        first = round((at_s - start_s) * RATE_HZ) % len(speech)
        said = loop[first : first + round(WINDOW_S * RATE_HZ)]
        heard = client.card.heard(at_s, at_s + WINDOW_S + MOST_S)
        delays.append(sound.delay_ms(said, heard, MOST_S))
    heard = client.card.heard(times[0], times[-1])
    return Ear(times, delays, sound.silent_percent(heard))
