"""The box on real drivers, booted by systemd, without a Pi: `python -m tests.guest`.

User-Mode Linux runs Debian trixie in a usual process. The drivers are real ones
(snd-usb-audio, i2c-tiny-usb, gpio-sim, vhci_hcd); the devices are made here and reach
the guest over USB/IP. README's own command installs the project in it. Then each
check boots the guest anew, at the far end of a real LiveKit server, and prints a line.

Needs root (taps, namespaces, Debian packages) and a Debian host with a C compiler. The
first run builds a kernel, an image of Debian, and the installation; see `cache`. After
a change of the project only the installation is made anew.

Not a part of `.ci/run`: the kernel takes 10 to 20 minutes, and real-time sound in a
guest needs a machine with nothing else to do. The parts that are pure have tests that
run with all others.

Reading order: `site`, `talking`, `machine`, `usbip`, `headset`, `cache`.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from appliance.demo.livekit_server import find_or_build
from appliance.errors import DemoError
from tests.bench.client import UnmeasurableError
from tests.guest import (
    buttons,
    cache,
    header,
    outages,
    parts,
    starts,
    talking,
    taps,
)
from tests.guest.machine import (
    OTHER_PRIORITY,
    OTHER_PROCESSORS,
    Built,
    GuestError,
    on_processors,
    urgently,
)
from tests.guest.site import Site, site
from tests.guest.verdict import CheckError, Result, exit_status, line, summary

Check = Callable[[Site], Awaitable[None]]
CHECKS: dict[str, Check] = {
    "boot": talking.boot,
    "talk": talking.talk,
    "unplug": parts.unplug,
    "screen": parts.screen,
    "bus": parts.bus,
    "bounce": buttons.bounce,
    "held": buttons.held,
    "taken": header.taken,
    "renumbered": header.renumbered,
    "kill": outages.kill,
    "server": outages.server,
    "silence": outages.silence,
    "interface": outages.interface,
    "bare": starts.bare,
    "clock": starts.clock,
    "readonly": starts.readonly,
    "full": starts.full,
    "mixer": parts.mixer,
}
MAX_S = 400.0
"""Longest time of a check."""
TOOLS = (
    "apt-get",
    "chrt",
    "cp",
    "ip",
    "mount",
    "nice",
    "nsenter",
    "taskset",
    "unshare",
)


def main() -> int:
    """Run checks; return 0 if all are ok."""
    options = _parser().parse_args()
    if options.list:
        width = max(map(len, CHECKS))
        for name, check in CHECKS.items():
            print(f"{name:<{width}}  {(check.__doc__ or '').splitlines()[0]}")
        return 0
    if unknown := set(options.checks) - set(CHECKS):
        print(f"unknown: {', '.join(sorted(unknown))}; --list names all checks")
        return 2
    if missing := _missing():
        print(missing, file=sys.stderr)
        return 2
    if options.inside:
        return asyncio.run(_run(options))
    try:
        binary = find_or_build(lambda words: print(words, flush=True))
        with cache.locked() as folder:
            built = cache.built(folder)
            return _inside(built, binary, options)
    except (DemoError, subprocess.CalledProcessError) as exc:
        print(exc, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.guest", description="Checks the box in a guest."
    )
    parser.add_argument(
        "checks", nargs="*", metavar="CHECK", help="run only these; --list names them"
    )
    parser.add_argument("--list", action="store_true", help="print the checks and end")
    parser.add_argument("--keep", type=Path, help="folder for logs of all checks")
    # The process in the namespaces, which this one starts.
    parser.add_argument("--inside", nargs=3, type=Path, help=argparse.SUPPRESS)
    return parser


def _missing() -> str:
    """Return what this machine does not have; empty: it has everything."""
    if os.geteuid() != 0:
        return "Root is needed, for taps: sudo .venv/bin/python -m tests.guest"
    tools = [name for name in TOOLS if shutil.which(name) is None]
    if tools:
        return f"These programs are missing: {', '.join(tools)}"
    if not Path("/dev/net/tun").exists():
        return "There is no /dev/net/tun: this kernel cannot make taps."
    return ""


def _inside(built: Built, binary: Path, options: argparse.Namespace) -> int:
    """Run the checks in namespaces of their own."""
    files = [str(x) for x in (built.kernel, built.root, binary)]
    keep = ["--keep", str(options.keep.absolute())] if options.keep else []
    command = [sys.executable, "-m", "tests.guest", *options.checks, *keep]
    inside = taps.namespaced(*command, "--inside", *files)
    how = (*urgently(OTHER_PRIORITY), *on_processors(OTHER_PROCESSORS))
    return subprocess.call([*how, *inside], cwd=cache.REPOSITORY)


async def _run(options: argparse.Namespace) -> int:
    kernel, root, binary = options.inside
    taps.set_up()
    results = []
    for name in options.checks or CHECKS:
        with tempfile.TemporaryDirectory(prefix="ptt-guest-") as temporary:
            folder = Path(temporary)
            result = await _result(name, Built(kernel, root), binary, folder)
            if options.keep:
                ignored = shutil.ignore_patterns("overlay", "card", "*.disk")
                target = options.keep / name
                shutil.copytree(folder, target, ignore=ignored, dirs_exist_ok=True)
        print(line(result), flush=True)
        results.append(result)
    print(summary(results))
    return exit_status(results)


async def _result(name: str, built: Built, binary: Path, folder: Path) -> Result:
    """Run one check; an error is a result, too."""
    start_s = time.monotonic()
    wrong = []
    measured: list[str] = []
    try:
        async with asyncio.timeout(MAX_S), site(built, binary, folder) as place:
            measured, wrong = place.findings.measured, place.findings.wrong
            await CHECKS[name](place)
    except (CheckError, GuestError, UnmeasurableError, DemoError) as exc:
        wrong.append(str(exc))
    except TimeoutError:
        wrong.append(f"not finished within {MAX_S:g} s")
    return Result(name, time.monotonic() - start_s, tuple(measured), tuple(wrong))


if __name__ == "__main__":
    sys.exit(main())
