"""Netlink client: reads interfaces and addresses from the kernel, without root.

Source: rtnetlink(7) and netlink(7); numbers from linux/rtnetlink.h, linux/if_addr.h
and linux/if.h.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

NEW_LINK = 16
GET_LINK = 18
NEW_ADDRESS = 20
GET_ADDRESS = 22
GROUPS = 0x1 | 0x10 | 0x100
"""Interfaces, IPv4 addresses and IPv6 addresses."""
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
_IS_ADDRESS = 1
_IS_LOCAL = 2
_GLOBAL = 0
_ON_LINK = 253
_TIMEOUT_S = 1.0
"""The kernel answers at once; the limit is for one that does not answer at all."""


@dataclass(frozen=True, slots=True)
class Address:
    """Address of an interface."""

    interface: int
    address: IPv4Address | IPv6Address
    is_global: bool
    """Valid beyond the local link."""

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Sort key, best first: global before link-local, IPv4 before IPv6."""
        is_ipv6 = isinstance(self.address, IPv6Address)
        return not self.is_global, is_ipv6, self.interface


def watch() -> socket.socket:
    """Return a socket that becomes readable when interfaces or addresses change.

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
        body = struct.pack("=B3x", socket.AF_UNSPEC).ljust(_LINK.size, b"\0")
        sock.send(
            _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body
        )
        return b"".join(_parts(sock))


def running(data: bytes) -> frozenset[int]:
    """Return the interfaces that are up, have a carrier and are not loopback."""
    links = [_LINK.unpack_from(body) for body in _bodies(data, NEW_LINK, _LINK.size)]
    return frozenset(
        index
        for _, _, index, flags, _ in links
        if flags & _RUNNING and not flags & _LOOPBACK
    )


def addresses(data: bytes) -> tuple[Address, ...]:
    """Return the addresses that other machines on the network can use.

    Link-local IPv6 addresses are left out: they need a zone, which differs on each
    machine.
    """
    bodies = _bodies(data, NEW_ADDRESS, _ADDRESS.size)
    found = (_address(body) for body in bodies)
    return tuple(address for address in found if address is not None)


def _netlink() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)


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


def _address(body: bytes) -> Address | None:
    family, _, flags, scope, index = _ADDRESS.unpack_from(body)
    is_ipv4 = family == socket.AF_INET
    # Link-local IPv4 addresses (169.254.0.0/16) need no zone.
    is_usable = scope == _GLOBAL or (is_ipv4 and scope == _ON_LINK)
    if flags & (_TENTATIVE | _FAILED) or not is_usable:
        return None
    known = dict(_items(body[_ADDRESS.size :], _ATTRIBUTE))
    # On a point-to-point interface `IFA_ADDRESS` is the peer's.
    packed = known.get(_IS_LOCAL, known.get(_IS_ADDRESS, b""))
    if len(packed) != (4 if is_ipv4 else 16):
        return None
    return Address(index, ip_address(packed), is_global=scope == _GLOBAL)
