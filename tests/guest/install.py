"""Installs the project in a guest as a person does; `cache` starts it in a namespace.

The clone is copied to /home/pi/ptt and README's command is run there, by a user that
may call sudo. A second run must be as good: it is the upgrade.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

from tests.guest import relay, taps
from tests.guest.cache import INSTALLED, REPOSITORY
from tests.guest.headset import Headset
from tests.guest.i2c_adapter import I2cAdapter
from tests.guest.machine import Disks, GuestError, Machine, boot

COMMAND = "sudo bash systemd/install.sh"
"""Step 6 of README's section "Install it"."""
MOST_S = 900.0
CLONE = "/home/pi/ptt"


def main() -> int:
    """Install; return 0 if everything worked."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest.install")
    parser.add_argument("--kernel", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--proxy", type=Path, required=True)
    options = parser.parse_args()
    try:
        asyncio.run(_install(options.kernel, options.folder, options.proxy))
    except GuestError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


async def _install(kernel: Path, folder: Path, proxy: Path) -> None:
    taps.set_up()
    Headset((taps.USB_HOST, 3240), time.monotonic_ns())
    I2cAdapter((taps.USB_HOST, 3241))
    root = folder / "root.ext4"
    _copy_the_clone(root)
    async with (
        relay.inner(proxy),
        boot(Disks(kernel, root), folder / "console.log") as machine,
    ):
        await _run(machine, f"chown --recursive pi:pi {CLONE}")
        readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
        assert f"`{COMMAND}`" in readme
        for _ in range(2):
            start_s = time.monotonic()
            await _run(machine, f"cd {CLONE} && runuser --user pi -- {COMMAND}")
            print(f"{COMMAND}: {time.monotonic() - start_s:.0f} s", flush=True)
        await machine.power_off()


def _copy_the_clone(root: Path) -> None:
    """Write the project into the image, before it is booted."""
    mount = root.parent / "mount"
    mount.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", root, mount], check=True)
    try:
        target = mount / CLONE.removeprefix("/")
        target.mkdir(exist_ok=True)
        files = map(str, INSTALLED)
        subprocess.run(["cp", "--recursive", *files, target], check=True)
    finally:
        subprocess.run(["umount", mount], check=True)


async def _run(machine: Machine, command: str) -> None:
    """Raises GuestError with the end of the output if the command fails."""
    status, output = await machine.run(command, MOST_S)
    if status:
        sentence = f"{command}: status {status}\n{output[-3000:]}"
        raise GuestError(sentence)


if __name__ == "__main__":
    sys.exit(main())
