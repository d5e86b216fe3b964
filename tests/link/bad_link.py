"""Bad network link between clients and a LiveKit server, changeable while in use.

The clients live in the network namespace of the calling process, the server in another
one; a seeded process in between delays and drops packets. The calling process must
have a namespace of its own, which `namespaced` gives to a command::

    subprocess.run(namespaced(sys.executable, "-m", "tests.bench.link_calls", order))
    ...
    async with bad_link(binary, tmp_path) as (link, server):
        await link.change(Quality(base_ms=15, jitter_ms=20, loss=0.005))
        ...  # join clients to server.url
        await link.interrupt(2.0)

Needs root or user namespaces, and `/dev/net/tun`.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.demo.livekit_server import LocalServer
from tests.bench.client import ROOT, together_with_us
from tests.link.middle import FAR, Quality

START_S = 10.0
END_S = 5.0


@dataclass(frozen=True, slots=True)
class Count:
    """Packets in both directions since the last command."""

    passed: int
    dropped: int
    late_ms: float
    """Largest delay that is the fault of the link's own process."""


class BadLink:
    """Control of the process in the middle."""

    def __init__(self, middle: Process) -> None:
        """Control this process."""
        self._middle = middle

    async def change(self, quality: Quality, seed: int = 1) -> Count:
        """Change the quality; the same seed repeats the same random numbers."""
        return await self._tell({"quality": asdict(quality), "seed": seed})

    async def stall(self, seconds: float) -> Count:
        """Hold all packets for a while; they arrive late, but arrive."""
        return await self._tell({"stall_s": float(seconds)})

    async def interrupt(self, seconds: float) -> Count:
        """Drop all packets for a while."""
        return await self._tell({"gap_s": float(seconds)})

    async def count(self) -> Count:
        """Return the packets since the last command."""
        return await self._tell({})

    async def _tell(self, command: dict[str, object]) -> Count:
        assert self._middle.stdin is not None
        self._middle.stdin.write(json.dumps(command).encode() + b"\n")
        found = json.loads(await _line(self._middle))
        return Count(found["passed"], found["dropped"], found["late_ms"])


def namespaced(*command: str) -> list[str]:
    """Return the command for a process in a network namespace of its own.

    As root with real-time priority, which its children inherit: on a busy machine the
    delay of the link would otherwise be hidden by that of the machine.
    """
    unshare = shutil.which("unshare") or "unshare"
    if os.geteuid() != 0:
        return [*together_with_us(), unshare, "--net", "--map-root-user", *command]
    return [*together_with_us(), *_urgently(), unshare, "--net", *command]


def obstacle() -> str:
    """Return why this machine cannot have such a link; empty: it can."""
    attempt = namespaced(sys.executable, "-c", "open('/dev/net/tun', 'rb+', 0)")
    tried = subprocess.run(attempt, capture_output=True, text=True, check=False)
    return tried.stderr.strip().rpartition("\n")[2] if tried.returncode else ""


def _urgently() -> list[str]:
    """Return the command for real-time priority, if it is permitted."""
    command = [shutil.which("chrt") or "chrt", "--rr", "1"]
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else []


@asynccontextmanager
async def bad_link(
    binary: Path, folder: Path
) -> AsyncIterator[tuple[BadLink, LocalServer]]:
    """Start a server in a namespace behind a link without delay.

    Args:
        binary: the LiveKit server's program.
        folder: an existing folder for one file.
    """
    unshare = shutil.which("unshare") or "unshare"
    far = await _start(unshare, "--net", "sh", "-c", "echo up; exec cat")
    try:
        middle = await _start(sys.executable, "-m", "tests.link.middle", str(far.pid))
        inside = folder / "livekit-server-behind-the-link"
        space = f"--net=/proc/{far.pid}/ns/net"
        inside.write_text(f'#!/bin/sh\nexec nsenter {space} "{binary}" "$@"\n')
        inside.chmod(0o700)
        try:
            async with LocalServer(inside, FAR) as server:
                yield BadLink(middle), server
        finally:
            await _end(middle)
    finally:
        await _end(far)


async def _start(*command: str) -> Process:
    """Start a process and wait for its first line."""
    process = await asyncio.create_subprocess_exec(
        *together_with_us(), *command, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    assert await _line(process) == b"up\n", f"not started: {command}"
    return process


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        return await process.stdout.readline()


async def _end(process: Process) -> None:
    """End it by the end of its input."""
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(END_S):
        await process.wait()
