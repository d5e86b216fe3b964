"""What systemd is told: running, the banner in words, still alive, stopping (R1.4).

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, cast

from appliance.core.view import View

log = logging.getLogger(__name__)

PINGS = 5
"""Signs of life per watchdog time: one that is held back must not be the last."""

Notify = Callable[[str], object]
"""Send lines of `KEY=value` to systemd.

Raises:
    OSError: they could not be sent.
"""


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Return how long systemd waits for a sign of life; None: it does not wait.

    Args:
        environ: the environment, with `WATCHDOG_USEC` and `WATCHDOG_PID`.
        pid: this process; the watchdog may be meant for another one.
    """
    usec = environ.get("WATCHDOG_USEC", "")
    is_ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    if not (is_ours and usec.isascii() and usec.isdigit() and int(usec) > 0):
        return None
    return int(usec) / 1_000_000


def systemd_notify(environ: Mapping[str, str]) -> Notify:
    """Return how to reach systemd; a function that does nothing without it."""
    if "NOTIFY_SOCKET" not in environ:
        return _nobody
    try:
        from systemd.daemon import notify
    except ImportError:
        log.warning("systemd cannot be told anything; install python3-systemd")
        return _nobody
    return cast("Notify", notify)


class SystemdNotifier:
    """A viewer that keeps systemd informed.

    `READY=1` goes out with the first view: the control loop has turned once.
    """

    def __init__(
        self,
        is_alive: Callable[[], bool],
        *,
        notify: Notify | None = None,
        watchdog: float | None = None,
    ) -> None:
        """Say what a sign of life depends on.

        Args:
            is_alive: whether audio moves or is known to be absent. It is asked on the
                loop's thread, so a loop that stands still sends nothing either.
            notify: how to reach systemd; None: as the environment says.
            watchdog: seconds between signs of life at most; None: as the
                environment says.
        """
        self._is_alive = is_alive
        self._notify = notify or systemd_notify(os.environ)
        self._watchdog_s = watchdog or watchdog_s(os.environ, os.getpid())
        self._status = ""
        self._has_trouble = False
        self._is_held_back = False
        self._tasks: asyncio.TaskGroup | None = None
        self._pinging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the signs of life, if systemd waits for them."""
        self._tasks = await asyncio.TaskGroup().__aenter__()
        if self._watchdog_s is not None:
            every_s = self._watchdog_s / PINGS
            self._pinging = self._tasks.create_task(self._ping(every_s))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say that the process is ending."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        self._send("STOPPING=1")
        if self._pinging is not None:
            self._pinging.cancel()
        await tasks.__aexit__(kind, error, trace)

    def show(self, view: View) -> None:
        """Tell systemd the banner, and with the first one that the box runs."""
        # A line feed would end the value and start another variable.
        status = " ".join(view.banner.split())
        if status == self._status:
            return
        ready = "" if self._status else "READY=1\n"
        self._status = status
        self._send(f"{ready}STATUS={status}")

    async def _ping(self, every_s: float) -> None:
        while True:
            self._note_life(is_alive=self._is_alive())
            await asyncio.sleep(every_s)

    def _note_life(self, *, is_alive: bool) -> None:
        if is_alive:
            self._send("WATCHDOG=1")
        if is_alive == self._is_held_back:
            said = "sound moves again" if is_alive else "sound does not move"
            log.log(logging.INFO if is_alive else logging.WARNING, said)
        self._is_held_back = not is_alive

    def _send(self, lines: str) -> None:
        try:
            self._notify(lines)
        except OSError as error:
            level = logging.DEBUG if self._has_trouble else logging.WARNING
            log.log(level, "systemd cannot be reached  reason=%s", error.strerror)
            self._has_trouble = True
        else:
            self._has_trouble = False


def _nobody(_lines: str) -> None:
    """Tell nobody: systemd did not start this process."""
