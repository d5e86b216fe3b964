"""Access to the token server: who sends a request, and which identities they may use.

The sender is known by, in this order: a secret (`Authorization: Bearer …`), the user
that a trusted proxy names, the address. A wrong secret is refused unless the proxy
names a user: `Authorization` may then be the log-in at the proxy. The address of a
request through a proxy that is not trusted is unknown.
"""

import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.net.url import ip, unmapped
from appliance.token_server.config import WORDS, TokenServerConfig

LONGEST_NAME: Final = 200
"""Characters of a room, an identity or a display name."""

_FORWARDING: Final = (
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"),
    *("x-forwarded-server", "forwarded", "via", "x-real-ip", "x-client-ip"),
    *("true-client-ip", "cf-connecting-ip", "cf-ray"),
)
"""Headers that proxies add; clients on the same network as the server send none."""
_BEARER: Final = re.compile(r"(?i)bearer +(\S+)")


@dataclass(eq=False)
class Refused(Exception):
    """A request that is answered with an error."""

    status: int
    sentence: str
    key: str | None = None
    """Name of the field or header at fault."""


class Networks:
    """Set of networks."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Parse addresses, networks and the words of `WORDS`."""
        parts = (part for text in texts for part in WORDS.get(text, (text,)))
        self._networks = tuple(ip_network(part, strict=False) for part in parts)

    def __contains__(self, address: object) -> bool:
        """Return whether the address is in one of them; an IPv4-mapped one counts."""
        parsed = ip(str(address).partition("%")[0])
        return parsed is not None and any(parsed in each for each in self._networks)


_LOOPBACK: Final = Networks(("loopback",))


class RealClient:
    """ASGI middleware that replaces a trusted proxy's address by its client's."""

    def __init__(self, app: ASGIApp, proxies: Networks) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the client's address; empty: it is not named."""
        peer, port = scope["client"]
        address = unmapped(peer)
        scope["is_proxied"] = address in self._proxies
        if scope["is_proxied"]:
            hops = Headers(scope=scope).getlist("x-forwarded-for")
            address = _last_outside(",".join(hops), self._proxies)
        scope["client"] = (address, port)
        await self._app(scope, receive, send)


class Access:
    """Rules of one server."""

    def __init__(self, config: TokenServerConfig) -> None:
        self._allowed = Networks(config.allow)
        self._is_open = "anybody" in config.allow
        self._boxes = frozenset(config.boxes)
        self._secrets = [(config.boxes[box], box) for box in config.boxes]
        if config.secret is not None:
            self._secrets.append((config.secret, ""))
        self._user_header = config.user_header

    def caller(self, scope: Scope) -> str | None:
        """Return the only identity that the sender may use; None: any but a box's.

        Raises:
            Refused: 401 or 403.
        """
        headers = Headers(scope=scope)
        authorization = header_text(headers, "authorization")
        fitting = self._owners(authorization or "")
        if fitting:
            return fitting[0] or None
        if self._user_header is not None and scope["is_proxied"]:
            user = header_text(headers, self._user_header)
            if user is not None:
                return self._checked_user(user)
        if authorization is not None:
            sentence = "the secret in the header Authorization is not known here."
            raise Refused(401, sentence)
        self._check_address(scope, headers)
        return None

    def identity(self, wished: str | None, own: str | None) -> str | None:
        """Return the identity for a token; None: the request leaves it open.

        `own` is what `caller` returned.

        Raises:
            Refused: 403: it is another's.
        """
        if own is None:
            if wished in self._boxes:
                sentence = "this identity is a named box's, which has its own secret."
                raise Refused(403, sentence, "participant_identity")
            return wished
        if wished not in {None, own}:
            sentence = (
                f"this sender may only be {own}: write room: {{identity: "
                f"{json.dumps(own, ensure_ascii=False)}}} in a box, leave it out "
                "elsewhere."
            )
            raise Refused(403, sentence, "participant_identity")
        return own

    def check_metrics(self, scope: Scope) -> None:
        """Refuse a request that is not of this machine and lacks the shared secret."""
        headers = Headers(scope=scope)
        owners = self._owners(header_text(headers, "authorization") or "")
        if "" not in owners and _address(scope, headers) not in _LOOPBACK:
            sentence = "metrics are for this machine and for the shared secret."
            raise Refused(403, sentence)

    def _owners(self, authorization: str) -> list[str]:
        """Return the box whose secret this is; "": the shared one; none: no secret."""
        bearer = _BEARER.fullmatch(authorization.strip())
        given = bearer[1].encode() if bearer else b""
        # All are compared, so that the time does not depend on which one it is.
        return [
            box
            for secret, box in self._secrets
            if hmac.compare_digest(secret.encode(), given)
        ]

    def _checked_user(self, user: str) -> str:
        if user in self._boxes or len(user) > LONGEST_NAME or not user.isprintable():
            sentence = (
                f"expected a user of 1-{LONGEST_NAME} characters on one line, who has "
                "not the name of a box."
            )
            raise Refused(403, sentence, self._user_header)
        return user

    def _check_address(self, scope: Scope, headers: Headers) -> None:
        address = _address(scope, headers)
        if self._is_open or address in self._allowed:
            return
        if self._secrets:
            sentence = "expected a secret in the header Authorization: Bearer …"
            raise Refused(401, f"{sentence}, found none.")
        if address:
            advice = "add the address to allow, or set a secret."
            raise Refused(403, f"requests from {address} are not allowed; {advice}")
        sentence = (
            "the request came through a proxy that is not trusted, or that does not "
            "name its client; see trusted_proxies."
        )
        raise Refused(403, sentence)


def _address(scope: Scope, headers: Headers) -> str:
    """Return the client's address; empty if a proxy hides it."""
    is_hidden = not scope["is_proxied"] and any(x in headers for x in _FORWARDING)
    return "" if is_hidden else str(scope["client"][0])


def _last_outside(hops: str, proxies: Networks) -> str:
    """Return the last hop that is no trusted proxy: those before it may be invented.

    This machine is no hop: a proxy that passes the header on as it came would open
    `loopback` to everybody. Empty: there is no such hop.
    """
    for hop in reversed(hops.split(",")):
        address = _without_port(hop.strip())
        if address in proxies:
            continue
        is_known = ip(address) is not None and address not in _LOOPBACK
        return unmapped(address) if is_known else ""
    return ""


def _without_port(hop: str) -> str:
    """Return the address of a hop such as `1.2.3.4:5`, `[::1]:5` or `::1`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def header_text(headers: Headers, name: str) -> str | None:
    """Return the text of a header; None if it is missing or empty.

    Starlette decodes headers as ISO-8859-1; clients send names in UTF-8.

    Raises:
        Refused: it is there twice, so that a proxy and we may read different ones.
    """
    values = [value for value in headers.getlist(name) if value]
    if len(values) > 1:
        raise Refused(400, "this header is given twice.", name)
    try:
        return values[0].encode("latin-1").decode() if values else None
    except UnicodeDecodeError:
        return values[0]
