"""Which names the token server answers to.

A web site can make its own name point at this machine and then read the answers as its
own (DNS rebinding). So only names that no stranger can own are answered.
"""

import socket
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.net.url import host_and_port, is_ip, is_loopback


def own_names() -> frozenset[str]:
    """Return the names of this machine, in small letters."""
    hostname = socket.gethostname().lower().removesuffix(".local")
    labels = {hostname, hostname.partition(".")[0]} - {""}
    return frozenset({*labels, *(f"{each}.local" for each in labels)})


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Tell whether a `Host` header means this machine.

    Nobody can point an IP address somewhere else, so each is as good as a name of ours.

    Args:
        host: as the client sent it, with or without a port.
        names: in small letters.
    """
    # A second port would be no address; a missing one is 80.
    place = host_and_port(host) or host_and_port(f"{host}:80")
    if place is None:
        return False
    name = place[0].removesuffix(".")
    return name in names or is_loopback(name) or is_ip(name)


class OwnHosts:
    """ASGI middleware; answers 400 to whoever asked for somebody else."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        """Stand before `app`; `names` come on top of this machine's own."""
        self._app = app
        self._names = own_names() | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it."""
        is_own = scope["type"] == "lifespan" or is_own_host(
            Headers(scope=scope).get("host", ""), self._names
        )
        if is_own:
            await self._app(scope, receive, send)
            return
        sentence = "this name is not known here; add it to hosts."
        await JSONResponse({"error": sentence}, 400)(scope, receive, send)
