"""Configuration of the token server: its keys, and how they are read and checked.

`systemd/token-server.yaml` is the reference for people. Every variable may also be a
file, which keeps secrets out of the environment: variable `NAME` is the content of the
file in `NAME_FILE`, or of the file `NAME` among systemd's credentials
(`LoadCredential=`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from appliance.config import HostPort, Text
from appliance.config.checks import KeyFault
from appliance.config.load import read_layers
from appliance.config.merge import Reading
from appliance.config.messages import found
from appliance.errors import ConfigError, Fault
from appliance.net.url import address_fault, host_and_port, is_host, is_local

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
ROOM_FIELDS: Final = {
    "agents": "agents",
    "departure_timeout": "departureTimeout",
    "empty_timeout": "emptyTimeout",
    "max_participants": "maxParticipants",
    "max_playout_delay": "maxPlayoutDelay",
    "metadata": "metadata",
    "min_playout_delay": "minPlayoutDelay",
    "name": "name",
    "sync_streams": "syncStreams",
}
"""Fields of a request's `room_config` that may be accepted, and their names in a token.

Without `egress`, which can send a recording anywhere. Source: livekit_room.proto,
`RoomConfiguration`.
"""
DEVELOPMENT: Final = ("devkey", "secret")
"""Key and secret of `livekit-server --dev`."""
_SHORTEST_SECRET: Final = 32
"""Bytes; RFC 7518, section 3.2: a key for HS256 is at least as long as the hash."""
WANTED: Final = {
    "livekit": {
        "LIVEKIT_URL": "the address of your LiveKit server, wss://…",
        "LIVEKIT_API_KEY": "an API key of your LiveKit server",
        "LIVEKIT_API_SECRET": "the secret of that API key",
    },
    "dtelecom": {
        "API_KEY": "an API key of dTelecom",
        "API_SECRET": "the secret of that API key",
    },
}
"""Variables for each kind of server."""
DEFAULT_PATH: Final = Path("/etc/ptt-appliance/token-server.yaml")
PREFIX: Final = "TOKEN_SERVER_"
CREDENTIAL: Final = "token-server_"
"""Prefix that systemd adds for `LoadCredential=token-server:FOLDER`."""
_KNOWN: Final = {*chain(*WANTED.values(), REGISTRY_VARIABLES.values())}
_SLASHES_OF_AN_ORIGIN: Final = 2
_NETWORKS: Final = "addresses and networks"


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
    connections_each: Annotated[int, Meta(ge=1, le=10_000)] = 128
    """Connections open at once, in all and from one address."""
    dtelecom: DTelecomConfig = DTelecomConfig()
    """Only for rooms of dTelecom."""
    allow_insecure: tuple[Text, ...] = ()
    """Hosts allowed as ws:// in `LIVEKIT_URL` and as http:// in `origins` and
    `dtelecom.web_hook_url`; loopback always is."""


@dataclass(frozen=True, slots=True)
class TokenServerSettings:
    """Configuration, and address and keys of the server that has the rooms."""

    config: TokenServerConfig
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    url: str = ""
    """Empty for dTelecom, where the node is chosen for each token."""
    registry: Mapping[str, str] = field(default_factory=dict)
    """Values of the `REGISTRY_VARIABLES` that are set, by setting."""

    @property
    def is_development(self) -> bool:
        """Whether the keys are those of `livekit-server --dev`, which all know."""
        return (self.api_key, self.api_secret) == DEVELOPMENT

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be logged."""
        config = self.config
        values = (self.api_secret, config.secret, *config.boxes.values())
        return tuple(filter(None, values))


def read_settings(
    path: Path | None, listen: str | None, environment: Mapping[str, str]
) -> TokenServerSettings:
    """Return the settings from the file and the environment.

    Args:
        path: of the file; None: the default one, which may be absent.
        listen: from the command line; overrides the other sources.
        environment: variables `TOKEN_SERVER_…` and `LIVEKIT_…` are used.

    Raises:
        ConfigError: contains every fault.
    """
    variables, faults = _with_files(environment)
    layers, more = read_layers(
        path or DEFAULT_PATH, (), variables, is_wished=path is not None, prefix=PREFIX
    )
    reading = Reading(TokenServerConfig)
    config = reading.section(TokenServerConfig, "", layers)
    config = replace(config, listen=listen or config.listen)
    reading.blame_all(findings(config), layers[0])
    settings = _settings(variables, config)
    wrong = () if faults else key_faults(settings)
    faults += [*more, *reading.faults]
    faults += [Fault(name, sentence, "environment") for name, sentence in wrong]
    if faults:
        raise ConfigError(*faults)
    return settings


def _settings(
    variables: Mapping[str, str], config: TokenServerConfig
) -> TokenServerSettings:
    given = {name: variables.get(name, "").strip() for name in _KNOWN}
    if config.kind == "livekit":
        key, secret = given["LIVEKIT_API_KEY"], given["LIVEKIT_API_SECRET"]
        return TokenServerSettings(config, key, secret, given["LIVEKIT_URL"])
    key, secret = given["API_KEY"], given["API_SECRET"]
    registry = {key: given[x] for key, x in REGISTRY_VARIABLES.items() if given[x]}
    return TokenServerSettings(config, key, secret, registry=registry)


