"""Which names the page answers to.

A web site can make its own name point at this box and then read the page as its own
(DNS rebinding). So only names that no stranger can own are answered.
"""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address


def own_names(name: str) -> frozenset[str]:
    """Return the names of this box, in small letters."""
    hostname = socket.gethostname().lower().removesuffix(".local")
    labels = {hostname, hostname.partition(".")[0], label(name)} - {""}
    return frozenset({"localhost", *labels, *(f"{each}.local" for each in labels)})


def label(name: str) -> str:
    """Return the name as one DNS label, as the mDNS name has it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def is_own_host(host: str, names: frozenset[str], local: str) -> bool:
    """Whether a `Host` header means this box.

    Args:
        host: `name:port`, as the browser sent it.
        names: from `own_names`.
        local: the address that the connection was made to.
    """
    name = _hostname(host)
    address = _address(name)
    if address is None:
        return name.removesuffix(".") in names
    return address == _address(local)


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an `Origin` header names the page that `Host` names."""
    scheme, _, rest = origin.partition("://")
    return scheme in {"http", "https"} and rest.lower() == host.lower() != ""


def _hostname(host: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]%_-]{1,260}", host):
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _address(text: str) -> Address | None:
    """Return the address, IPv4 in its own form; None for a name."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
