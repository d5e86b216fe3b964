"""Calls from which several figures are read; each is made once per run."""

import asyncio

from tests.bench import sound
from tests.bench.box import Kind, MediaDevices, Ours
from tests.bench.delay import BEFORE_S
from tests.bench.scene import QUIET_S, Scene, Voice, stay
from tests.bench.venue import Venue

PPM = 200.0
"""Clock drift of the cards, one too fast, the other too slow."""
FAR_PPM = 300.0
"""The same for clocks that are as far off as those of the cheapest cards."""
COMMON_PPM = 30.0
"""Drift of a common crystal."""


async def plain_call(venue: Venue) -> Scene:
    """Ours without processing, both speak, clocks apart; only a has a page."""
    kinds = (Ours(has_processing=False), Ours(has_processing=False, has_page=False))
    return await _once(
        venue, kinds, venue.plan.call_s, sound.sentences, ppm=PPM, quiet_s=BEFORE_S
    )


async def clocks_call(venue: Venue) -> Scene:
    """The same for minutes, with clocks that are further apart."""
    kinds = (Ours(has_processing=False), Ours(has_processing=False, has_page=False))
    seconds = 60 * venue.plan.clocks_minutes
    return await _once(
        venue, kinds, seconds, sound.sentences, ppm=FAR_PPM, quiet_s=BEFORE_S
    )


async def rival_plain_call(venue: Venue) -> Scene:
    """The same with the SDK's own client."""
    kinds = (MediaDevices(), MediaDevices())
    return await _once(venue, kinds, venue.plan.rival_call_s, sound.sentences, ppm=PPM)


async def call(venue: Venue) -> Scene:
    """Ours by default, voices in both directions; a with page and screen, b without."""
    kinds = (Ours(), Ours(has_page=False))
    return await _once(venue, kinds, venue.plan.memory_s, sound.talk)


async def beside(
    venue: Venue, ours: tuple[Ours, Ours], rivals: MediaDevices, voice: Voice | None
) -> tuple[Scene, Scene]:
    """Two of ours and two of the SDK's own, each pair in a call, at the same time.

    Args:
        venue: server and rooms of the run.
        ours: the first pair.
        rivals: kind of the clients of the other pair.
        voice: speech of the first pair; the other one never pauses.
    """
    always = sound.talk if rivals.has_processing else sound.noise
    # A silent box is idle when its receivers' buffers have been primed.
    quiet_s = QUIET_S if voice else BEFORE_S
    return await asyncio.gather(
        _anew(venue, ours, voice, quiet_s),
        _anew(venue, (rivals, rivals), always, quiet_s),
    )


async def _once(
    venue: Venue,
    kinds: tuple[Kind, Kind],
    seconds: float,
    voice: Voice | None,
    *,
    ppm: float = 0.0,
    quiet_s: float = QUIET_S,
) -> Scene:
    key = (*kinds, seconds, voice, ppm)
    if key not in venue.scenes:
        async with venue.call(*kinds, ppm=(ppm, -ppm)) as pair:
            venue.scenes[key] = await stay(pair, seconds, voice, quiet_s)
    return venue.scenes[key]


async def _anew(
    venue: Venue, kinds: tuple[Kind, Kind], voice: Voice | None, quiet_s: float
) -> Scene:
    async with venue.call(*kinds, ppm=(COMMON_PPM, -COMMON_PPM)) as pair:
        scene = await stay(pair, venue.plan.cpu_s, voice, quiet_s)
    venue.scenes[*kinds, voice] = scene
    return scene
