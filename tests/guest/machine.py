"""The guest as a process: User-Mode Linux, its disks, and the channel to its agent."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
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
class Built:
    """Files from which every guest is booted."""

    kernel: Path
    root: Path


@dataclass(slots=True)
class Machine:
    """A running guest."""

    _process: Process
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _pending: dict[int, asyncio.Future[Any]]
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

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


@asynccontextmanager
async def boot(
    built: Built, folder: Path, *words: str, config: str | None = None
) -> AsyncIterator[Machine]:
    """Boot a guest; it is killed at the end.

    Args:
        built: its files.
        folder: for its console and what it writes.
        words: further words for the kernel's command line.
        config: configuration of the box for this boot, after which everything that
            was written is forgotten; None: the root file system itself is changed.

    Raises:
        GuestError: it does not start.
    """
    ours, theirs = socket.socketpair()
    console = folder / "console.log"
    with theirs, console.open("wb") as output:
        number = theirs.fileno()
        process = await asyncio.create_subprocess_exec(
            *_command(built, number),
            *_disks(built.root, folder, config),
            *words,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[number],
            start_new_session=True,
            # The guest's memory is a file there.
            env=os.environ | {"TMPDIR": "/dev/shm"},
        )
    reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
    ready = asyncio.get_running_loop().create_future()
    machine = Machine(process, reader, writer, {0: ready})
    reading = asyncio.create_task(machine.read())
    try:
        async with asyncio.timeout(START_S):
            await ready
    except TimeoutError as exc:
        end = console.read_text(errors="replace")[-2000:]
        sentence = f"no agent; the end of the console:\n{end}"
        raise GuestError(sentence) from exc
    else:
        yield machine
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        reading.cancel()
        writer.close()


def _command(built: Built, channel: int) -> list[str]:
    return [
        *urgently(GUEST_PRIORITY),
        *on_processors(GUEST_PROCESSOR),
        str(built.kernel),
        f"mem={MEMORY}",
        "root=/dev/ubda",
        "rw",
        "con=null",
        "con0=null,fd:1",
        "ssl=null",
        f"ssl0=fd:{channel},fd:{channel}",
        f"vec0:transport=tap,ifname={USB_TAP},depth=64",
        f"vec1:transport=tap,ifname={LAN_TAP},depth=64",
        "net.ifnames=0",
        "seccomp=on",
        "quiet",
    ]


def _disks(root: Path, folder: Path, config: str | None) -> list[str]:
    """Return root and, read-only, the configuration: whole blocks, zeros at its end."""
    if config is None:
        return [f"ubd0={root}"]
    overlay, second = folder / "overlay", folder / "config.disk"
    overlay.unlink(missing_ok=True)
    data = config.encode()
    second.write_bytes(data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0"))
    return [f"ubd0={overlay},{root}", f"ubd1r={second}"]


def urgently(priority: int) -> list[str]:
    """Return the beginning of a command that runs with real-time priority.

    On a busy machine each of the guest's many switches would have to wait otherwise.
    """
    return ["chrt", "--rr", str(priority)]


def on_processors(numbers: list[int]) -> list[str]:
    """Return the beginning of a command that runs on these processors only."""
    return ["taskset", "--cpu-list", ",".join(map(str, numbers))]
