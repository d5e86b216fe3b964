"""Network monitor: posts `LinkChanged` when the network of this machine changes.

The kernel reports changes on a netlink socket, so there is no polling. Loopback does
not count as a network, nor does the interface of a container without the default route,
nor a tunnel while no hardware has a carrier. A tunnel that takes or gives back the
default route is a change, too: a server may accept only one of both. A box whose server
is on loopback joins nevertheless: `LinkChanged` only changes the banner and ends waits.

First come the parsers of the kernel's messages, then the choice of the address, then
the monitor. Source of their numbers: Linux, `rtnetlink.h`, `if_link.h`, `if_addr.h`.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

from appliance.core.events import LinkChanged
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog

_log = logging.getLogger(__name__)

NEW_LINK = 16
GET_LINK = 18
NEW_ADDRESS = 20
GET_ADDRESS = 22
GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
"""Interfaces, and addresses, routes and routing rules of IPv4 and IPv6: the address to
choose depends on the default route, which may come later than the others. A VPN may
have it in a table of its own, which a rule puts in front."""
RECEIVE_BYTES = 65_536
"""The kernel sends at most 32 KiB per message."""

_DONE = 3
_ERROR = 2
_REQUEST_DUMP = 0x1 | 0x300
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_LOOPBACK = 0x8
_RUNNING = 0x40
_TENTATIVE = 0x40
_FAILED = 0x08
_IFLA_LINKINFO = 18
_IFLA_INFO_KIND = 1
_CONTAINER_KINDS = {
    *(b"bridge", b"dummy", b"geneve", b"ifb", b"netkit", b"nlmon", b"veth", b"vxlan"),
}
"""Interfaces of containers, virtual machines and traffic shaping have a carrier without
any network outside. They count only if the default route goes through them."""
_TUNNEL_KINDS = {
    *(b"amneziawg", b"erspan", b"gre", b"gretap", b"ip6erspan", b"ip6gre"),
    *(b"ip6gretap", b"ip6tnl", b"ipip", b"l2tpeth", b"ovpn", b"ovpn-dco", b"sit"),
    *(b"tun", b"vti", b"vti6", b"wireguard", b"xfrm"),
}
"""Interfaces of a VPN keep carrier, address and default route when the network below
them is lost. `tun` includes TAP. Of other point-to-point interfaces `wwan` is a network
of its own, and `ppp` may be one or a tunnel."""
_PPP = b"ppp"
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_GLOBAL = 0
_ON_LINK = 253
_TIMEOUT_S = 1.0
"""The kernel answers at once; the limit is for one that does not answer at all."""

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
class Address:
    """Address of an interface."""

    interface: int
    address: IPv4Address | IPv6Address
    is_global: bool
    """Valid beyond the local link."""


def watch() -> socket.socket:
    """Return a socket that becomes readable when anything of `GROUPS` changes.

    Raises:
        OSError: the system has no netlink sockets or forbids them.
    """
    sock = _netlink()
    sock.settimeout(0)
    sock.bind((0, GROUPS))
    return sock


def dump(kind: int) -> bytes:
    """Return all entries of this kind, `GET_LINK` or `GET_ADDRESS`, from the kernel.

    Raises:
        OSError: the kernel does not answer.
    """
    with _netlink() as sock:
        sock.settimeout(_TIMEOUT_S)
        # The family, zero, is AF_UNSPEC.
        size = _HEADER.size + _LINK.size
        sock.send(_HEADER.pack(size, kind, _REQUEST_DUMP, 1, 0) + bytes(_LINK.size))
        return b"".join(_parts(sock))


def running(data: bytes) -> frozenset[int]:
    """Return the interfaces that are up, have a carrier and are not loopback."""
    return frozenset(index for index, flags, _ in _links(data) if flags & _RUNNING)


def kinds(data: bytes) -> dict[int, bytes]:
    """Return the kind of each interface but loopback; empty for most hardware."""
    found = {}
    for index, _, body in _links(data):
        facts = dict(_items(body[_LINK.size :], _ATTRIBUTE))
        info = dict(_items(facts.get(_IFLA_LINKINFO, b""), _ATTRIBUTE))
        found[index] = info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0")
    return found


def _links(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield index, flags and message of each interface but loopback."""
    for body in _bodies(data, NEW_LINK, _LINK.size):
        _, _, index, flags, _ = _LINK.unpack_from(body)
        if not flags & _LOOPBACK:
            yield index, flags, body


