"""Rate limit for what native libraries write to standard error.

ALSA, PortAudio and LiveKit write to file descriptor 2, past the log. PortAudio has been
seen to write 880,000 lines in three seconds. The descriptor becomes a pipe, and a
process of its own reads it: with a thread, what a library says before it aborts the
process would be lost, and a flood would take Python's lock from the threads that carry
sound.
"""

import io
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from appliance.process.stderr_filter import HAS_PRIORITY, introduction

_ROOT: Final = str(Path(__file__).parents[2])
_PROGRAM: Final = f"""
import sys
sys.path.insert(0, {_ROOT!r})
from appliance.process.stderr_filter import main
main()
"""
_OPTIONS: Final = ("-I", "-S", "-B")
"""Nothing of the environment, no site-packages, nothing written: 4 MB instead of 10."""
_NOT_FOR_THE_FILTER: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""systemd and Ctrl-C mean the box, whose last words are still to come."""


def limit_native_stderr(
    secrets: Iterable[str] = (), *, has_priority: bool = False
) -> int:
    """Send what is written to file descriptor 2 through the rate limit.

    `sys.stderr` keeps the real standard error.

    Args:
        secrets: values that must not come out.
        has_priority: systemd reads standard error.

    Returns:
        The descriptor of the real standard error, for the log and for crash dumps; 2
        where there is none or no process can be made.
    """
    try:
        real = os.dup(2)
    except OSError:
        return 2
    reading, writing = os.pipe()
    try:
        _start_filter(reading, real, has_priority=has_priority)
    except OSError:
        for descriptor in (real, writing):
            os.close(descriptor)
        return 2
    finally:
        os.close(reading)
    os.write(writing, introduction(tuple(secrets)))
    os.dup2(writing, 2)
    os.close(writing)
    sys.stderr = io.TextIOWrapper(
        io.FileIO(real, "w", closefd=False),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
    return real


def _start_filter(reading: int, real: int, *, has_priority: bool) -> None:
    words = [*_OPTIONS, "-c", _PROGRAM, *([HAS_PRIORITY] if has_priority else [])]
    os.posix_spawn(
        sys.executable,
        [sys.executable, *words],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, reading, 0),
            (os.POSIX_SPAWN_DUP2, real, 1),
        ],
        setsigmask=_NOT_FOR_THE_FILTER,
    )