def _with_files(environment: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """Return the variables including those that are files, and the faults of these."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    paths = sorted(Path(folder).glob("*")) if folder else []
    files = [(path.name.removeprefix(CREDENTIAL), path) for path in paths]
    files = [(name, path) for name, path in files if name not in environment]
    named = sorted(x for x in environment if x.endswith("_FILE"))
    files += [(name.removesuffix("_FILE"), Path(environment[name])) for name in named]
    variables = dict(environment)
    faults = []
    for name, path in files:
        if name not in _KNOWN and not name.startswith(PREFIX):
            continue
        variables.pop(f"{name}_FILE", None)
        try:
            variables[name] = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            reason = (getattr(exc, "strerror", None) or "it is not text").lower()
            sentence = f"the file {path} cannot be read: {reason}. Fix path or rights."
            faults.append(Fault(f"{name}_FILE", sentence, "environment"))
    return variables, faults


def findings(config: TokenServerConfig) -> Iterator[KeyFault]:
    """Yield key and sentence of each mistake that a type cannot express."""
    if not config.rooms:
        yield ("rooms", "expected room names, found none. Write [kitchen].")
    if host_and_port(config.listen) is None:
        sentence = f"expected HOST:PORT, found {found(config.listen)}."
        yield ("listen", f"{sentence} Write 127.0.0.1:8787.")
    for origin in config.origins:
        plain = config.allow_insecure
        if origin.count("/") != _SLASHES_OF_AN_ORIGIN:
            sentence = f"expected scheme and host only, found {found(origin)}."
            yield ("origins", f"{sentence} Write https://app.example.com.")
        elif fault := address_fault(origin, "https", plain, "allow_insecure"):
            yield ("origins", fault)
    if config.user_header is not None and not config.trusted_proxies:
        sentence = "only trusted proxies are believed, and there are none."
        yield ("user_header", f"{sentence} Write trusted_proxies: [127.0.0.1].")
    secrets = [x for x in (config.secret, *config.boxes.values()) if x is not None]
    if len(set(secrets)) < len(secrets):
        sentence = "expected secrets that differ, found one twice: it would be unclear "
        yield ("boxes", f"{sentence}whose it is. Write one for each box.")
    yield from _wrong_items(config)
    if config.kind == "dtelecom":
        from appliance.token_server.dtelecom import config_faults

        yield from config_faults(config)


def _wrong_items(config: TokenServerConfig) -> Iterator[KeyFault]:
    for key, (is_valid, wanted, example) in _RULES.items():
        given = getattr(config, key)
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and not is_valid(value):
                sentence = f"expected {wanted}, found {found(value)}."
                yield (key, f"{sentence} Write {example}.")


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_header(text: str) -> bool:
    return text.isascii() and text.replace("-", "").isalnum()


_RULES: Final[dict[str, tuple[Callable[[str], bool], str, str]]] = {
    "hosts": (is_host, "host names and nothing more", "[tokens.example.com]"),
    "allow": (
        lambda text: text in WORDS or _is_network(text),
        f"loopback, anybody, {_NETWORKS}",
        "[loopback, 192.168.1.0/24]",
    ),
    "trusted_proxies": (_is_network, _NETWORKS, "[127.0.0.1]"),
    "user_header": (_is_header, "the name of a header", "X-Forwarded-User"),
    "request_headers": (_is_header, "names of headers", "[content-type, x-user-id]"),
    "room_config": (
        ROOM_FIELDS.__contains__,
        f"some of {', '.join(ROOM_FIELDS)}",
        "[agents]",
    ),
}
"""Check, expectation and example of each key whose values are checked one by one."""


def key_faults(settings: TokenServerSettings) -> Iterator[KeyFault]:
    """Yield variable and sentence of each fault in address and keys."""
    wanted = WANTED[settings.config.kind]
    key, secret = settings.api_key, settings.api_secret
    given = {"URL": settings.url, "KEY": key, "SECRET": secret}
    missing = [name for name in wanted if not given[name.rpartition("_")[2]]]
    for name in missing:
        yield (name, f"expected {wanted[name]}, found nothing. Set this variable.")
    if settings.config.kind == "livekit":
        yield from _livekit_faults(settings)
    elif not missing:
        from appliance.token_server.dtelecom import variable_faults

        yield from variable_faults(settings)


def _livekit_faults(settings: TokenServerSettings) -> Iterator[KeyFault]:
    url, plain = settings.url, settings.config.allow_insecure
    if url and (fault := address_fault(url, "wss", plain, "allow_insecure")):
        yield ("LIVEKIT_URL", fault)
    size = len(settings.api_secret.encode(errors="replace"))
    if settings.is_development:
        if not (is_local(url) and is_local(f"http://{settings.config.listen}")):
            sentence = (
                "everybody knows the keys of `livekit-server --dev`: they are accepted "
                "only while LIVEKIT_URL and listen are on this machine itself. Make a "
                "pair with `livekit-server generate-keys` for both servers."
            )
            yield ("LIVEKIT_API_SECRET", sentence)
    elif 0 < size < _SHORTEST_SECRET:
        sentence = (
            f"expected {_SHORTEST_SECRET} bytes or more, found {size}. Make a "
            "longer one, for example with `openssl rand -hex 32`, on the server too."
        )
        yield ("LIVEKIT_API_SECRET", sentence)
