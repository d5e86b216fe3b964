"""What systemd is told: running, the banner in words, still alive, stopping (R1.4).

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import Self, cast

from appliance.core.view import View
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog

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
        self._sending = FaultLog(log, "systemd cannot be reached")
        self._audio = FaultLog(log, "audio does not run", "audio running again")
        self._background = Background()

    async def __aenter__(self) -> Self:
        """Start the signs of life, if systemd waits for them."""
        await self._background.open()
        if self._watchdog_s is not None:
            self._background.start(self._ping(self._watchdog_s / PINGS))
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Say that the process is ending."""
        if self._background.is_open:
            self._send("STOPPING=1")
        await self._background.close(*failure)

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
            self._audio.worked()
        else:
            self._audio.failed("no callback of the sound card")

    def _send(self, lines: str) -> None:
        try:
            self._notify(lines)
        except OSError as error:
            self._sending.failed(error.strerror)
        else:
            self._sending.worked()


def _nobody(_lines: str) -> None:
    """Tell nobody: systemd did not start this process."""
