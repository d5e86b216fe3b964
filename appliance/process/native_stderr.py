"""Rate limit for the standard error output of native libraries.

ALSA, PortAudio and LiveKit write to file descriptor 2 directly. PortAudio was observed
to write 880,000 lines in three seconds. The descriptor is replaced by a pipe that a
second process reads: a thread would lose the last lines before a library aborts the
process, and a flood of lines would keep Python's lock from the audio threads.
"""

import os
import sys
from collections.abc import Iterable

from appliance.process.logs import unbuffered
from appliance.process.small_process import BLOCKED_SIGNALS, command
from appliance.process.stderr_filter import HAS_PRIORITY, introduction


def limit_native_stderr(
    secrets: Iterable[str] = (), *, has_priority: bool = False
) -> int:
    """Pass the output to file descriptor 2 through the rate limit.

    `sys.stderr` keeps the real standard error.

    Args:
        secrets: values to hide.
        has_priority: standard error is read by systemd.

    Returns:
        The descriptor of the real standard error, for the log and for crash dumps; 2
        if it is closed or no process can be started.
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
    sys.stderr = unbuffered(real)
    return real


def _start_filter(reading: int, real: int, *, has_priority: bool) -> None:
    arguments = [HAS_PRIORITY] if has_priority else []
    os.posix_spawn(
        sys.executable,
        command("appliance.process.stderr_filter", *arguments),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, reading, 0),
            (os.POSIX_SPAWN_DUP2, real, 1),
        ],
        setsigmask=BLOCKED_SIGNALS,
    )
