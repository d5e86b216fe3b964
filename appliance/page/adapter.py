"""Adapter for the web page: implements `ports.Viewer`, posts what people do there."""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from appliance.config import PageConfig
from appliance.core import fault_table
from appliance.core.events import PageServed, Part
from appliance.core.view import View
from appliance.display.layout import Size
from appliance.net import server_address
from appliance.page.messages import LatestView
from appliance.page.pairing import Pairing, PairingFile
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog, FaultReport

if TYPE_CHECKING:
    from appliance.net.http_server import ServerLimits
    from appliance.page.application import WebServer

_log = logging.getLogger(__name__)

CHECK_S = 2.0
"""Interval of attempts to listen, then of checks for a new address or a new PIN from
the command line; our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """Facts about the box that the page needs besides its configuration."""

    name: str
    """The box's name; `NAME.local` is accepted as a host name."""
    state_directory: Path
    metrics: Callable[[], Awaitable[str]]
    """Returns the text of `/metrics`."""
    screen_px: Size = (128, 64)
    """Of the OLED; its picture is shown even if no OLED is connected."""
    limits: "ServerLimits | None" = None
    """Limits on clients, for tests; None: the default."""
    pin_hint: str = ""
    """Sentence of the form that says where to find the PIN; empty: it names the screen
    and `ptt-appliance pair`."""
    now_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time


_FAULTS: Final = {
    errno.EADDRINUSE: fault_table.PAGE_IN_USE,
    errno.EACCES: fault_table.PAGE_PRIVILEGED,
    errno.EADDRNOTAVAIL: fault_table.PAGE_ADDRESS,
}


class Page:
    """Web server of the page.

    While the port is not available it posts `PartLost` and retries. Starlette and
    uvicorn are imported in a thread, so that joining the room does not wait for them.
    """

    def __init__(
        self,
        config: PageConfig,
        post: Post,
        settings: PageSettings,
        check_s: float = CHECK_S,
    ) -> None:
        self._config = config
        self._post = post
        self._settings = settings
        self._check_s = check_s
        self._latest = LatestView(settings.screen_px)
        file = PairingFile(settings.state_directory)
        self._pairing = Pairing(file, post, settings.now_s, settings.wall_s)
        self._background = Background()
        self._job: asyncio.Task[None] | None = None
        log = FaultLog(_log, f"page cannot be served  listen={config.listen}")
        self._fault = FaultReport(post, Part.PAGE, config.listen, log)

    async def __aenter__(self) -> Self:
        """Start; `PageServed` is posted when the port is open."""
        await self._background.open()
        self._job = self._background.start(self._run())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Release the talk button, close every connection and the port."""
        if self._job is not None:
            # Before the tasks of requests, so that the server closes their connections.
            # A task group that failed has cancelled this task already.
            if not self._job.cancelling():
                self._job.cancel()
            await asyncio.wait({self._job})
        await self._background.close(*failure)

    def show(self, view: View) -> None:
        """Publish a new view."""
        self._latest.show(view)

    async def _run(self) -> None:
        await self._pairing.open()
        web = await asyncio.to_thread(self._web_server)
        listening = await self._listening()
        host, port = listening.getsockname()[:2]
        url = server_address.url(host, port, self._latest.view.address)
        _log.info("page served  url=%s", url)
        self._background.start(self._announce(host, port))
        await web.serve(listening)

    async def _listening(self) -> socket.socket:
        """Return the listening socket, as soon as the port is available."""
        host, port = server_address.parsed(self._config.listen)
        while True:
            try:
                address = await server_address.resolved(host)
                listening = server_address.listener(address, port)
            except OSError as exc:
                self._fault.lost(listen_reason(exc))
                await asyncio.sleep(self._check_s)
            else:
                self._fault.found()
                return listening

    async def _announce(self, host: str, port: int) -> None:
        """Post address and PIN, and again when network or command line changed them.

        A change of the pairings that could not be written is written again.
        """
        posted: PageServed | None = None
        while True:
            await self._pairing.keep_up()
            url = server_address.url(host, port, self._latest.view.address)
            served = PageServed(url, self._pairing.pin)
            if served != posted:
                self._post(served)
            posted = served
            await asyncio.sleep(self._check_s)

    def _web_server(self) -> "WebServer":
        from appliance.page.application import WebServer

        return WebServer(
            self._background, self._settings, self._latest, self._pairing, self._post
        )


def listen_reason(exc: OSError) -> str:
    """Return why the page's port cannot be opened, and what to do."""
    fault = _FAULTS.get(exc.errno or 0, fault_table.PAGE_FAILED)
    return fault.text(error=exc.strerror or exc)
