"""Notifications to systemd: ready, status text, watchdog, stopping.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Self, cast

from appliance.core.view import View
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog

_log = logging.getLogger(__name__)

PINGS = 5
"""Watchdog signals per watchdog time, so that one may be late."""

Notify = Callable[[str], object]
"""Send lines of `KEY=value` to systemd, or raise `OSError`."""


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the longest time between two watchdog signals; None: no watchdog.

    `pid` is this process; the watchdog may belong to another one.
    """
    usec = environ.get("WATCHDOG_USEC")
    is_ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    return int(usec) / 1_000_000 if usec and is_ours else None


def systemd_notify(environ: Mapping[str, str]) -> Notify:
    """Return the function that notifies systemd; it does nothing without systemd."""
    if "NOTIFY_SOCKET" not in environ:
        return lambda _lines: None
    try:
        from systemd.daemon import notify
    except ImportError:
        # Without READY=1 systemd would restart the box every 90 seconds.
        _log.warning("python3-systemd is missing; install it")
        return partial(_send_to, environ["NOTIFY_SOCKET"])
    return cast("Notify", notify)


class SystemdNotifier:
    """Viewer that sends notifications to systemd.

    `READY=1` is sent with the first view, when the control loop has run once.
    """

    def __init__(
        self,
        is_alive: Callable[[], bool],
        *,
        notify: Notify | None = None,
        limit_s: float | None = None,
    ) -> None:
        """`is_alive` returns True while audio runs or is known to be absent.

        `notify` and `limit_s`, the watchdog's time, are for tests.
        """
        self._is_alive = is_alive
        self._notify = notify or systemd_notify(os.environ)
        self._watchdog_s = limit_s or watchdog_s(os.environ, os.getpid())
        self._status = ""
        """As systemd has it; empty: it has none, and not READY=1 either."""
        self._sending = FaultLog(_log, "systemd cannot be reached")
        self._audio = FaultLog(_log, "audio does not run", "audio running again")
        self._background = Background()

    async def __aenter__(self) -> Self:
        await self._background.open()
        if self._watchdog_s is not None:
            self._background.start(self._ping(self._watchdog_s / PINGS))
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._background.is_open:
            self._send("STOPPING=1")
        await self._background.close(*failure)

    def show(self, view: View) -> None:
        """Send the status, and with the first one that the box is ready."""
        status = status_of(view)
        if status == self._status:
            return
        ready = "" if self._status else "READY=1\n"
        if self._send(f"{ready}STATUS={status}"):
            self._status = status

    async def _ping(self, every_s: float) -> None:
        while True:
            if self._is_alive():
                self._send("WATCHDOG=1")
                self._audio.worked()
            else:
                self._audio.failed("an audio thread does not respond")
            await asyncio.sleep(every_s)

    def _send(self, lines: str) -> bool:
        try:
            self._notify(lines)
        except OSError as exc:
            self._sending.failed(exc.strerror)
            return False
        self._sending.worked()
        return True


def status_of(view: View) -> str:
    """Return one line: the banner, missing sound, and the number of faults."""
    missing = [
        "" if view.has_microphone else "no microphone",
        "" if view.has_speaker else "no speaker",
    ]
    count = len(view.faults)
    faults = f" ({count} fault{'s' if count > 1 else ''})" if count else ""
    # The name of a room may hold anything. A line feed would end the value and start
    # another variable; python3-systemd raises ValueError for a NUL.
    banner = "".join(filter(str.isprintable, " ".join(view.banner.split())))
    return ", ".join(filter(None, (banner, *missing))) + faults


def _send_to(address: str, lines: str) -> None:
    """Send to systemd's socket; a leading `@` means an abstract name."""
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(lines.encode(), address)
