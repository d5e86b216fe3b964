"""Where the page listens, and how a person writes that."""

import socket
from ipaddress import IPv4Address, ip_address

EVERYWHERE = {"0.0.0.0", "::"}
"""Every network of this machine; the latter IPv4 as well, as Linux has it."""
HIGHEST_PORT = 65_535
BACKLOG = 32
"""Connections that may wait to be taken; our choice: a page load opens six."""
STUCK_MS = 20_000
"""What a phone has not acknowledged for so long ends its connection."""


def parsed(listen: str) -> tuple[str, int]:
    """Return host and port of `host:port`; an IPv6 host stands in brackets.

    Raises:
        ValueError: it is neither.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > HIGHEST_PORT:
        wanted = "expected HOST:PORT, for example 0.0.0.0:8080"
        message = f"{wanted}, found {listen!r}"
        raise ValueError(message)
    return host.removeprefix("[").removesuffix("]"), int(port)


def listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: the port is taken or privileged, the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full, or asyncio would not switch off Nagle's delay of 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.settimeout(0)
    return listening


def url(host: str, port: int, lan: str) -> str:
    """Return the page's address as a phone on the LAN can open it.

    Args:
        host: where the page listens.
        port: likewise.
        lan: this machine's address on the LAN; empty: not known. Where it cannot be
            used, the host name stands in, which avahi announces.
    """
    shown = host
    if host in EVERYWHERE:
        shown = lan if _is_served(lan, host) else f"{_hostname()}.local"
    bracketed = f"[{shown}]" if ":" in shown else shown
    return f"http://{bracketed}:{port}"


def _is_served(lan: str, host: str) -> bool:
    """Tell whether a page that listens on `host` can be opened at `lan`."""
    try:
        address = ip_address(lan)
    except ValueError:
        return False
    # A link-local IPv6 address means nothing without the phone's own interface.
    return isinstance(address, IPv4Address) or (
        host == "::" and not address.is_link_local
    )


def _hostname() -> str:
    return socket.gethostname().lower().partition(".")[0]


def pairing_url(page_url: str, pin: str) -> str:
    """Return what the QR code says.

    The PIN stands behind `#`: browsers keep that part to themselves, so that it is in
    no log and no referrer.
    """
    return f"{page_url}/pair#{pin}"
