"""Checks of the GPIO header: a pin that is in use, and a chip with another number."""

from functools import partial

from tests.guest.box import UNIT, InstalledBox, until
from tests.guest.parts import BACK_S, NAMED_S, PATIENCE_S
from tests.guest.site import Site

HOLD = """\
import lgpio, time
chip = next(x for x in range(9) if "pinctrl" in lgpio.gpio_get_chip_info(
    lgpio.gpiochip_open(x))[3])
lgpio.gpio_claim_input(lgpio.gpiochip_open(chip), 17)
time.sleep(999)
"""
"""Program that holds the talk button's pin open."""
HOLDER = "holder"
RENUMBER = """\
set -e
cd /sys/kernel/config/gpio-sim
echo 0 > pi/live
mkdir -p other/bank0
echo 4 > other/bank0/num_lines
echo 1 > other/live
echo 1 > pi/live
ln -sfn "/sys/devices/platform/$(<pi/dev_name)/$(<pi/bank0/chip_name)" /run/gpio
for pin in 17 27; do echo pull-up > /run/gpio/sim_gpio$pin/pull; done
cat pi/bank0/chip_name
"""
"""Makes another chip first, so that the header's gets the next number."""


async def taken(site: Site) -> None:
    """Start while a program holds the talk button's pin; then it lets go."""
    findings = site.findings
    async with site.box() as box:
        await box.joined()
        site.speaks(90.0)
        await box.machine.shell(f"systemctl stop {UNIT}")
        await box.machine.shell(
            f"systemd-run --quiet --unit {HOLDER} python3 -c '{HOLD}'; sleep 2"
        )
        await box.machine.shell(f"systemctl start {UNIT}")
        named_s = await until("in use", partial(_says, box, "in use by"), PATIENCE_S)
        findings.expect(named_s <= NAMED_S, f"named {named_s:.1f} s after the start")
        await box.joined()
        await box.machine.shell(f"systemctl stop {HOLDER}")
        found = 'button found  name="talk GPIO17"'
        found_s = await until(found, partial(_says, box, found), PATIENCE_S)
        words = f"found {found_s:.1f} s after the program ended"
        findings.expect(found_s <= BACK_S, words)
        await site.talks(box, "a press then")


async def renumbered(site: Site) -> None:
    """Start with another number of the chip: the button works."""
    findings = site.findings
    async with site.box() as box:
        await box.joined()
        site.speaks(90.0)
        await box.machine.shell(f"systemctl stop {UNIT}")
        name = await box.machine.shell(RENUMBER)
        findings.expect(name.startswith("gpiochip"), f"the header is {name}")
        await box.machine.shell(f"systemctl start {UNIT}")
        await box.joined()
        await site.talks(box, "a press")


async def _says(box: InstalledBox, words: str) -> bool:
    """Whether the service has written these words since this boot."""
    return words in await box.journal()
