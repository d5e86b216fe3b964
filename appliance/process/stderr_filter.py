"""Process that limits the rate of lines between a pipe and standard error.

Imports as little as it can: each box has one of these processes, of 4 MB.
"""

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from appliance.process.redaction import redacted

LINES = 12
"""Lines that are let through in each window."""
WINDOW_S = 60.0
LAST_LINES = 5
"""Lines of a flood that are written when the box ends: they may say why it did."""
LONGEST_BYTES = 1000
"""Of one line; the rest is left out."""
READ_BYTES = 65_536
PRIORITY = "<4>"
"""A warning. Source: sd-daemon(3), systemd takes it off the line."""
HAS_PRIORITY = "--priority"
"""Argument that says that systemd reads the lines."""


class LineLimit:
    """Lets the first lines of each window through and counts the others."""

    def __init__(self) -> None:
        """Start with an empty window."""
        self._rest = b""
        self._written = 0
        self._last: list[bytes] = []
        self._ends_s = 0.0
        self.left_out = 0
        """Lines of this window that were not let through."""

    def lines(self, written: bytes, now_s: float) -> Iterator[bytes]:
        """Yield what to write now.

        Args:
            written: what came; may be empty and may end within a line.
            now_s: monotonic clock.
        """
        if now_s >= self._ends_s:
            yield from self._count()
            self._written, self._ends_s = 0, now_s + WINDOW_S
        *lines, rest = (self._rest + written).split(b"\n")
        self._rest = rest[:LONGEST_BYTES]
        room = LINES - self._written
        yield from lines[:room]
        self._written += len(lines[:room])
        left_out = lines[room:]
        self.left_out += len(left_out)
        self._last = [*self._last, *left_out[-LAST_LINES:]][-LAST_LINES:]

    def end(self) -> Iterator[bytes]:
        """Yield the last words of a process that has ended."""
        last = self._last if self.left_out else []
        yield from self._count()
        yield from last
        if self._rest:
            yield self._rest

    def wait_s(self, now_s: float) -> float | None:
        """Return how long nothing is due; None: until something is written."""
        return max(0.0, self._ends_s - now_s) if self.left_out else None

    def _count(self) -> Iterator[bytes]:
        if self.left_out:
            yield f"… {self.left_out:,} more lines".encode()
        self.left_out, self._last = 0, []


def introduction(secrets: tuple[str, ...]) -> bytes:
    """Return the first line of the pipe: values that must not come out."""
    return b" ".join(secret.encode().hex().encode() for secret in secrets) + b"\n"


def main() -> None:
    """Copy lines from descriptor 0 to 1 until everybody has closed the pipe."""
    mark = PRIORITY if HAS_PRIORITY in sys.argv else ""
    secrets, first = _introduced(0)
    for line in _limited(0, first):
        text = redacted(line[:LONGEST_BYTES].decode(errors="replace"), secrets)
        # Nobody reads any more, or the disk is full: the pipe is emptied all the same.
        with suppress(OSError):
            os.write(1, f"{mark}[system] native: {text}\n".encode())


def _introduced(reading: int) -> tuple[tuple[str, ...], bytes]:
    """Return the secrets, and what was read after them."""
    read = b""
    while b"\n" not in read and (more := os.read(reading, READ_BYTES)):
        read += more
    line, _, rest = read.partition(b"\n")
    words = line.decode().split()
    return tuple(bytes.fromhex(word).decode() for word in words), rest


def _limited(reading: int, first: bytes) -> Iterator[bytes]:
    limit = LineLimit()
    yield from limit.lines(first, time.monotonic())
    while True:
        wait_s = limit.wait_s(time.monotonic())
        is_ready, _, _ = select.select([reading], [], [], wait_s)
        written = os.read(reading, READ_BYTES) if is_ready else b""
        if is_ready and not written:
            yield from limit.end()
            return
        yield from limit.lines(written, time.monotonic())
