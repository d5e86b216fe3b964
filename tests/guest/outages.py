"""Checks of what ends a session: the service, the server, and the network."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from statistics import median

from tests.guest import taps
from tests.guest.box import ONLINE, TALKING, InstalledBox, until
from tests.guest.site import Site

KILLS = 5
SOUND_S = 30.0
NAMED_S = 3.0
"""Longest time until the box says that its network is gone; a second of it is ours."""
BUFFERED_S = 0.3


async def kill(site: Site) -> None:
    """Kill the service with SIGKILL: systemd starts it, and it is in the room again."""
    findings, rng = site.findings, random.Random(3)
    async with site.box() as box:
        await box.joined()
        site.far_speaks(150.0)
        joined_s, sound_s = [], []
        for _ in range(KILLS):
            await asyncio.sleep(2.0 + 2.5 * rng.random())
            old = await box.pid()
            at_s = site.headset.now_s()
            await box.machine.shell(f"kill -9 {old}")

            async def is_new(old: int = old) -> bool:
                return await box.pid() not in {0, old} and await box.is_in_room()

            joined_s.append(await until("in the room again", is_new, 40.0))
            later_s = at_s + BUFFERED_S
            heard_s = await site.until_heard(site.heard_here, later_s, SOUND_S)
            sound_s.append(heard_s + BUFFERED_S)
        findings.note(f"{KILLS} times: in the room after {median(joined_s):.1f} s")
        findings.note(f"worst {max(joined_s):.1f} s")
        findings.note(
            f"sound after {median(sound_s):.1f} s, worst {max(sound_s):.1f} s"
        )
        restarts = await box.restarts()
        findings.expect(restarts == KILLS, f"{restarts} restarts by systemd")


async def server(site: Site) -> None:
    """Take the server away for 6 s and 40 s: both are in the room again."""
    for seconds in (6.0, 40.0):
        await _outage(site, "server", seconds, site.server.kill, site.server.start)


async def silence(site: Site) -> None:
    """Let no packet pass for 5 s and 45 s, without a link that goes down."""

    async def away() -> None:
        taps.silence()

    async def back() -> None:
        taps.restore()

    for seconds in (5.0, 45.0):
        await _outage(site, "network", seconds, away, back)


async def _outage(
    site: Site,
    what: str,
    seconds: float,
    away: Callable[[], Awaitable[None]],
    back: Callable[[], Awaitable[None]],
) -> None:
    """Boot, take something away in the middle of a talk, and give it back."""
    findings = site.findings
    async with site.box() as box:
        await box.joined()
        pid = await box.pid()
        site.speaks(120.0)
        site.far_speaks(120.0)
        await asyncio.sleep(3.0)
        await box.press()
        await box.lit(TALKING, True)
        await away()
        await asyncio.sleep(seconds)
        status = await box.status()
        await box.release()
        back_at, at_s = time.monotonic(), site.headset.now_s()
        await back()
        words = f"{what} away {seconds:g} s"
        joined_s = await box.joined()
        if what == "server":
            # It may hear the box before the server says that it answers.
            await site.far.says("track subscribed", since_s=back_at, within_s=60.0)
        sound_s = await site.until_heard(site.heard_here, at_s, SOUND_S)
        findings.note(f"{words}: status {status!r}, in the room {joined_s:.1f} s after")
        findings.note(f"sound {sound_s:.1f} s after")
        await site.talks(box, "a press then")
        findings.expect(await box.pid() == pid, "the same process")


async def interface(site: Site) -> None:
    """Take the interface down: the box says so at once and refuses a press."""
    findings = site.findings
    async with site.box() as box:
        await box.joined()
        site.far_speaks(90.0)
        site.speaks(90.0)
        await asyncio.sleep(3.0)
        await box.machine.shell("ip link set vec1 down")
        await _expect_named(site, box)
        await box.press()
        await asyncio.sleep(1.0)
        findings.expect(not await box.lamp(TALKING), "a press is refused")
        await box.release()
        await asyncio.sleep(8.0)
        at_s = site.headset.now_s()
        await box.machine.shell("ip link set vec1 up && networkctl reconfigure vec1")
        findings.note(f"in the room {await box.joined():.1f} s after it is up")
        sound_s = await site.until_heard(site.heard_here, at_s, SOUND_S)
        findings.note(f"sound {sound_s:.1f} s after")
        await site.talks(box, "a press then")


async def _expect_named(site: Site, box: InstalledBox) -> None:
    start_s = time.monotonic()

    async def is_named() -> bool:
        return not await box.is_in_room() and not await box.lamp(ONLINE)

    await until("status and lamp after the interface is down", is_named, 20.0, 0.1)
    named_s = time.monotonic() - start_s
    words = f"{await box.status()!r} and lamp online off after {named_s:.1f} s"
    site.findings.expect(named_s < NAMED_S, words)
