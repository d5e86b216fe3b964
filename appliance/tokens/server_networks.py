"""Networks of clients and proxies, from texts of the token server's configuration."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

WORDS: Final = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "anybody": ("0.0.0.0/0", "::/0"),
}
"""Networks that the words in `allow` stand for."""


class Networks:
    """Set of networks."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Parse addresses, networks and the words of `WORDS`."""
        parts = (part for text in texts for part in WORDS.get(text, (text,)))
        self._networks = tuple(ip_network(part, strict=False) for part in parts)
        self._contains = lru_cache(1024)(self._search)

    def __contains__(self, address: str) -> bool:
        """Return whether the address is in one of them; an IPv4-mapped one counts."""
        return self._contains(address)

    def _search(self, address: str) -> bool:
        return _is_in(address, self._networks)


def _is_in(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Return whether the address is in one of the networks; False for other text."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)
