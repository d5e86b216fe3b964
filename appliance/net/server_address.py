"""Addresses of the servers on this machine: `HOST:PORT`, sockets, URL of the page."""

import asyncio
import socket

from appliance.net.url import host_and_port, ip

EVERYWHERE = {"0.0.0.0", "::"}
"""All interfaces of this machine; on Linux `::` includes IPv4."""
BACKLOG = 32
"""Connections that wait to be accepted; our choice: a page load opens six."""
STALLED_MS = 20_000
"""Longest time without acknowledgement from the client, then the connection ends."""
UNSENT_BYTES = 16 * 1024
"""Data that the kernel takes from this process before it can send it. Its default, some
megabytes, would be a minute of old views for a phone with a slow connection."""


def parsed(listen: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, or raise `ValueError`."""
    place = host_and_port(listen)
    if place is None:
        message = f"expected HOST:PORT, for example 0.0.0.0:8080, found {listen!r}"
        raise ValueError(message)
    return place


async def resolved(host: str) -> str:
    """Return the IPv4 address of a host name, or an IP address as it is.

    The name is looked up in a thread: a DNS server may take seconds to answer.

    Raises:
        OSError: the name is not known.
    """
    if ip(host) is not None:
        return host
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, family=socket.AF_INET)
    return str(found[0][4][0])


def listener(host: str, port: int, backlog: int = BACKLOG) -> socket.socket:
    """Return a listening socket; blocks while a host name is looked up.

    Raises:
        OSError: the port is in use or privileged, or no interface has the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm (40 ms) only if the protocol is given.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        # Connections inherit it.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        listening.bind((host, port))
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    listening.settimeout(0)
    return listening


def url(host: str, port: int, lan: str) -> str:
    """Return the URL, for a phone on the LAN, of a page that listens on `host`.

    `lan` is this machine's address on the LAN; empty: not known. If it cannot be used,
    the URL has the mDNS host name, which avahi announces.
    """
    shown = host
    if host in EVERYWHERE:
        name = socket.gethostname().lower().partition(".")[0]
        is_served = lan and (":" not in lan or host == "::")
        shown = lan if is_served else f"{name}.local"
    bracketed = f"[{shown}]" if ":" in shown else shown
    return f"http://{bracketed}:{port}"


def pairing_url(page_url: str, pin: str) -> str:
    """Return the content of the pairing QR code.

    The PIN follows `#`: browsers do not send that part, so that it is in no log and no
    referrer.
    """
    return f"{page_url}/pair#{pin}"
