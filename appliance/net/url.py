"""Checks and parsers of URLs, host names and `HOST:PORT`; base64 as URLs have it.

Also the placeholders, such as `{identity}`, in the address of the token source and in
the other texts of its request.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain
from typing import Final
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
# `{{x}}` is written for the text `{x}`.
_MARK: Final = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")


def address_fault(
    url: str,
    secure: str,
    allow_insecure: Collection[str] = (),
    key: str = "room.allow_insecure",
) -> str | None:
    """Return why `url` is not allowed and what to write instead; None: it is allowed.

    Args:
        url: from the configuration or from a token source's response.
        secure: expected scheme, `https` or `wss`.
        allow_insecure: host names, in any case, that may have the unencrypted scheme;
            loopback may always.
        key: of `allow_insecure` in the configuration; empty: there is none.
    """
    parts = _split(url)
    if parts is None:
        return f"expected an address like {secure}://host/path, found something else."
    host, plain = parts.hostname or "", secure.removesuffix("s")
    if parts.scheme not in {secure, plain}:
        wanted = _with_scheme(parts, secure)
        return f"expected {secure}://, found {without_query(url)}. Write {wanted}."
    if "@" in parts.netloc:
        return (
            f"expected an address without a user name or password, found "
            f"{without_query(url)} with one. Leave it out."
        )
    allowed = {name.lower().strip("[]") for name in allow_insecure}
    if parts.scheme == plain and host not in allowed and not is_loopback(host):
        remedy = f", or add {host} to {key}" if key else ""
        return (
            f"{without_query(url)} would go over the network in the clear. Write "
            f"{_with_scheme(parts, secure)}{remedy}."
        )
    return None


def without_query(url: str) -> str:
    """Return scheme, host, port and path; queries may contain secrets, so not those."""
    parts = _split(url)
    return "an unreadable address" if parts is None else _base(parts)


def host_and_port(listen: str) -> tuple[str, int] | None:
    """Return the parts of `HOST:PORT`, or None if the text has another form.

    An IPv6 host is written in brackets, which are removed; port 0 means any free one.
    """
    parts = _split(f"http://{listen}")
    if parts is None or parts.port is None or "@" in parts.netloc:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    return (parts.hostname or "", parts.port)


def is_host(text: str) -> bool:
    """Return whether `text` is a host name or an IP address, and nothing more.

    A name with an empty label, apart from a dot at the end, or with one of more than 63
    characters is not: Python's resolver raises `UnicodeError` for it.
    """
    if ip(text) is not None:
        return True
    if not text or not all(sign.isalnum() or sign in "-._" for sign in text):
        return False
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


def is_local(url: str) -> bool:
    """Return whether the host of the URL is always this machine."""
    parts = _split(url)
    return parts is not None and is_loopback(parts.hostname or "")


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL; None if parsers would not agree on its host.

    urllib drops tabs and newlines and keeps a backslash, LiveKit's parser treats it as
    a slash. URLs with such characters are refused.
    """
    if " " in url or "\\" in url or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme and is_host(parts.hostname or "") else None


def _base(parts: SplitResult) -> str:
    where = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{where}{parts.path}"


def _with_scheme(parts: SplitResult, scheme: str) -> str:
    return _base(parts._replace(scheme=scheme))


def is_loopback(host: str) -> bool:
    """Return whether `host` always means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = ip(host)
    return address is not None and address.is_loopback


def unmapped(address: str) -> str:
    """Return the usual form of an IP address as `ip` reads it; other text as it is."""
    return str(ip(address) or address)


def ip(text: str) -> Address | None:
    """Return the IP address that `text` is, without brackets; None for another text.

    An IPv4-mapped one is returned as IPv4: a socket that listens on IPv6 has IPv4
    clients as `::ffff:192.168.1.5`.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def base64url(data: bytes) -> bytes:
    """Return the bytes as base64 without padding, as JSON Web Tokens have it.

    Source: RFC 7515, section 2.
    """
    return urlsafe_b64encode(data).rstrip(b"=")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return the text with each placeholder replaced once; `{{x}}` becomes `{x}`."""
    return _MARK.sub(lambda mark: _replacement(mark, values), text)


def _replacement(mark: re.Match[str], values: Mapping[str, str]) -> str:
    literal, name = mark.groups()
    return f"{{{literal}}}" if literal else values.get(name, mark[0])


def placeholders(value: object) -> set[str]:
    """Return the names in braces in all texts of a JSON value."""
    marks = chain.from_iterable(map(_MARK.finditer, texts(value)))
    return {mark[2] for mark in marks if mark[2]}


def texts(value: object, without: Collection[str] = ()) -> Iterator[str]:
    """Yield every text in a JSON value at any depth, but for the keys `without`."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                if key not in without:
                    yield from texts(item, without)
        case list():
            for item in value:
                yield from texts(item, without)
