"""Installs the project in a guest as a person does; `cache` starts it in a namespace.

The clone is copied to /home/pi/ptt and README's command is run there, by a user that
may call sudo. A second run must be as good: it is the upgrade.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.guest import package_proxy, taps
from tests.guest.cache import INSTALLED, REPOSITORY
from tests.guest.headset import Headset
from tests.guest.i2c_adapter import I2cAdapter
from tests.guest.machine import Built, GuestError, Machine, boot

COMMAND = "sudo bash systemd/install.sh"
"""Step 6 of README's section "Install it"."""
MAX_S = 900.0
CLONE = "/home/pi/ptt"


def main(kernel: str, root: str, way_out: str) -> int:
    """Install; return 0 if everything worked.

    Args:
        kernel: the guest's kernel.
        root: its disk, which is changed.
        way_out: number of the open socket by which the proxy is reached.
    """
    taps.set_up()
    with socket.socket(fileno=int(way_out)) as pair:
        package_proxy.offer(pair)
    _copy_the_clone(Path(root))
    try:
        asyncio.run(_install(Built(Path(kernel), Path(root))))
    except GuestError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _copy_the_clone(root: Path) -> None:
    """Write the project into the image, before it is booted."""
    with tempfile.TemporaryDirectory() as mount:
        subprocess.run(["mount", "-o", "loop", str(root), mount], check=True)
        try:
            target = Path(mount) / CLONE.removeprefix("/")
            target.mkdir(exist_ok=True)
            files = map(str, INSTALLED)
            subprocess.run(["cp", "--recursive", *files, str(target)], check=True)
        finally:
            subprocess.run(["umount", mount], check=True)


async def _install(built: Built) -> None:
    Headset((taps.USB_HOST, 3240), time.monotonic_ns())
    I2cAdapter((taps.USB_HOST, 3241))
    async with boot(built, built.root.parent) as machine:
        await _run(machine, f"chown --recursive pi:pi {CLONE}")
        readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
        assert f"`{COMMAND}`" in readme
        for _ in range(2):
            start_s = time.monotonic()
            await _run(machine, f"cd {CLONE} && runuser --user pi -- {COMMAND}")
            print(f"{COMMAND}: {time.monotonic() - start_s:.0f} s", flush=True)
        await machine.power_off()


async def _run(machine: Machine, command: str) -> None:
    """Raises GuestError with the end of the output if the command fails."""
    status, output = await machine.run(command, MAX_S)
    if status:
        sentence = f"{command}: status {status}\n{output[-3000:]}"
        raise GuestError(sentence)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
