"""Check of the `Host` header, for the page and the token server.

A web site can make its own host name resolve to this machine and then read the
responses as same-origin (DNS rebinding). `is_own_host` refuses every name that somebody
else may own. It accepts

* a name of this machine: its host name and that with `.local`, the name of the box
  with `.local`, or a name from the configuration,
* one of these with another number before `.local`, which avahi adds if another machine
  has the name: `box-2.local`,
* `localhost`, a name below it, or a loopback address, which always mean the client's
  own machine, and
* the IP address to which the connection was made.

The port is not compared: port forwarding and proxies change it.
"""

import re
import socket
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.net.url import host_and_port, ip, is_loopback

_NUMBER = re.compile(r"-[0-9]+\.local\Z")


class HostCheck:
    """ASGI middleware that refuses requests whose `Host` is not this machine."""

    def __init__(self, app: ASGIApp, names: Collection[str], refusal: ASGIApp) -> None:
        """Accept `names` besides those of this machine."""
        self._app = app
        self._names = own_names() | {name.lower() for name in names}
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        hosts = (value for name, value in scope["headers"] if name == b"host")
        host = next(hosts, b"").decode("latin-1")
        is_own = is_own_host(host, self._names, local_address(scope))
        await (self._app if is_own else self._refusal)(scope, receive, send)


def own_names(name: str = "") -> frozenset[str]:
    """Return the host names of this machine in lower case; `name` is the box's name."""
    hostname = socket.gethostname().lower().removesuffix(".local")
    hosts = {hostname, hostname.partition(".")[0], label(name)} - {""}
    return frozenset({"localhost", *hosts, *(f"{each}.local" for each in hosts)})


def label(name: str) -> str:
    """Return the name as one DNS label, as used for the mDNS name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def local_address(scope: Scope) -> str:
    """Return the address to which the request's connection was made; empty: unknown."""
    return scope["server"][0] if scope.get("server") else ""


def named_host(host: str) -> str:
    """Return the name or address in a `Host` header; empty if it is malformed."""
    # Another port appended to one that is there makes no valid address.
    place = host_and_port(host) or host_and_port(f"{host}:80")
    return place[0] if place else ""


def is_own_host(host: str, names: Collection[str], local: str) -> bool:
    """Return whether a `Host` header means this machine; see the module's docstring.

    `names` are in lower case, and `local` is the address to which the connection was
    made.
    """
    name = named_host(host).removesuffix(".")
    if name in names or is_loopback(name):
        return True
    if _NUMBER.search(name) and _stem(name) in map(_stem, names):
        return True
    # IPv6 addresses without their zone.
    address, own = (ip(text.partition("%")[0]) for text in (name, local))
    return address is not None and address == own


def _stem(name: str) -> str:
    return _NUMBER.sub(".local", name)


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether the headers `Origin` and `Host` name the same host and port."""
    scheme, _, rest = origin.partition("://")
    return scheme in {"http", "https"} and rest.lower() == host.lower() != ""
