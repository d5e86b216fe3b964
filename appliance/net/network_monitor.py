"""Network monitor: posts `LinkChanged` when the network of this machine changes.

The kernel reports changes on a netlink socket, so there is no polling. Without a
network a box still joins a server on loopback: `LinkChanged` only changes the banner
and ends waits.
"""

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from appliance.core.events import LinkChanged
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog

_log = logging.getLogger(__name__)

GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
"""Interfaces, and addresses, routes and routing rules of IPv4 and IPv6: the address to
choose depends on the default route, which a VPN may have in a table of its own.
Source: Linux, rtnetlink.h; of the numbers below: sockios.h, if.h, if_addr.h, if_arp.h.
"""
RECEIVE_BYTES = 65_536
"""The kernel sends at most 32 KiB per message."""
GET_FLAGS = 0x8913
GET_ADDRESS = 0x8915
CLASS = Path("/sys/class/net")
IPV6 = Path("/proc/net/if_inet6")
"""Missing if the kernel has no IPv6."""

_FLAGS = struct.Struct("=16xH")
_LOOPBACK = 0x8
_RUNNING = 0x1 | 0x40
_TENTATIVE = 0x40
_FAILED = 0x08
_PPP = "512\n"
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


@dataclass(frozen=True, slots=True)
class Interface:
    """Interface of this machine."""

    name: str
    addresses: tuple[str, ...] = ()
    """Those that other machines can use; of IPv4 the first one."""
    is_running: bool = False
    """Whether it is up and has a carrier."""
    is_hardware: bool = False
    """Whether it is no bridge, tunnel or the like; PPP may be a modem."""


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
    """Return the interfaces but loopback, or raise `OSError`.

    `ip` of iproute2 would fail in the hardened unit, which forbids it capset(2).
    """
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ipv6 = ipv6_addresses(IPV6.read_text() if IPV6.exists() else "")
        for _, name in socket.if_nameindex():
            # An interface may be removed meanwhile.
            with contextlib.suppress(OSError):
                flags, *_ = _FLAGS.unpack_from(_asked(sock, GET_FLAGS, name))
                if not flags & _LOOPBACK:
                    found.append(
                        Interface(
                            name,
                            (*_ipv4(sock, name), *ipv6.get(name, ())),
                            is_running=flags & _RUNNING == _RUNNING,
                            is_hardware=_is_hardware(CLASS / name),
                        )
                    )
    return tuple(found)


def ipv6_addresses(table: str) -> dict[str, tuple[str, ...]]:
    """Return the IPv6 addresses of each interface in the kernel's table.

    Link-local ones are left out: they need a zone, which differs on each machine.
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in table.splitlines():
        digits, _, _, scope, flags, name = line.split()
        if int(scope, 16) == 0 and not int(flags, 16) & (_TENTATIVE | _FAILED):
            address = str(ip_address(bytes.fromhex(digits)))
            found[name] = (*found.get(name, ()), address)
    return found


def _ipv4(sock: socket.socket, name: str) -> tuple[str, ...]:
    try:
        return (socket.inet_ntoa(_asked(sock, GET_ADDRESS, name)[20:24]),)
    except OSError:
        return ()


def _asked(sock: socket.socket, request: int, name: str) -> bytes:
    """Return the kernel's `struct ifreq` about an interface."""
    return fcntl.ioctl(sock, request, name.encode().ljust(40, b"\0"))


def _is_hardware(folder: Path) -> bool:
    kind = folder / "type"
    is_ppp = kind.exists() and kind.read_text() == _PPP
    return is_ppp or (folder / "device").exists()


def current_link() -> LinkChanged:
    """Return address on the LAN and default routes, or raise `OSError`."""
    sources = _sources()
    address = lan_address(interfaces(), sources)
    # Without a network a tunnel may still have the default route.
    return LinkChanged(address, () if address is None else sources)


def current_address() -> str | None:
    """Return the address on the LAN, None without a network, or raise `OSError`."""
    return current_link().address


def current_interface() -> str | None:
    """Return the name of the interface with that address; errors as there."""
    address = current_address()
    names = (each.name for each in interfaces() if address in each.addresses)
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
    """Return the addresses of interfaces with a carrier, best first.

    Link-local ones come last, and IPv6 after IPv4.
    """
    found = [ip_address(x) for each in known if each.is_running for x in each.addresses]
    return [str(x) for x in sorted(found, key=lambda x: (x.is_link_local, x.version))]


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
        self._post = post
        self._read_link = read_link
        self._watch = watch
        self._settle_s = settle_s
        self._retry_s = retry_s
        self._posted: LinkChanged | None = None
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
        if link == self._posted:
            return
        if link.address is None:
            _log.warning("no network")
        else:
            routes = ",".join(link.sources)
            _log.info("network found  address=%s sources=%s", link.address, routes)
        self._posted = link
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
