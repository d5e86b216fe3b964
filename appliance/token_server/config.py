"""Configuration of the token server: names, types, defaults and meaning of its keys.

`systemd/token-server.yaml` is the reference for people. `load` reads and checks the
values.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_network
from typing import Annotated, Final, Literal

from msgspec import Meta
from starlette.datastructures import Headers

from appliance.config import HostPort, Text
from appliance.net.url import ip

Secret = Annotated[
    str,
    Meta(pattern=r"^[!-~]{16,200}$", title="16-200 ASCII characters without spaces"),
]
"""A secret that fits into a header."""
WORDS: Final = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "anybody": ("0.0.0.0/0", "::/0"),
}
"""Networks that the words in `allow` stand for."""

REGISTRY_VARIABLES: Final = {
    "contract": "SOLANA_CONTRACT_ADDRESS",
    "rpc_url": "SOLANA_NETWORK_HOST_HTTP",
    "authority": "SOLANA_REGISTRY_AUTHORITY",
}
"""Settings of dTelecom's list of nodes, and their variables."""
LONGEST_NAME: Final = 200
"""Characters of a room, an identity or a display name."""
LONGEST_TEXT: Final = 4096
"""Characters of metadata, and of all attributes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDispatch:
    """Voice agent that is dispatched to a room."""

    name: Annotated[Text, Meta(examples=["assistant"])]
    """Name under which the agent's worker registered (`agent_name`)."""
    room: Text = "*"
    """Room; `*` at the end matches any ending."""
    metadata: str = ""
    """Passed to the agent's job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DTelecomConfig:
    """Settings for rooms of dTelecom."""

    nodes: tuple[Text, ...] = ()
    """Domains of nodes; empty: from the registry on Solana."""
    web_hook_url: Text | None = None
    """Address to which a node posts the events of the room."""
    role: Text | None = None
    """Role in the participant's metadata, as JSON: `{"role": …}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServerConfig:
    """Settings of the token server."""

    listen: HostPort = "127.0.0.1:8787"
    """HOST:PORT on which it listens."""
    kind: Literal["livekit", "dtelecom"] = "livekit"
    """Kind of server that has the rooms."""
    rooms: tuple[Text, ...] = ()
    """Rooms for which tokens are issued; `*` at the end matches any ending."""
    ttl_s: Annotated[int, Meta(ge=60, le=3600)] = 600
    """Seconds for which a token can be used to join."""
    allow: tuple[Text, ...] = ("loopback",)
    """Who needs no secret: `loopback`, `anybody`, addresses and networks."""
    secret: Secret | None = field(default=None, repr=False)
    """Whoever sends it (`Authorization: Bearer …`) may ask from anywhere."""
    boxes: dict[str, Secret] = field(default_factory=dict, repr=False)
    """Identity and secret of each named box."""
    trusted_proxies: tuple[Text, ...] = ()
    """Addresses and networks of proxies whose `X-Forwarded-For` is believed."""
    user_header: Text | None = None
    """Header in which a trusted proxy names the user, who becomes the identity."""
    hosts: tuple[Text, ...] = ()
    """Further host names or IP addresses under which clients reach this server."""
    origins: tuple[Text, ...] = ()
    """Web origins that are allowed to request tokens, as `https://app.example.com`."""
    request_headers: tuple[Text, ...] = ("authorization", "content-type", "x-user-id")
    """Headers that scripts of those origins may send."""
    metadata: bool = False
    """Accept `participant_metadata`."""
    metadata_fields: tuple[Text, ...] = ("provider", "voice_id")
    """Fields of the request that become the participant's metadata, as JSON."""
    attributes: tuple[Text, ...] = ()
    """Accepted names in `participant_attributes`; `*` at the end as for rooms."""
    room_config: tuple[Text, ...] = ()
    """Accepted fields of `room_config`, for example `agents`."""
    agents: tuple[AgentDispatch, ...] = ()
    """Agents that are dispatched to a room when a token creates it."""
    requests_per_s: Annotated[int, Meta(ge=1, le=100_000)] = 20
    """Requests a second over all addresses; a burst may be five times as many."""
    requests_per_s_each: Annotated[int, Meta(ge=1, le=100_000)] = 2
    """Requests a second from one address; a burst may be twenty times as many."""
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 256
    """Connections open at once."""
    connections_each: Annotated[int, Meta(ge=1, le=10_000)] = 128
    """Connections open at once from one address."""
    dtelecom: DTelecomConfig = DTelecomConfig()
    """Only for rooms of dTelecom."""
    allow_insecure: tuple[Text, ...] = ()
    """Hosts allowed as ws:// in `LIVEKIT_URL` and as http:// in `origins`; loopback
    always is."""


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Address and keys of the server that has the rooms."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    url: str = ""
    """Empty for dTelecom, where the node is chosen for each token."""
    registry: Mapping[str, str] = field(default_factory=dict)
    """Values of the `REGISTRY_VARIABLES` that are set, by setting."""


