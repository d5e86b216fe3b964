"""Network monitor: posts `LinkChanged` when the network of this machine changes.

The kernel reports changes on a netlink socket, so there is no polling; `ip` of iproute2
then lists interfaces and addresses. A box whose server is on loopback joins without a
network, too: `LinkChanged` only changes the banner and ends waits.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import subprocess
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Self

import msgspec

from appliance.core.events import LinkChanged
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog

_log = logging.getLogger(__name__)

GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
"""Interfaces, and addresses, routes and routing rules of IPv4 and IPv6: the address to
choose depends on the default route, which a VPN may have in a table of its own.
Source: Linux, rtnetlink.h."""
RECEIVE_BYTES = 65_536
"""The kernel sends at most 32 KiB per message."""
LIST_S = 5.0
"""Longest time to list the interfaces, which takes milliseconds; our choice."""
SETTLE_S = 0.2
"""Changes come in bursts (interface, route, addresses): one reading per burst."""
RETRY_S = 3.0
"""Time until a reading that failed is repeated, if no change is reported before."""
UNUSED_ADDRESSES = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)
"""Addresses for documentation (RFC 5737, RFC 3849): no machine has them, so they are
reached by the default route."""


class Address(msgspec.Struct, frozen=True):
    """Address of an interface; names as `ip` has them."""

    family: str = ""
    local: str = ""
    scope: str = ""
    tentative: bool = False
    dadfailed: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether other machines can use it; IPv6 of one link would need a zone."""
        is_found = self.scope == "global" or (
            self.scope == "link" and self.family == "inet"
        )
        return is_found and not self.tentative and not self.dadfailed

    @property
    def rank(self) -> tuple[bool, str]:
        """Sort key: beyond the link before link-local, IPv4 before IPv6."""
        return self.scope != "global", self.family


