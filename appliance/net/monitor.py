"""Network monitor: posts `LinkChanged` when the address of this machine changes.

The kernel reports changes on a netlink socket, so there is no polling. Loopback does
not count as a network. A box whose server is on loopback joins nevertheless:
`LinkChanged` only changes the banner and ends waits.
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

_log = logging.getLogger(__name__)

SETTLE_S = 0.2
"""Changes come in bursts (interface, route, addresses): one reading per burst."""
DOCUMENTATION = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)
"""Addresses for documentation (RFC 5737, RFC 3849): no machine has them, so they are
reached by the default route."""


def current_address() -> str | None:
    """Return this machine's address on the LAN, None without a network.

    The address of the default route is preferred, then any interface with a carrier.

    Raises:
        OSError: the kernel does not answer.
    """
    running = netlink.running(netlink.dump(netlink.GET_LINK))
    known = netlink.addresses(netlink.dump(netlink.GET_ADDRESS))
    return best_address([x for x in known if x.interface in running], _sources())


def current_interface() -> str | None:
    """Return the name of the interface with that address, None without a network.

    Raises:
        OSError: the kernel does not answer.
    """
    address = current_address()
    for known in netlink.addresses(netlink.dump(netlink.GET_ADDRESS)):
        if str(known.address) == address:
            return socket.if_indextoname(known.interface)
    return None


def best_address(candidates: list[netlink.Address], sources: list[str]) -> str | None:
    """Return the address to show; None without candidates.

    Args:
        candidates: addresses of interfaces with a carrier.
        sources: source addresses of the default routes, best first.
    """
    ranked = [str(x.address) for x in sorted(candidates, key=lambda x: x.rank)]
    routed = [source for source in sources if source in ranked]
    return next(iter((*routed, *ranked)), None)


class NetworkMonitor:
    """Monitor that posts `LinkChanged` at start and at each change of the address."""

    def __init__(
        self,
        post: Post,
        *,
        read_address: Callable[[], str | None] = current_address,
        watch: Callable[[], socket.socket] = netlink.watch,
        settle_s: float = SETTLE_S,
    ) -> None:
        """Store the settings.

        Args:
            post: gets the events.
            read_address: returns the current address.
            watch: opens a non-blocking socket that becomes readable on changes.
            settle_s: duration of a burst of changes.
        """
        self._post = post
        self._read_address = read_address
        self._watch = watch
        self._settle_s = settle_s
        self._address: str | None = ""
        """As last posted; empty: none posted yet."""
        self._reading = FaultLog(_log, "network cannot be read")
        self._socket: socket.socket | None = None
        self._background = Background()

    async def __aenter__(self) -> Self:
        """Post the current address and start to watch for changes."""
        await self._background.open()
        try:
            # Opened before the first reading, so that no change between them is lost.
            self._socket = self._watch()
        except OSError as exc:
            _log.warning("network cannot be watched  reason=%s", exc.strerror)
            return self
        self._update()
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
            # ENOBUFS: more changes than fit into the buffer; only their fact matters.
            with contextlib.suppress(OSError):
                await loop.sock_recv(sock, netlink.RECEIVE_BYTES)
            await asyncio.sleep(self._settle_s)
            _empty(sock)
            self._update()

    def _update(self) -> None:
        address = self._read()
        if address == self._address:
            return
        if address is None:
            _log.warning("no network")
        else:
            _log.info("network found  address=%s", address)
        self._address = address
        self._post(LinkChanged(address))

    def _read(self) -> str | None:
        """Return the current address, or the last one if the kernel does not answer."""
        try:
            address = self._read_address()
        except OSError as exc:
            self._reading.failed(exc)
            return self._address
        self._reading.worked()
        return address


def _empty(sock: socket.socket) -> None:
    """Discard further changes; the reading that follows covers them."""
    with contextlib.suppress(OSError):
        while sock.recv(netlink.RECEIVE_BYTES):
            pass


def _sources() -> list[str]:
    """Return the source addresses of the default routes."""
    return [source for target in DOCUMENTATION for source in _source(*target)]


def _source(family: socket.AddressFamily, target: str) -> list[str]:
    """Return the source address towards `target`; connecting UDP sends nothing."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((target, 9))
        return [str(ipaddress.ip_address(sock.getsockname()[0]))]
    return []