@dataclass(frozen=True, slots=True)
class TokenServerSettings:
    """The configuration, and address and keys from the environment."""

    config: TokenServerConfig
    api_keys: ApiKeys
    is_development: bool = False
    """The keys are those of `livekit-server --dev`, which everybody knows."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be logged."""
        shared = self.config.secret or ""
        values = (self.api_keys.secret, shared, *self.config.boxes.values())
        return tuple(filter(None, values))


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether one of the patterns is `name`, or its start followed by `*`."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


class Networks:
    """Set of networks."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Parse addresses, networks and the words of `WORDS`."""
        parts = (part for text in texts for part in WORDS.get(text, (text,)))
        self._networks = tuple(ip_network(part, strict=False) for part in parts)
        self._contains = lru_cache(1024)(self._search)

    def __contains__(self, address: object) -> bool:
        """Return whether the address is in one of them; an IPv4-mapped one counts."""
        return isinstance(address, str) and self._contains(address)

    def _search(self, address: str) -> bool:
        """Return whether the address is in one of them; False for other text."""
        parsed = ip(address.partition("%")[0])
        return parsed is not None and any(parsed in each for each in self._networks)


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


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(
        self, status: int, reason: Reason, sentence: str, key: str | None = None
    ) -> None:
        """Store the status and the content of the response."""
        super().__init__(status, reason, sentence, key)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.key = key


def wrong(key: str, sentence: str) -> Refused:
    """Return the refusal of a field with a wrong value."""
    return Refused(400, Reason.FIELD, sentence, key)


def not_passed(key: str, configuration: str) -> Refused:
    """Return the refusal of a field that `configuration` would accept."""
    sentence = f"this is not accepted here; the server's file needs {configuration}."
    return Refused(403, Reason.FIELD, sentence, key)


def is_given(value: object) -> bool:
    """Return whether a value is neither null nor empty."""
    return value not in (None, "", [], {})


def text(value: object, key: str) -> str | None:
    """Return a short text on one line; None if it is missing or empty.

    Raises:
        Refused: it is something else.
    """
    if not is_given(value):
        return None
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise wrong(key, f"expected text of 1-{LONGEST_NAME} characters.")
    if not value.isprintable():
        raise wrong(key, "expected text on one line.")
    return value


def long_text(value: object, key: str) -> str:
    """Return a text that may have several lines.

    Raises:
        Refused: it is something else.
    """
    if not is_given(value):
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise wrong(key, f"expected text of at most {LONGEST_TEXT} characters.")
    return value


def shown(name: str) -> str:
    """Return the name of a field for a sentence, whatever the client sent."""
    return "".join(sign if sign.isprintable() else "�" for sign in name[:60])


def header_text(headers: Headers, name: str) -> str | None:
    """Return the text of a header; None if it is missing or empty.

    Starlette decodes headers as ISO-8859-1; clients send names in UTF-8.

    Raises:
        Refused: it is there twice, so that a proxy and we may read different ones.
    """
    values = [value for value in headers.getlist(name) if value]
    if len(values) > 1:
        raise wrong(name, "this header is given twice.")
    try:
        return values[0].encode("latin-1").decode() if values else None
    except UnicodeDecodeError:
        return values[0]