class Interface(msgspec.Struct, frozen=True):
    """Interface of this machine; names as `ip` has them."""

    ifname: str = ""
    flags: tuple[str, ...] = ()
    parentdev: str = ""
    """Device of the hardware; empty for virtual interfaces."""
    linkinfo: dict[str, object] = msgspec.field(default_factory=dict)
    addr_info: tuple[Address, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether it is up and has a carrier."""
        return "UP" in self.flags and "NO-CARRIER" not in self.flags

    @property
    def is_hardware(self) -> bool:
        """Whether it is no bridge, tunnel or the like; PPP may be a modem."""
        return bool(self.parentdev) or self.linkinfo.get("info_kind") == "ppp"


def watch() -> socket.socket:
    """Return a socket that becomes readable when anything of `GROUPS` changes.

    Raises:
        OSError: the system has no netlink sockets or forbids them.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    sock.settimeout(0)
    sock.bind((0, GROUPS))
    return sock


def interfaces() -> tuple[Interface, ...]:
    """Return the interfaces but loopback.

    Raises:
        OSError: they cannot be listed.
    """
    try:
        done = subprocess.run(
            ["ip", "-json", "-details", "address"],
            capture_output=True,
            check=True,
            timeout=LIST_S,
        )
    except subprocess.SubprocessError as exc:
        raise OSError(errno.EIO, str(exc)) from exc
    found = msgspec.json.decode(done.stdout, type=tuple[Interface, ...])
    return tuple(each for each in found if "LOOPBACK" not in each.flags)


def current_link() -> LinkChanged:
    """Return this machine's address on the LAN and its default routes.

    Raises:
        OSError: they cannot be read.
    """
    sources = _sources()
    address = lan_address(interfaces(), sources)
    # Without a network a tunnel may still have the default route.
    return LinkChanged(address, () if address is None else sources)


def current_address() -> str | None:
    """Return this machine's address on the LAN, None without a network.

    Raises:
        OSError: it cannot be read.
    """
    return current_link().address


def current_interface() -> str | None:
    """Return the name of the interface with that address, None without a network.

    Raises:
        OSError: it cannot be read.
    """
    address = current_address()
    names = (
        each.ifname
        for each in interfaces()
        if address in {known.local for known in each.addr_info}
    )
    return next(names, None)


def lan_address(known: Sequence[Interface], sources: Sequence[str]) -> str | None:
    """Return the address on the LAN, None without a network.

    A VPN keeps carrier, address and default route when the network below it is lost,
    and bridges of containers have a carrier without any network. So a machine with
    hardware needs a carrier there, and the hardware's addresses are preferred. Others
    count if they have the default route: the hardware may be the port of a bridge. In a
    container without hardware all of them count.

    Args:
        known: all interfaces but loopback.
        sources: source addresses of the default routes, best first.
    """
    hardware = [each for each in known if each.is_hardware]
    if hardware and not any(each.is_running for each in hardware):
        return None
    usable = _addresses(known)
    routed = [text for text in usable if text in sources]
    return _best(_addresses(hardware), sources) or _best(
        routed if hardware else usable, sources
    )


def _addresses(known: Sequence[Interface]) -> list[str]:
    """Return the usable addresses of interfaces with a carrier, best first."""
    running = [each for each in known if each.is_running]
    found = [x for each in running for x in each.addr_info if x.is_usable]
    return [each.local for each in sorted(found, key=lambda x: x.rank)]


def _best(ranked: Sequence[str], sources: Sequence[str]) -> str | None:
    """Return the address of a default route, else the first one, if any."""
    return next((text for text in (*sources, *ranked) if text in ranked), None)


class NetworkMonitor:
    """Monitor that posts `LinkChanged` at start and at each change of the link."""

    def __init__(
        self,
        post: Post,
        *,
        read_link: Callable[[], LinkChanged] = current_link,
        watch: Callable[[], socket.socket] = watch,
        settle_s: float = SETTLE_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """Start without a known link; the first one is posted after opening.

        `watch` opens a non-blocking socket that becomes readable on changes; `settle_s`
        is the duration of a burst of them.
        """
        self._post = post
        self._read_link = read_link
        self._watch = watch
        self._settle_s = settle_s
        self._retry_s = retry_s
        self._link: LinkChanged | None = None
        """As last posted; None: none posted yet."""
        self._reading = FaultLog(_log, "network cannot be read")
        self._socket: socket.socket | None = None
        self._background = Background()

    async def __aenter__(self) -> Self:
        """Start to post the current link and each change."""
        await self._background.open()
        try:
            # Opened before the first reading, so that no change between them is lost.
            self._socket = self._watch()
        except OSError as exc:
            _log.warning("network cannot be watched  reason=%s", exc.strerror)
            return self
        self._background.start(self._follow(self._socket))
        return self

    async def __aexit__(self, *failure: object) -> None:
        try:
            await self._background.close(*failure)
        finally:
            if self._socket is not None:
                self._socket.close()

    async def _follow(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._update()
            wait_s = None if self._reading.reason is None else self._retry_s
            # ENOBUFS: more changes than fit into the buffer; only their fact matters.
            with contextlib.suppress(OSError):
                async with asyncio.timeout(wait_s):
                    await loop.sock_recv(sock, RECEIVE_BYTES)
            await asyncio.sleep(self._settle_s)
            # The reading that follows covers all further changes.
            with contextlib.suppress(OSError):
                while sock.recv(RECEIVE_BYTES):
                    pass

    async def _update(self) -> None:
        try:
            link = await asyncio.to_thread(self._read_link)
        except OSError as exc:
            self._reading.failed(exc)
            return
        self._reading.worked()
        if link == self._link:
            return
        if link.address is None:
            _log.warning("no network")
        else:
            routes = ",".join(link.sources)
            _log.info("network found  address=%s sources=%s", link.address, routes)
        self._link = link
        self._post(link)


def _sources() -> tuple[str, ...]:
    """Return the source addresses of the default routes; sends nothing (UDP)."""
    found = []
    for family, target in UNUSED_ADDRESSES:
        with (
            contextlib.suppress(OSError),
            socket.socket(family, socket.SOCK_DGRAM) as sock,
        ):
            sock.connect((target, 9))
            found.append(str(ip_address(sock.getsockname()[0])))
    return tuple(found)
