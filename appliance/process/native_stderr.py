"""Rate limit for the standard error output of native libraries, and its process.

ALSA, PortAudio and LiveKit write to file descriptor 2 directly. PortAudio was observed
to write 880,000 lines in three seconds. The descriptor is replaced by a pipe that a
second process reads: a thread would lose the last lines before a library aborts the
process, and a flood of lines would keep Python's lock from the audio threads.

That process runs `main`. To need only 4 MB, this module imports as little as possible
before it is used by the first one.
"""

import os
import select
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from appliance.process.redaction import redacted

BLOCKED_SIGNALS = (15, 2, 1)
"""SIGTERM, SIGINT and SIGHUP, which small processes block: systemd and Ctrl-C address
the appliance, which still needs them. Importing `signal` would cost 0.1 MB."""
LINES = 12
"""Lines written per window."""
WINDOW_S = 60.0
LAST_LINES = 5
"""Newest suppressed lines, written when the process ends: they may say why."""
LONGEST_BYTES = 1000
"""Bytes of one line; the rest is cut off."""
READ_BYTES = 65_536
PRIORITY = "<4>"
"""Prefix of a warning, removed by systemd. Source: sd-daemon(3)."""
HAS_PRIORITY = "--priority"
"""Argument: the lines are read by systemd."""


def command(module: str, *arguments: str) -> list[str]:
    """Return the command of a small process: it calls `main` of one of our modules.

    Isolated, without site-packages, no bytecode written: 4 MB instead of 10.
    """
    root = __file__.removesuffix("/appliance/process/native_stderr.py")
    path = [root, *filter(None, sys.path)]
    code = f"import sys\nsys.path[:] = {path!r}\nfrom {module} import main\nmain()"
    return [sys.executable, "-I", "-S", "-B", "-c", code, *arguments]


def limit_native_stderr(
    secrets: Iterable[str] = (), *, has_priority: bool = False
) -> int:
    """Pass the output to file descriptor 2 through the rate limit.

    `sys.stderr` keeps the real standard error. The secrets are hidden. `has_priority`:
    systemd reads standard error.

    Returns:
        The descriptor of the real standard error, for the log and for crash dumps; 2
        if it is closed or no process can be started.
    """
    from appliance.process.logs import unbuffered

    try:
        real = os.dup(2)
    except OSError:
        return 2
    reading, writing = os.pipe()
    arguments = [HAS_PRIORITY] if has_priority else []
    try:
        os.posix_spawn(
            sys.executable,
            command("appliance.process.native_stderr", *arguments),
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_DUP2, real, 1),
            ],
            setsigmask=BLOCKED_SIGNALS,
        )
    except OSError:
        for descriptor in (real, writing):
            os.close(descriptor)
        return 2
    finally:
        os.close(reading)
    hidden = b" ".join(secret.encode().hex().encode() for secret in secrets)
    os.write(writing, hidden + b"\n")
    os.dup2(writing, 2)
    os.close(writing)
    sys.stderr = unbuffered(real)
    return real


class LineLimit:
    """Rate limiter that passes the first lines of each window and counts the others."""

    def __init__(self) -> None:
        self._rest = b""
        self._written = 0
        self._last: list[bytes] = []
        self._ends_s = 0.0
        self.left_out = 0
        """Lines suppressed in this window."""

    def lines(self, written: bytes, now_s: float) -> Iterator[bytes]:
        """Yield the lines to write at `now_s`, a monotonic clock's.

        `written` are new bytes, which may be none and may end within a line.
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
        """Yield the last lines of a process that has ended."""
        last = self._last if self.left_out else []
        yield from self._count()
        yield from last
        if self._rest:
            yield self._rest

    def wait_s(self, now_s: float) -> float | None:
        """Return the time until a count is due; None: nothing is suppressed."""
        return max(0.0, self._ends_s - now_s) if self.left_out else None

    def _count(self) -> Iterator[bytes]:
        if self.left_out:
            yield f"… {self.left_out:,} more lines".encode()
        self.left_out, self._last = 0, []


def main() -> None:
    """Copy lines from descriptor 0 to 1 until every writer has closed the pipe.

    The program of the second process. The first line has the values to hide.
    """
    prefix = PRIORITY if HAS_PRIORITY in sys.argv else ""
    secrets, first = _introduced(0)
    for line in _limited(0, first):
        text = redacted(line[:LONGEST_BYTES].decode(errors="replace"), secrets)
        # Standard error may be closed or its disk full: go on emptying the pipe.
        with suppress(OSError):
            os.write(1, f"{prefix}[system] native: {text}\n".encode())


def _introduced(reading: int) -> tuple[tuple[str, ...], bytes]:
    """Return the secrets, and the bytes read after them."""
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
