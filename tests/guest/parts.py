"""Checks of parts that go away and come back, and of the sound card's mixer."""

import asyncio
import random
import re
import time
from functools import partial
from statistics import median

from tests.bench.hearing import MAX_S
from tests.guest.box import InstalledBox, until
from tests.guest.site import Site

PLUGS = 10
AWAY_S = (1.2, 2.5, 0.2, 6.0, 4.0, 1.7, 0.6, 9.0, 3.0, 2.0)
NAMED_S = 5.0
"""Longest time until the box says that a part is gone."""
BACK_S = 3.0
"""Longest time until a part works again; 1.4 s is usual for sound."""
PATIENCE_S = 15.0
"""Time after which something counts as never happening."""
BUFFERED_S = 0.3
"""Time for which the far end may still play what was said before."""
LATE_MS = 250.0
"""Largest delay when all has settled after the unplugs; 90 ms is usual before them.

Each unplug stops the guest's only processor for 0.2 s, because PortAudio's thread
spins. LiveKit's jitter buffers get as long and shrink within a minute in a voice that
never pauses; the appliance's own keep up to 55 ms for some minutes.
"""
SETTLED_S = 60.0
"""Longest time until then."""
WINDOW_S = 2.0
MAX_LEFT = 2
"""Threads and files that may be added by ten unplugs; some are made at first use."""
MAX_LEFT_MB = 15.0
AWAY_LONG_S = 8.0
QUIET_DB = -15.0
"""Below this, a box on a table is hard to hear."""
LOUD = {"earcons": False, "mixer": {"speaker": 90}}


async def unplug(site: Site) -> None:
    """Unplug the headset ten times, idle and in a talk: the sound comes back."""
    findings, rng = site.findings, random.Random(7)
    async with site.box() as box:
        await box.joined()
        site.far_speaks(250.0)
        site.speaks(250.0)
        await asyncio.sleep(5.0)
        pid, before = await box.pid(), await box.usage()
        here_s, far_s = [], []
        for turn in range(PLUGS):
            await asyncio.sleep(2.0 + 3.0 * rng.random())
            is_talk = turn % 2 == 1
            if is_talk:
                await box.press()
                await asyncio.sleep(0.5 + 2.0 * rng.random())
            site.headset.unplug()
            away_s = AWAY_S[turn] + rng.random()
            if away_s > NAMED_S:
                await _expect_named(site, box, "no microphone")
            await asyncio.sleep(away_s)
            at_s = site.headset.now_s()
            site.headset.plug()
            here_s.append(await site.until_heard(site.heard_here, at_s, PATIENCE_S))
            if is_talk:
                later_s = at_s + BUFFERED_S
                heard_s = await site.until_heard(site.heard_far, later_s, PATIENCE_S)
                far_s.append(heard_s + BUFFERED_S)
                await box.release()
        await box.press()
        await _expect_settled(site)
        await box.release()
        after = await box.usage()
        for seconds, words in (
            (here_s, f"{PLUGS} unplugs: {_spread(here_s)} until the speaker plays"),
            (far_s, f"{_spread(far_s)} until the far end hears"),
        ):
            findings.expect(max(seconds) <= BACK_S, words)
        findings.expect(await box.pid() == pid, "the same process")
        for what, most in (("threads", MAX_LEFT), ("files", MAX_LEFT)):
            words = f"{what} {before[what]:.0f} to {after[what]:.0f}"
            findings.expect(after[what] - before[what] <= most, words)
        grown_mb = after["rss_mb"] - before["rss_mb"]
        findings.expect(grown_mb <= MAX_LEFT_MB, f"{grown_mb:+.1f} MB of memory")


async def _expect_settled(site: Site) -> None:
    """Expect that the delay in both directions is the usual one again in time."""
    start_s = site.headset.now_s()
    listen = {"here": site.received_here, "there": site.received_far}
    first_ms: dict[str, float] = {}
    settled = dict.fromkeys(listen, "")
    while not all(settled.values()) and site.headset.now_s() - start_s < SETTLED_S:
        at_s = site.headset.now_s()
        await asyncio.sleep(WINDOW_S + MAX_S)
        for where, received in listen.items():
            delay_ms = received(at_s, WINDOW_S).delay_ms
            first_ms.setdefault(where, delay_ms)
            # A NaN is not settled, either.
            if delay_ms <= LATE_MS and not settled[where]:
                after_s = at_s + WINDOW_S - start_s
                settled[where] = f"{delay_ms:.0f} ms after {after_s:.0f} s"
    for where, words in settled.items():
        found = words or f"not {LATE_MS:.0f} ms within {SETTLED_S:.0f} s"
        late = f"speech {first_ms[where]:.0f} ms late {where} after the last unplug"
        site.findings.expect(bool(words), f"{late}, {found}")


