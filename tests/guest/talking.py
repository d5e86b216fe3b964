"""Checks of an ordinary day: boot, and a talk in both directions."""

import asyncio

from tests.guest.box import ONLINE, TALKING, InstalledBox, until
from tests.guest.site import Reception, Site

BOOT_S = 40.0
"""Longest time from the kernel's start to the room; 12 s on an idle PC."""
TALK_S = 8.0
DELAY_MS = 1000.0
SILENT_PERCENT = 5.0
"""Of speech without a pause. These two are wide, because a guest's time is not a
Pi's: figures are those of `tests.bench`."""


async def boot(site: Site) -> None:
    """Boot to the room; lamps, screen and doctor agree, no unit has failed."""
    findings = site.findings
    # A new system's speaker is at -20 dB, which doctor would name; see `mixer`.
    async with site.box(sound={"mixer": {"speaker": 90}}) as box:
        await box.joined()
        since = "systemctl show -p {} --value ptt-appliance"
        started = await box.machine.shell(
            since.format("ExecMainStartTimestampMonotonic")
        )
        ready = await box.machine.shell(since.format("ActiveEnterTimestampMonotonic"))
        joined_s = await _joined_s(box)
        findings.note(f"service starts {int(started) / 1e6:.1f} s after the kernel")
        findings.note(f"ready {int(ready) / 1e6:.1f} s")
        findings.expect(joined_s < BOOT_S, f"in the room {joined_s:.1f} s")
        findings.expect(await box.lamp(ONLINE), "lamp online")
        findings.expect(not await box.lamp(TALKING), "lamp talking off")
        await until("a picture on the screen", site.adapter.is_lit, 10.0)
        failed = await box.machine.shell("systemctl --failed --no-legend --plain")
        findings.expect(not failed, f"failed units: {failed or 'none'}")
        status, words = await box.machine.run("ptt-appliance doctor")
        findings.expect(
            status == 0, f"doctor: {'nothing wrong' if not status else words}"
        )


async def _joined_s(box: InstalledBox) -> float:
    """Return when the box was in the room, in seconds since the kernel's start."""
    command = "journalctl -b -u ptt-appliance -o short-monotonic --no-pager"
    lines = await box.machine.shell(f"{command} | grep -m1 'joined  ticket'")
    return float(lines.partition("[")[2].partition("]")[0])


async def talk(site: Site) -> None:
    """A press is heard at the far end, the far end at the speaker, without big gaps."""
    findings = site.findings
    async with site.box() as box:
        await box.joined()
        site.speaks(60.0)
        site.far_speaks(5.0 + TALK_S)
        # Jitter buffers have their length by then.
        await asyncio.sleep(5.0)
        at_s = site.headset.now_s()
        await asyncio.sleep(TALK_S + 3.0)
        findings.expect(site.heard_far(at_s) is None, "nothing at the far end before")
        _expect(site, "far end to speaker", site.received_here(at_s, TALK_S))
        pressed_s = site.headset.now_s()
        await box.press()
        await box.lit(TALKING, True)
        first_s = await site.until_heard(site.heard_far, pressed_s, 10.0)
        findings.note(f"press to first sound {1000 * first_s:.0f} ms")
        await asyncio.sleep(3.0)
        at_s = site.headset.now_s()
        await asyncio.sleep(TALK_S + 3.0)
        _expect(site, "microphone to far end", site.received_far(at_s, TALK_S))
        await box.release()
        await box.lit(TALKING, False)
        await asyncio.sleep(1.5)
        at_s = site.headset.now_s()
        await asyncio.sleep(2.0)
        findings.expect(site.heard_far(at_s) is None, "silence after the release")


def _expect(site: Site, direction: str, reception: Reception) -> None:
    is_right = (
        reception.delay_ms <= DELAY_MS and reception.silent_percent <= SILENT_PERCENT
    )
    words = f"{reception.delay_ms:.0f} ms, {reception.silent_percent:.1f} % silent"
    site.findings.expect(is_right, f"{direction} {words}")
