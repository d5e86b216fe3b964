"""Checks of starts under bad conditions: nothing there, clock, root, full disk."""

import asyncio
import time

from appliance.process.state_files import SCRATCH
from tests.guest import taps
from tests.guest.box import TALKING, until
from tests.guest.site import Site

IN_2020 = 1_577_880_000
"""Seconds since 1970, as a Pi without network and battery may have it."""
BACK_S = 15.0
SERVICE = "ptt-appliance"


async def clock(site: Site) -> None:
    """Boot with the clock in 2020, then set it: the box is in the room all the time."""
    findings = site.findings
    async with site.box(f"guest.clock={IN_2020}") as box:
        await box.joined()
        findings.note(f"date in the guest {await box.machine.shell('date +%F')}")
        site.speaks(60.0)
        await site.talks(box, "a press")
        pid = await box.pid()
        await box.machine.shell(f"date --set @{time.time():.3f}")
        await asyncio.sleep(4.0)
        findings.expect(await box.is_in_room(), "in the room after the clock is set")
        await site.talks(box, "a press then")
        findings.expect(await box.pid() == pid, "the same process")


async def bare(site: Site) -> None:
    """Boot without network, card and screen: each is used as soon as it is there."""
    findings = site.findings
    taps.silence()
    site.headset.unplug()
    site.adapter.power_off()
    async with site.box() as box:
        await asyncio.sleep(15.0)
        findings.note(f"status {await box.status()!r}")
        taps.restore()
        findings.note(f"in the room {await box.joined():.1f} s after the network")
        site.far_speaks(60.0)
        site.speaks(60.0)
        await box.press()
        await asyncio.sleep(1.0)
        findings.expect(not await box.lamp(TALKING), "no talk without a microphone")
        await box.release()
        site.adapter.power_on()
        screen_s = await until("a picture", site.adapter.is_lit, BACK_S)
        findings.note(f"picture {screen_s:.1f} s after the screen's power")
        at_s = site.headset.now_s()
        site.headset.plug()
        sound_s = await site.until_heard(site.heard_here, at_s, BACK_S)
        findings.note(f"sound {sound_s:.1f} s after the card")
        await site.talks(box, "a press then")


async def readonly(site: Site) -> None:
    """Boot with a read-only root file system: the box works, it only forgets."""
    findings = site.findings
    async with site.box("ro") as box:
        status, _ = await box.machine.run("touch /var/lib/x")
        findings.expect(status != 0, "nothing can be written")
        await box.joined()
        site.speaks(60.0)
        await site.talks(box, "a press")
        findings.note(f"{len((await box.journal()).splitlines())} lines in the journal")


async def full(site: Site) -> None:
    """Fill the disk: the box talks, starts again, and `pair` says what is wrong."""
    findings = site.findings
    async with site.box() as box:
        await box.joined()
        fill = (
            "dd if=/dev/zero of=/var/fill bs=1M; dd if=/dev/zero of=/var/fill2 bs=512"
        )
        await box.machine.run(f"({fill}; sync) 2>/dev/null", 300.0)
        free = await box.machine.shell("df --output=avail / | tail -1")
        findings.note(f"{free} kB free")
        site.speaks(90.0)
        await site.talks(box, "a press")
        status, words = await box.machine.run(f"{SERVICE} pair --reset")
        words = " ".join(words.split())[-150:]
        is_named = "space" in words and "root" not in words
        findings.expect(
            status == 0 or is_named, f"pair --reset: status {status}, {words!r}"
        )
        unfinished = f"/var/lib/{SERVICE}/*{SCRATCH}"
        left = await box.machine.shell(f"ls {unfinished} 2>/dev/null")
        findings.expect(not left, f"unfinished files: {left or 'none'}")
        await box.machine.shell(f"systemctl restart {SERVICE}")
        findings.note(f"in the room {await box.joined():.1f} s after a restart")
        await site.talks(box, "a press then")
