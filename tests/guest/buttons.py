"""Checks of the talk button: contacts that bounce, a button that is held at boot."""

import asyncio

from tests.guest.box import TALK, TALKING, InstalledBox
from tests.guest.site import Site

BOUNCE_S = 0.003
BOUNCES = 2
HELD_S = 1.0
AFTER_S = 0.7
"""Time after the release in which the lamp goes off: the tail is part of it."""
ON_S = 0.15
PRESSES = 12
SPEECH_S = 120.0
"""Longer than the presses of one mode."""

Lamp = list[tuple[float, int]]


def edges(bounces: int) -> list[tuple[float, str]]:
    """Return times and directions of one press, held for `HELD_S`."""
    moments = [n * BOUNCE_S for n in range(2 * bounces + 1)]
    press = [(at_s, ("down", "up")[n % 2]) for n, at_s in enumerate(moments)]
    released_s = moments[-1] + HELD_S
    release = [
        (released_s + at_s, ("up", "down")[n % 2]) for n, at_s in enumerate(moments)
    ]
    return [*press, *release, (released_s + AFTER_S, "")]


def is_one_talk(lamp: Lamp) -> bool:
    """Whether the lamp went on soon, stayed on while held, and then went off."""
    changes = [(at_s, level) for at_s, level in lamp if at_s > 0.0]
    if [level for _, level in changes] != [1, 0]:
        return False
    return changes[0][0] < ON_S and changes[1][0] > HELD_S


async def bounce(site: Site) -> None:
    """Press a button that bounces: one talk each, in modes hybrid and hold."""
    for mode in ("hybrid", "hold"):
        async with site.box(talk={"mode": mode}) as box:
            await box.joined()
            # A microphone of only silence would be a fault, which refuses presses.
            site.speaks(SPEECH_S)
            # The first seconds after a start take much of the guest's processor.
            await asyncio.sleep(8.0)
            for bounces in (0, BOUNCES):
                await _series(site, box, mode, bounces)


async def _series(site: Site, box: InstalledBox, mode: str, bounces: int) -> None:
    bad = []
    delays_ms = []
    for _ in range(PRESSES):
        lamp: Lamp = await box.machine.ask(
            "play", edges=edges(bounces), pin=TALK, lamp=TALKING
        )
        if is_one_talk(lamp):
            delays_ms += [1000.0 * at_s for at_s, level in lamp if at_s > 0.0 and level]
        else:
            bad.append([(round(at_s, 3), level) for at_s, level in lamp])
        if await box.lamp(TALKING):
            # Left on the air: the next tap ends that.
            await box.press()
            await box.release()
            await asyncio.sleep(1.0)
        await asyncio.sleep(0.4)
    good = PRESSES - len(bad)
    name = (
        f"{mode}, {2 * bounces} extra edges: {good} of {PRESSES} presses are one talk"
    )
    if delays_ms:
        name += f", lamp after {min(delays_ms):.0f} to {max(delays_ms):.0f} ms"
    site.findings.expect(
        not bad, name + (f", lamp of the first other {bad[0]}" if bad else "")
    )


async def held(site: Site) -> None:
    """Boot with the talk button held: nothing is sent until it has been released."""
    findings = site.findings
    # The simulated pin would take a requested pull-up for the level of the line.
    talk = {"pin": TALK, "pull": "none", "active": "low"}
    async with site.box(f"guest.hold={TALK}", buttons={"talk": talk}) as box:
        await box.joined()
        at_s = site.speaks(60.0)
        await asyncio.sleep(4.0)
        findings.expect(not await box.lamp(TALKING), "lamp talking off")
        findings.expect(site.heard_far(at_s) is None, "nothing at the far end")
        await box.release()
        await asyncio.sleep(1.0)
        findings.expect(not await box.lamp(TALKING), "off after the release")
        findings.expect(site.heard_far(at_s) is None, "still nothing at the far end")
        await site.talks(box, "the next press")
