"""Client in the room: a process with its virtual card and its output."""

import asyncio
import os
import shutil
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.card.asound import Card

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
"""Time-out; on a working machine everything takes much less."""
END_S = 10.0
LONGEST_LINE = 1 << 20
NOT_INHERITED = ("PTT_", "LIVEKIT_", "PYTHON", "GPIOZERO_")
NEITHER = {"NOTIFY_SOCKET", "JOURNAL_STREAM", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"}


class UnmeasurableError(Exception):
    """Error: an event needed for a figure did not happen."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Line of output of a process."""

    at_s: float
    """Monotonic time of arrival."""
    text: str


@dataclass(slots=True)
class Client:
    """A running process and its output."""

    name: str
    card: Card
    process: Process
    started_s: float
    """Monotonic time just before the process was created."""
    lines: list[LogLine] = field(default_factory=list)
    exit_s: float | None = None
    """Time from SIGTERM to the end; None: it had to be killed."""
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _reader: asyncio.Task[None] = field(init=False)

    @classmethod
    async def start(
        cls, name: str, card: Card, command: Sequence[str], env: Mapping[str, str]
    ) -> Self:
        """Start the process and read its output."""
        started_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *together_with_us(),
            *command,
            env=inherited() | dict(env),
            cwd=ROOT,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            limit=LONGEST_LINE,
        )
        return cls(name, card, process, started_s)

    def __post_init__(self) -> None:
        """Read the output from now on."""
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    async def says(
        self, text: str, *, since_s: float = 0.0, within_s: float = PATIENCE_S
    ) -> float:
        """Return the monotonic time of the first such line after `since_s`.

        Raises:
            UnmeasurableError: there was none in time.
        """
        try:
            async with asyncio.timeout(within_s), self._news:
                while (found := self._found(text, since_s)) is None:
                    if self._has_ended():
                        await self.process.wait()
                        raise self._trouble(text)
                    await self._news.wait()
        except TimeoutError as exc:
            raise self._trouble(text) from exc
        return found.at_s

    async def tell(self, word: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())
        await self.process.stdin.drain()

    async def stop(self) -> None:
        """End it by SIGTERM and record the duration; may be called twice."""
        if self._has_ended():
            # The process is about to be reaped; a signal would interfere.
            await self.process.wait()
        if self.process.returncode is None:
            asked_s = time.monotonic()
            self.process.terminate()
            try:
                async with asyncio.timeout(END_S):
                    await self.process.wait()
                self.exit_s = time.monotonic() - asked_s
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            self.lines.append(LogLine(time.monotonic(), raw.decode(errors="replace")))
            async with self._news:
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    def _found(self, text: str, since_s: float) -> LogLine | None:
        said = (x for x in self.lines if x.at_s > since_s and text in x.text)
        return next(said, None)

    def _has_ended(self) -> bool:
        assert self.process.stdout is not None
        return self.process.stdout.at_eof()

    def _trouble(self, text: str) -> UnmeasurableError:
        last = "".join(f"      {line.text}" for line in self.lines[-8:])
        status = self.process.returncode
        so_far = "is not" if status is None else f"ended with status {status} without"
        sentence = f"{self.name} {so_far} saying {text!r}; its last lines:\n{last}"
        return UnmeasurableError(sentence.rstrip())


def inherited() -> dict[str, str]:
    """Return the environment without variables that configure a client."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(NOT_INHERITED) and name not in NEITHER
    }


def together_with_us() -> list[str]:
    """Return a function that makes a child process end with this one."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
