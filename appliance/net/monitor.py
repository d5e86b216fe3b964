"""Tells when the network comes, goes or changes its address (R8.1, R8.2).

The kernel announces changes on a netlink socket, so nothing is asked in between.
Loopback counts as no network: a box that finds its server on loopback joins all the
same, because nobody asks `LinkChanged` for permission; it only words the banner and
wakes waits.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import Self

from appliance.core.events import LinkChanged
from appliance.net import netlink
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog

log = logging.getLogger(__name__)

SETTLE_S = 0.2
"""Changes come in bursts (interface, route, addresses): one look per burst."""
FAR_AWAY = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)
"""Addresses for documentation (RFC 5737, RFC 3849): nobody has them, so the way there
is the default route."""


def current_address() -> str | None:
    """Return this machine's address on the LAN, None without a network.

    The default route decides where there is one; else any interface with a carrier.

    Raises:
        OSError: the kernel does not tell.
    """
    running = netlink.running(netlink.dump(netlink.GET_LINK))
    known = netlink.addresses(netlink.dump(netlink.GET_ADDRESS))
    return best_address([x for x in known if x.interface in running], _sources())


def best_address(candidates: list[netlink.Address], sources: list[str]) -> str | None:
    """Return the address to tell people.

    Args:
        candidates: addresses of interfaces that work.
        sources: addresses that the default routes would use, best first.
    """
    ranked = [str(x.address) for x in sorted(candidates, key=lambda x: x.rank)]
    routed = [source for source in sources if source in ranked]
    return next(iter((*routed, *ranked)), None)


class NetworkMonitor:
    """Posts `LinkChanged` at the start and whenever the address is another one."""

    def __init__(
        self,
        post: Post,
        *,
        read_address: Callable[[], str | None] = current_address,
        watch: Callable[[], socket.socket] = netlink.watch,
        settle_s: float = SETTLE_S,
    ) -> None:
        """Say how to look, and what tells when to look again.

        Args:
            post: takes the event.
            read_address: asks the kernel.
            watch: opens a non-blocking socket that becomes readable on changes.
            settle_s: how long a burst of changes may take.
        """
        self._post = post
        self._read_address = read_address
        self._watch = watch
        self._settle_s = settle_s
        self._address: str | None = ""
        """As last posted; empty: never."""
        self._reading = FaultLog(log, "network cannot be read")
        self._socket: socket.socket | None = None
        self._background = Background()

    async def __aenter__(self) -> Self:
        """Look for the first time, and watch from now on."""
        await self._background.open()
        try:
            # Before the first look, so that no change falls between the two.
            self._socket = self._watch()
        except OSError as error:
            log.warning("network cannot be watched  reason=%s", error.strerror)
            return self
        self._look()
        self._background.start(self._follow(self._socket))
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Stop watching."""
        try:
            await self._background.close(*failure)
        finally:
            if self._socket is not None:
                self._socket.close()

    async def _follow(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # ENOBUFS: more changes than fit. That they were is all we want to know.
            with contextlib.suppress(OSError):
                await loop.sock_recv(sock, netlink.RECEIVE_BYTES)
            await asyncio.sleep(self._settle_s)
            _empty(sock)
            self._look()

    def _look(self) -> None:
        address = self._read()
        if address == self._address:
            return
        if address is None:
            log.warning("no network")
        else:
            log.info("network found  address=%s", address)
        self._address = address
        self._post(LinkChanged(address))

    def _read(self) -> str | None:
        """Return the address; the one we know when the kernel does not tell."""
        try:
            address = self._read_address()
        except OSError as error:
            self._reading.failed(error)
            return self._address
        self._reading.worked()
        return address


def _empty(sock: socket.socket) -> None:
    """Take what else came meanwhile; the look that follows answers it all."""
    with contextlib.suppress(OSError):
        while sock.recv(netlink.RECEIVE_BYTES):
            pass


def _sources() -> list[str]:
    """Return the addresses that the default routes start from."""
    return [source for far in FAR_AWAY for source in _source(*far)]


def _source(family: socket.AddressFamily, far_away: str) -> list[str]:
    """Return where the way there starts: connecting a UDP socket sends nothing."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((far_away, 9))
        return [str(ipaddress.ip_address(sock.getsockname()[0]))]
    return []