def addresses(data: bytes) -> tuple[Address, ...]:
    """Return the addresses that other machines on the network can use.

    Link-local IPv6 addresses are left out: they need a zone, which differs on each
    machine.
    """
    found = []
    for body in _bodies(data, NEW_ADDRESS, _ADDRESS.size):
        family, _, flags, scope, index = _ADDRESS.unpack_from(body)
        is_ipv4, is_global = family == socket.AF_INET, scope == _GLOBAL
        # Link-local IPv4 addresses (169.254.0.0/16) need no zone.
        is_usable = is_global or (is_ipv4 and scope == _ON_LINK)
        known = dict(_items(body[_ADDRESS.size :], _ATTRIBUTE))
        # On a point-to-point interface `IFA_ADDRESS` is the peer's.
        packed = known.get(_IFA_LOCAL, known.get(_IFA_ADDRESS, b""))
        is_whole = len(packed) == (4 if is_ipv4 else 16)
        if is_usable and is_whole and not flags & (_TENTATIVE | _FAILED):
            found.append(Address(index, ip_address(packed), is_global=is_global))
    return tuple(found)


def _netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def _parts(sock: socket.socket) -> Iterator[bytes]:
    """Yield the kernel's messages up to the last one of the dump."""
    while True:
        part = sock.recv(RECEIVE_BYTES)
        yield part
        kinds = {kind for kind, _ in _items(part, _HEADER)}
        if not part or kinds & {_DONE, _ERROR}:
            return


def _items(data: bytes, header: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each whole item: messages, or attributes of one.

    Each begins with its length and type, and is padded to a multiple of 4 bytes.
    """
    while len(data) >= header.size:
        length, kind, *_ = header.unpack_from(data)
        if not header.size <= length <= len(data):
            return
        yield kind, data[header.size : length]
        data = data[(length + 3) & ~3 :]


def _bodies(data: bytes, wanted: int, least_bytes: int) -> Iterator[bytes]:
    for kind, body in _items(data, _HEADER):
        if kind == wanted and len(body) >= least_bytes:
            yield body


def current_link() -> LinkChanged:
    """Return this machine's address on the LAN and its default routes.

    Raises:
        OSError: the kernel does not answer.
    """
    links, sources = dump(GET_LINK), _sources()
    address = lan_address(links, addresses(dump(GET_ADDRESS)), sources)
    # Without a network a tunnel may still have the default route.
    return LinkChanged(address, () if address is None else tuple(sources))


def current_address() -> str | None:
    """Return this machine's address on the LAN, None without a network.

    Raises:
        OSError: the kernel does not answer.
    """
    return current_link().address


def lan_address(
    links: bytes, known: Sequence[Address], sources: list[str]
) -> str | None:
    """Return the address on the LAN, None without a network.

    The address of the default route is preferred, then any interface with a carrier
    that is not of a container or a virtual machine. A tunnel with the default route
    comes last: it counts only if some hardware has a carrier (it may be the port of a
    bridge, which has no address), or if there is no hardware, as in a container. PPP is
    a modem if it has the default route, or if a tunnel has it and no other hardware has
    a carrier.

    Args:
        links: the kernel's messages about all interfaces.
        known: the addresses of all interfaces.
        sources: source addresses of the default routes, best first.
    """
    kind_of, with_carrier = kinds(links), running(links)
    virtual = _CONTAINER_KINDS | _TUNNEL_KINDS | {_PPP}
    tunnels = _of_kinds(kind_of, _TUNNEL_KINDS)
    hardware = kind_of.keys() - _of_kinds(kind_of, virtual)
    routed = {x.interface for x in known if str(x.address) in sources}
    if routed & tunnels and not hardware & with_carrier:
        hardware |= _of_kinds(kind_of, {_PPP})
    usable = [x for x in known if x.interface in with_carrier & (hardware | routed)]
    outside = [x for x in usable if x.interface not in tunnels]
    if outside or (hardware and not hardware & with_carrier):
        return best_address(outside, sources)
    return best_address(usable, sources)


def _of_kinds(kind_of: dict[int, bytes], wanted: set[bytes]) -> set[int]:
    return {index for index, kind in kind_of.items() if kind in wanted}


def current_interface() -> str | None:
    """Return the name of the interface with that address, None without a network.

    Raises:
        OSError: the kernel does not answer.
    """
    address = current_address()
    for known in addresses(dump(GET_ADDRESS)):
        if str(known.address) == address:
            return socket.if_indextoname(known.interface)
    return None


def best_address(candidates: list[Address], sources: list[str]) -> str | None:
    """Return the address to show; None without candidates.

    Args:
        candidates: addresses of interfaces with a carrier.
        sources: source addresses of the default routes, best first.
    """
    # Global before link-local, IPv4 before IPv6.
    ordered = sorted(
        candidates, key=lambda x: (not x.is_global, x.address.version, x.interface)
    )
    ranked = [str(x.address) for x in ordered]
    return next((x for x in (*sources, *ranked) if x in ranked), None)


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
            # Off the event loop: the kernel may not answer.
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


def _sources() -> list[str]:
    """Return the source addresses of the default routes; sends nothing (UDP)."""
    found = []
    for family, target in UNUSED_ADDRESSES:
        with (
            contextlib.suppress(OSError),
            socket.socket(family, socket.SOCK_DGRAM) as sock,
        ):
            sock.connect((target, 9))
            found.append(str(ip_address(sock.getsockname()[0])))
    return found
