"""The guest as a process: User-Mode Linux, its disks, and the channel to its agent."""

import asyncio
import contextlib
import json
import os
import socket
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.guest.taps import LAN_TAP, USB_TAP

START_S = 60.0
"""Time-out for the agent's first line; usually 6 s."""
MARGIN_S = 30.0
"""Time by which a response may be later than the command's own time-out."""
LONGEST_LINE = 1 << 24
MEMORY = "1000M"
BLOCK = 512


GUEST_PRIORITY, OTHER_PRIORITY = 10, 1
"""Real-time priorities. Guest and devices come before all that uses them."""
PROCESSORS = list(range(os.cpu_count() or 1))
GUEST_PROCESSOR, OTHER_PROCESSORS = PROCESSORS[-1:], PROCESSORS[:-1] or PROCESSORS
"""The guest's kernel and its programs wake each other at each system call: on one
processor that takes half the time, and nothing of ours may be in their way."""


class GuestError(Exception):
    """Error: the guest does not do what every guest should."""


@dataclass(frozen=True, slots=True)
class Disks:
    """Files of a guest."""

    kernel: Path
    root: Path
    overlay: Path | None = None
    """File that takes all changes, made anew at each boot; None: root is changed."""
    config: Path | None = None
    """Configuration of the box for this boot."""


@dataclass(slots=True)
class Machine:
    """A running guest."""

    started_s: float
    """Monotonic time at which its kernel started."""
    _process: Process
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _pending: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    async def shell(self, command: str, most_s: float = 60.0) -> str:
        """Run a command in the guest; return its output, whatever its exit status."""
        return (await self.run(command, most_s))[1]

    async def run(self, command: str, most_s: float = 60.0) -> tuple[int, str]:
        """Run a command in the guest; return its exit status and output."""
        asked = self.ask("shell", within_s=most_s, command=command, most_s=most_s)
        status, output = await asked
        return status, output.strip()

    async def ask(self, what: str, *, within_s: float = 10.0, **arguments: Any) -> Any:
        """Have the agent call one of its functions.

        Raises:
            GuestError: it fails, or does not answer in time.
        """
        number = next(self._numbers)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "do": what, **arguments}
        self._writer.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(within_s + MARGIN_S):
                return await answer
        except TimeoutError as exc:
            sentence = f"the guest does not answer: {what} {arguments}"
            raise GuestError(sentence) from exc

    async def power_off(self) -> None:
        """Shut it down, so that what was written is on the disk."""
        # It may be gone before it answers.
        request = {"id": 0, "do": "shell", "command": "systemctl poweroff", "most_s": 9}
        self._writer.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(START_S):
            await self._process.wait()

    async def read(self) -> None:
        """Hand responses to those who wait for them, until the guest ends."""
        while line := await self._reader.readline():
            # The kernel may write to this line before the agent does.
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                waiting = self._pending.pop(message["id"], None)
                if waiting is None or waiting.done():
                    continue
                if "error" in message:
                    waiting.set_exception(GuestError(message["error"]))
                else:
                    waiting.set_result(message["result"])

    async def is_ready(self) -> None:
        """Wait for the agent's first line."""
        ready = self._pending[0] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(START_S):
            await ready


@asynccontextmanager
async def boot(disks: Disks, log: Path, *words: str) -> AsyncIterator[Machine]:
    """Boot a guest; it is killed at the end.

    Args:
        disks: its files.
        log: file for its console.
        words: further words for the kernel's command line.

    Raises:
        GuestError: it does not start.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        number = theirs.fileno()
        command = _command(disks, number, words)
        started_s = time.monotonic()
        with log.open("wb") as console:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[number],
                start_new_session=True,
                # The guest's memory is a file there.
                env=os.environ | {"TMPDIR": "/dev/shm"},
            )
    reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
    machine = Machine(started_s, process, reader, writer)
    reading = asyncio.create_task(machine.read())
    try:
        try:
            await machine.is_ready()
        except TimeoutError as exc:
            end = log.read_text(errors="replace")[-2000:]
            sentence = f"no agent; the end of the console:\n{end}"
            raise GuestError(sentence) from exc
        yield machine
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
        reading.cancel()
        writer.close()


def _command(disks: Disks, channel: int, words: tuple[str, ...]) -> list[str]:
    root = str(disks.root)
    if disks.overlay:
        disks.overlay.unlink(missing_ok=True)
        root = f"{disks.overlay},{root}"
    second = [f"ubd1r={disks.config}"] if disks.config else []
    how = () if {"ro", "rw"} & set(words) else ("rw",)
    return [
        *urgently(GUEST_PRIORITY),
        *on_processors(GUEST_PROCESSOR),
        str(disks.kernel),
        f"mem={MEMORY}",
        f"ubd0={root}",
        *second,
        "root=/dev/ubda",
        "con=null",
        "con0=null,fd:1",
        "ssl=null",
        f"ssl0=fd:{channel},fd:{channel}",
        f"vec0:transport=tap,ifname={USB_TAP},depth=64",
        f"vec1:transport=tap,ifname={LAN_TAP},depth=64",
        "net.ifnames=0",
        "seccomp=on",
        "quiet",
        *how,
        *words,
    ]


def urgently(priority: int) -> list[str]:
    """Return the beginning of a command that runs with real-time priority.

    On a busy machine each of the guest's many switches would have to wait otherwise.
    """
    return ["chrt", "--rr", str(priority)]


def on_processors(numbers: list[int]) -> list[str]:
    """Return the beginning of a command that runs on these processors only."""
    return ["taskset", "--cpu-list", ",".join(map(str, numbers))]


def write_config(text: str, file: Path) -> None:
    """Write a configuration as a disk: a whole number of blocks, zeros at its end."""
    data = text.encode()
    file.write_bytes(data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0"))
