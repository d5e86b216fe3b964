"""Calls from which several figures are read; each is made once per run."""

import asyncio

from tests.bench import speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.call_figures import QUIET_S, CallFigures, Voice, stay
from tests.bench.client_start import Kind, MediaDevices, Ours
from tests.bench.delay import BEFORE_S

PPM = 200.0
"""Clock drift of the cards, one too fast, the other too slow."""
FAR_PPM = 300.0
"""The same for clocks that are as far off as those of the cheapest cards."""
COMMON_PPM = 30.0
"""Drift of a common crystal."""


async def plain_call(run: BenchRun) -> CallFigures:
    """Ours without processing, both speak, clocks apart; only a has a page."""
    kinds = (Ours(has_processing=False), Ours(has_processing=False, has_page=False))
    return await _once(
        run,
        kinds,
        run.plan.call_s,
        speech_signal.conversation,
        ppm=PPM,
        quiet_s=BEFORE_S,
    )


async def clocks_call(run: BenchRun) -> CallFigures:
    """The same for minutes, with clocks that are further apart."""
    kinds = (Ours(has_processing=False), Ours(has_processing=False, has_page=False))
    seconds = 60 * run.plan.clocks_minutes
    return await _once(
        run,
        kinds,
        seconds,
        speech_signal.conversation,
        ppm=FAR_PPM,
        quiet_s=BEFORE_S,
    )


async def rival_plain_call(run: BenchRun) -> CallFigures:
    """The same with the SDK's own client."""
    kinds = (MediaDevices(), MediaDevices())
    return await _once(
        run, kinds, run.plan.rival_call_s, speech_signal.conversation, ppm=PPM
    )


async def call(run: BenchRun) -> CallFigures:
    """Ours by default, voices in both directions; a with page and screen, b without."""
    kinds = (Ours(), Ours(has_page=False))
    return await _once(run, kinds, run.plan.memory_s, speech_signal.talk)


async def beside(
    run: BenchRun, ours: tuple[Ours, Ours], rivals: MediaDevices, voice: Voice | None
) -> tuple[CallFigures, CallFigures]:
    """Two of ours and two of the SDK's own, each pair in a call, at the same time.

    Args:
        run: server and rooms of the run.
        ours: the first pair.
        rivals: kind of the clients of the other pair.
        voice: speech of the first pair; the other one never pauses.
    """
    always = speech_signal.talk if rivals.has_processing else speech_signal.noise
    # A silent box is idle when its receivers' buffers have been primed.
    quiet_s = QUIET_S if voice else BEFORE_S
    return await asyncio.gather(
        _anew(run, ours, voice, quiet_s),
        _anew(run, (rivals, rivals), always, quiet_s),
    )


async def _once(
    run: BenchRun,
    kinds: tuple[Kind, Kind],
    seconds: float,
    voice: Voice | None,
    *,
    ppm: float = 0.0,
    quiet_s: float = QUIET_S,
) -> CallFigures:
    key = (*kinds, seconds, voice, ppm)
    if key not in run.calls:
        async with run.call(*kinds, ppm=(ppm, -ppm)) as pair:
            run.calls[key] = await stay(pair, seconds, voice, quiet_s)
    return run.calls[key]


async def _anew(
    run: BenchRun, kinds: tuple[Kind, Kind], voice: Voice | None, quiet_s: float
) -> CallFigures:
    async with run.call(*kinds, ppm=(COMMON_PPM, -COMMON_PPM)) as pair:
        figures = await stay(pair, run.plan.cpu_s, voice, quiet_s)
    run.calls[*kinds, voice] = figures
    return figures