async def screen(site: Site) -> None:
    """Take the screen's power, then its bus: the picture comes back."""
    findings = site.findings
    is_lit = site.adapter.is_lit
    async with site.box() as box:
        await box.joined()
        pid = await box.pid()
        await until("a picture on the screen", is_lit, PATIENCE_S)
        for name, away, back in (
            ("power", site.adapter.power_off, site.adapter.power_on),
            ("bus", site.adapter.unplug, site.adapter.plug),
        ):
            lost = await _lines(box, "screen lost")
            away()
            lost_s = await until(
                f"the screen lost without its {name}",
                partial(_has_more, box, "screen lost", lost),
                PATIENCE_S,
            )
            findings.expect(lost_s <= NAMED_S, f"named {lost_s:.1f} s after the {name}")
            await asyncio.sleep(AWAY_LONG_S)
            back()
            back_s = await until(f"the picture after the {name}", is_lit, PATIENCE_S)
            words = f"picture {back_s:.1f} s after the {name} is back"
            findings.expect(back_s <= BACK_S, words)
        findings.expect(await box.pid() == pid, "the same process")
        findings.expect(await box.is_in_room(), "in the room all the time")


async def bus(site: Site) -> None:
    """Boot without the I²C bus, which appears a second after the service: no fault."""
    findings = site.findings
    site.adapter.unplug()
    async with site.box() as box:
        await until("the service", partial(_is_running, box), PATIENCE_S)
        await asyncio.sleep(1.0)
        site.adapter.plug()
        lit_s = await until("a picture", site.adapter.is_lit, PATIENCE_S)
        findings.note(f"picture {lit_s:.1f} s after the bus")
        await box.joined()
        lost = await _lines(box, "screen lost")
        findings.expect(lost == 0, f"{lost} lines about it")


async def mixer(site: Site) -> None:
    """A new system's speaker is at -20 dB: doctor says so, one key makes it louder."""
    findings = site.findings
    async with site.box() as box:
        await box.joined()
        findings.note(f"speaker at {site.headset.speaker_db():.0f} dB")
        status, words = await box.machine.run("ptt-appliance doctor")
        named = re.findall(r"WRONG .*speaker.*dB.*", words)
        said = named[0] if named else f"doctor does not name it: {words}"
        findings.expect(bool(named) and status == 1, said)
    async with site.box(sound=LOUD) as box:
        await box.joined()
        speaker_db = site.headset.speaker_db()
        is_loud = speaker_db > QUIET_DB
        findings.expect(is_loud, f"{speaker_db:.0f} dB with sound.mixer")
        status, words = await box.machine.run("ptt-appliance doctor")
        said = "nothing wrong" if status == 0 else words
        findings.expect(status == 0, f"doctor then: {said}")


async def _expect_named(site: Site, box: InstalledBox, words: str) -> None:
    """Expect these words in the service's status in time."""
    start_s = time.monotonic()

    async def is_named() -> bool:
        return words in await box.status()

    await until(words, is_named, PATIENCE_S)
    named_s = time.monotonic() - start_s
    site.findings.expect(named_s <= NAMED_S, f"{words!r} after {named_s:.1f} s")


async def _lines(box: InstalledBox, words: str) -> int:
    """Return the number of journal lines with these words."""
    return sum(words in line for line in (await box.journal()).splitlines())


async def _has_more(box: InstalledBox, words: str, before: int) -> bool:
    return await _lines(box, words) > before


async def _is_running(box: InstalledBox) -> bool:
    return await box.pid() > 0


def _spread(seconds: list[float]) -> str:
    return f"median {median(seconds):.1f} s, worst {max(seconds):.1f} s"
