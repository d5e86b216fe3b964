"""Access to the token server: who sends a request, and which identities they may use.

Address and headers decide, in this order: a secret (`Authorization: Bearer …`), the
user that a trusted proxy names, the address. A wrong secret is refused unless the
proxy names a user: `Authorization` may then be the log-in at the proxy. The address of
a request through a proxy that is not trusted is unknown. An IPv4-mapped address counts
as IPv4.
"""

import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
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
_BEARER = re.compile(r"(?i)bearer +(\S+)")

_LONGEST_HOPS: Final = 1000


class Reason(StrEnum):
    """Kind of refusal, for the log and the metrics."""

    SECRET = "secret"
    ADDRESS = "address"
    ORIGIN = "origin"
    HOST = "host"
    ROOM = "room"
    IDENTITY = "identity"
    FIELD = "field"
    BODY = "body"
    RATE = "rate"
    """Too many requests or connections."""
    SERVER = "server"
    """No node of the rooms' server is known."""


@dataclass(eq=False)
class Refused(Exception):
    """A request that is answered with an error."""

    status: int
    reason: Reason
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
        """Pass the request on with the client's address."""
        client = scope.get("client")
        if client is not None:
            peer = unmapped(client[0])
            scope["client"] = (peer, client[1])
            if peer in self._proxies:
                scope["peer"] = peer
                hops = Headers(scope=scope).getlist("x-forwarded-for")
                address = _last_outside(",".join(hops), self._proxies)
                if address is not None:
                    scope["client"] = (unmapped(address), 0)
        await self._app(scope, receive, send)


class Access:
    """Rules of one server."""

    def __init__(self, config: TokenServerConfig) -> None:
        """Keep hashes of the secrets, not the secrets."""
        self._allowed = Networks(config.allow)
        self._is_open = "anybody" in config.allow
        self._shared = None if config.secret is None else _hash(config.secret)
        self._boxes = {name: _hash(secret) for name, secret in config.boxes.items()}
        self._reserved = {_alike(name) for name in config.boxes}
        self._user_header = config.user_header

    def caller(self, scope: Scope) -> str | None:
        """Return the only identity that the sender may use; None: any but a box's.

        Raises:
            Refused: 401 or 403.
        """
        headers = Headers(scope=scope)
        user = None
        if self._user_header is not None and "peer" in scope:
            user = header_text(headers, self._user_header)
        authorization = header_text(headers, "authorization")
        if authorization is not None:
            given = _bearer_hash(authorization)
            # All are compared, so that the time does not depend on which one it is.
            boxes = [x for x in self._boxes if _is_equal(self._boxes[x], given)]
            if boxes or _is_equal(self._shared, given):
                return boxes[0] if boxes else None
        if user is not None:
            return self._user(user)
        if authorization is not None:
            sentence = "the secret in the header Authorization is not known here."
            raise Refused(401, Reason.SECRET, sentence)
        self._check_address(scope, headers)
        return None

    def identity(self, wished: str | None, own: str | None) -> str | None:
        """Return the identity for a token; None: the request leaves it open.

        `own` is the only one that the sender may use, if there is such a one.

        Raises:
            Refused: 403: it is another's.
        """
        if own is not None:
            if wished not in {None, own}:
                sentence = (
                    f"this sender may only be {own}: write room: {{identity: "
                    f"{json.dumps(own, ensure_ascii=False)}}} in a box, leave it out "
                    "elsewhere."
                )
                raise Refused(403, Reason.IDENTITY, sentence, "participant_identity")
            return own
        if wished is not None and _alike(wished) in self._reserved:
            sentence = "this identity is a named box's, which has a secret of its own."
            raise Refused(403, Reason.IDENTITY, sentence, "participant_identity")
        return wished

    def check_metrics(self, scope: Scope) -> None:
        """Check that the request is from this machine or has the shared secret.

        Raises:
            Refused: it is not.
        """
        headers = Headers(scope=scope)
        added = (*_FORWARDING, *filter(None, [self._user_header]))
        address = _address(scope, headers)
        if "peer" in scope and not any(name in headers for name in added):
            # Without a header of the proxy: from a program beside it.
            address = str(scope["peer"])
        is_allowed = address in _LOOPBACK
        authorization = header_text(headers, "authorization")
        if authorization is not None:
            is_allowed = _is_equal(self._shared, _bearer_hash(authorization))
        if not is_allowed:
            sentence = "metrics are for this machine and for the shared secret."
            raise Refused(403, Reason.ADDRESS, sentence)

    def _user(self, user: str) -> str:
        if len(user) > LONGEST_NAME or not user.isprintable():
            sentence = f"expected a user of 1-{LONGEST_NAME} characters on one line."
            raise Refused(400, Reason.IDENTITY, sentence, self._user_header)
        if _alike(user) in self._reserved:
            sentence = "this user has the name of a box."
            raise Refused(403, Reason.IDENTITY, sentence, self._user_header)
        return user

    def _check_address(self, scope: Scope, headers: Headers) -> None:
        address = _address(scope, headers)
        if self._is_open or address in self._allowed:
            return
        if self._shared is not None or self._boxes:
            sentence = "expected a secret in the header Authorization: Bearer …"
            raise Refused(401, Reason.SECRET, f"{sentence}, found none.")
        if not address:
            sentence = (
                "the request came through a proxy that is not trusted, or that does "
                "not name its client; see trusted_proxies."
            )
        else:
            sentence = (
                f"requests from {address} are not allowed; add the address to allow, "
                "or set a secret."
            )
        raise Refused(403, Reason.ADDRESS, sentence)


def client_address(scope: Scope) -> str:
    """Return the client's address; empty if a trusted proxy did not name it."""
    client = scope.get("client")
    if client is None or client[0] == scope.get("peer"):
        return ""
    return str(client[0])


def _address(scope: Scope, headers: Headers) -> str:
    """Return the client's address; empty if a proxy hides it."""
    is_hidden = "peer" not in scope and any(name in headers for name in _FORWARDING)
    return "" if is_hidden else client_address(scope)


def _last_outside(hops: str, proxies: Networks) -> str | None:
    """Return the last hop that is no trusted proxy: those before it may be invented.

    This machine is no hop: a proxy that passes the header on as it came would open
    `loopback` to everybody.
    """
    for hop in reversed(hops[-_LONGEST_HOPS:].split(",")):
        address = _without_port(hop.strip())
        if address in proxies:
            continue
        is_known = ip(address) is not None and address not in _LOOPBACK
        return address if is_known else None
    return None


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
        raise Refused(400, Reason.FIELD, "this header is given twice.", name)
    try:
        return values[0].encode("latin-1").decode() if values else None
    except UnicodeDecodeError:
        return values[0]


def _is_equal(secret: bytes | None, given: bytes) -> bool:
    return secret is not None and hmac.compare_digest(secret, given)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _bearer_hash(authorization: str) -> bytes:
    match = _BEARER.fullmatch(authorization.strip())
    return _hash(match[1] if match else "")


def _alike(name: str) -> str:
    """Return the name without differences that people do not see."""
    shown = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in shown if sign.isprintable() and sign != " ")
