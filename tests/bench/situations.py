"""Calls that several figures are read from; each takes place once in a run."""

from tests.bench import sound
from tests.bench.box import Kind, MediaDevices, Ours
from tests.bench.scene import Scene, Voice, stay
from tests.bench.venue import Venue

PPM = 200.0
"""Each card's clock is wrong by this, one too fast, the other too slow."""
COMMON_PPM = 30.0
"""What a common crystal is wrong by."""


async def plain_call(venue: Venue) -> Scene:
    """Ours without processing, noise both ways, clocks apart; only a has a page."""
    kinds = (Ours(has_processing=False), Ours(has_processing=False, has_page=False))
    return await _once(venue, kinds, venue.plan.call_s, sound.noise, PPM)


async def rival_plain_call(venue: Venue) -> Scene:
    """The same with the SDK's own."""
    kinds = (MediaDevices(), MediaDevices())
    return await _once(venue, kinds, venue.plan.rival_call_s, sound.noise, PPM)


async def call(venue: Venue) -> Scene:
    """Ours as it comes, voices both ways; a with page and screen, b without."""
    kinds = (Ours(), Ours(has_page=False))
    return await _once(venue, kinds, venue.plan.cpu_s, sound.talk)


async def rival_call(venue: Venue) -> Scene:
    """The SDK's own with its processing, voices both ways."""
    kinds = (MediaDevices(has_processing=True), MediaDevices(has_processing=True))
    return await _once(venue, kinds, venue.plan.cpu_s, sound.talk)


async def silence(venue: Venue) -> Scene:
    """Ours as it comes, joined, nobody presses; a with page and screen, b without."""
    kinds = (Ours(mode="hybrid"), Ours(mode="hybrid", has_page=False))
    return await _once(venue, kinds, venue.plan.cpu_s, None)


async def short_plain_call(venue: Venue) -> Scene:
    """Ours without processing, noise both ways; only a has a page."""
    kinds = (Ours(has_processing=False), Ours(has_processing=False, has_page=False))
    return await _once(venue, kinds, venue.plan.cpu_s, sound.noise, COMMON_PPM)


async def rival_short_plain_call(venue: Venue) -> Scene:
    """The same with the SDK's own; each time anew."""
    kinds = (MediaDevices(), MediaDevices())
    seconds = venue.plan.cpu_s
    async with venue.call(*kinds, ppm=(COMMON_PPM, -COMMON_PPM)) as pair:
        return await stay(pair, seconds, sound.noise)


async def _once(
    venue: Venue,
    kinds: tuple[Kind, Kind],
    seconds: float,
    voice: Voice | None,
    ppm: float = 0.0,
) -> Scene:
    key = (kinds, seconds, voice, ppm)
    if key not in venue.scenes:
        async with venue.call(*kinds, ppm=(ppm, -ppm)) as pair:
            venue.scenes[key] = await stay(pair, seconds, voice)
    return venue.scenes[key]
