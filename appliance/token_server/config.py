"""Configuration of the token server: its keys, and how they are read and checked.

`systemd/token-server.yaml` is the reference for people. Every variable may also be a
file, which keeps secrets out of the environment: variable `NAME` is the content of the
file `NAME` in the folder `CREDENTIALS_DIRECTORY`, which systemd's `LoadCredential=` and
the container set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from appliance.config import HostPort, Text
from appliance.config.checks import KeyFault
from appliance.config.load import read_layers
from appliance.config.merge import Reading
from appliance.config.yaml import found
from appliance.errors import ConfigError, Fault
from appliance.net.url import address_fault, host_and_port, is_host, is_local

Secret = Annotated[
    str,
    Meta(pattern=r"^[!-~]{16,200}$", title="16-200 ASCII characters without spaces"),
]
"""A secret that fits into a header."""
HeaderName = Annotated[
    str, Meta(pattern="^[A-Za-z0-9-]{1,200}$", title="the name of a header")
]
RoomField = Literal[
    "agents", "departure_timeout", "empty_timeout", "max_participants", "metadata"
]
"""Field of `request.RoomConfiguration`."""
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
DEVELOPMENT: Final = ("devkey", "secret")
"""Key and secret of `livekit-server --dev`, which all know."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDispatch:
    """Voice agent that is dispatched to a room."""

    name: Annotated[Text, Meta(examples=["assistant"])]
    room: Text = "*"
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DTelecomConfig:
    """Settings for rooms of dTelecom."""

    nodes: tuple[Text, ...] = ()
    web_hook_url: Text | None = None
    role: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServerConfig:
    """Settings of the token server; `token-server.yaml` explains each key."""

    listen: HostPort = "127.0.0.1:8787"
    kind: Literal["livekit", "dtelecom"] = "livekit"
    rooms: tuple[Text, ...] = ()
    ttl_s: Annotated[int, Meta(ge=60, le=3600)] = 600
    allow: tuple[Text, ...] = ("loopback",)
    secret: Secret | None = field(default=None, repr=False)
    boxes: dict[str, Secret] = field(default_factory=dict, repr=False)
    """Secrets by identity."""
    trusted_proxies: tuple[Text, ...] = ()
    user_header: HeaderName | None = None
    hosts: tuple[Text, ...] = ()
    origins: tuple[Text, ...] = ()
    request_headers: tuple[HeaderName, ...] = (
        *("authorization", "content-type", "x-user-id"),
    )
    metadata: bool = False
    metadata_fields: tuple[Text, ...] = ("provider", "voice_id")
    attributes: tuple[Text, ...] = ()
    room_config: tuple[RoomField, ...] = ()
    agents: tuple[AgentDispatch, ...] = ()
    requests_per_s: Annotated[int, Meta(ge=1, le=100_000)] = 20
    requests_per_s_each: Annotated[int, Meta(ge=1, le=100_000)] = 2
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 256
    connections_each: Annotated[int, Meta(ge=1, le=10_000)] = 128
    dtelecom: DTelecomConfig = DTelecomConfig()
    allow_insecure: tuple[Text, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets of clients."""
        return tuple(filter(None, (self.secret, *self.boxes.values())))


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
        """Whether the keys are those of `livekit-server --dev`."""
        return (self.api_key, self.api_secret) == DEVELOPMENT

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be logged."""
        return tuple(filter(None, (self.api_secret, *self.config.secrets)))


def read_settings(
    path: Path | None, listen: str | None, environment: Mapping[str, str]
) -> TokenServerSettings:
    """Return the settings from the file and the environment; `ConfigError`: all faults.

    `path` None is the default file, which may be absent; `listen` is from the command
    line and overrides the other sources.
    """
    variables, faults = _with_credentials(environment)
    layers = read_layers(
        path or DEFAULT_PATH, (), variables, is_wished=path is not None, prefix=PREFIX
    )
    reading = Reading(TokenServerConfig, *layers)
    config = msgspec.convert(reading.values, TokenServerConfig)
    config = replace(config, listen=listen or config.listen)
    reading.blame_all(findings(config))
    settings = _settings(variables, config)
    faults += reading.faults
    faults += [Fault(name, x, "environment") for name, x in key_faults(settings)]
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


def _with_credentials(
    environment: Mapping[str, str],
) -> tuple[dict[str, str], list[Fault]]:
    """Return the variables including those that are files, and the faults of these."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    variables, faults = dict(environment), []
    for path in sorted(Path(folder).glob("*")) if folder else ():
        name = path.name.removeprefix(CREDENTIAL)
        is_known = name in _KNOWN or name.startswith(PREFIX)
        if name in environment or not is_known:
            continue
        try:
            variables[name] = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            reason = (getattr(exc, "strerror", None) or "it is not text").lower()
            sentence = f"the file {path} cannot be read: {reason}. Fix its rights."
            faults.append(Fault(name, sentence, "environment"))
    return variables, faults


def findings(config: TokenServerConfig) -> Iterator[KeyFault]:
    """Yield key and sentence of each mistake that a type cannot express."""
    if not config.rooms:
        yield ("rooms", "expected room names, found none. Write [kitchen].")
    if host_and_port(config.listen) is None:
        sentence = f"expected HOST:PORT, found {found(config.listen)}."
        yield ("listen", f"{sentence} Write 127.0.0.1:8787.")
    for origin in config.origins:
        host, plain = origin.partition("://")[2], config.allow_insecure
        if not host or "/" in host:
            sentence = f"expected scheme and host only, found {found(origin)}."
            yield ("origins", f"{sentence} Write https://app.example.com.")
        elif fault := address_fault(origin, "https", plain, "allow_insecure"):
            yield ("origins", fault)
    if config.user_header is not None and not config.trusted_proxies:
        sentence = "only trusted proxies are believed, and there are none."
        yield ("user_header", f"{sentence} Write trusted_proxies: [127.0.0.1].")
    if len(set(config.secrets)) < len(config.secrets):
        sentence = "expected secrets that differ, found one twice: it would be unclear "
        yield ("boxes", f"{sentence}whose it is. Write one for each box.")
    yield from _wrong_items(config)
    if config.kind == "dtelecom":
        yield from _dtelecom_findings(config)


def _wrong_items(config: TokenServerConfig) -> Iterator[KeyFault]:
    networks = "addresses and networks"
    words = f"{', '.join(WORDS)}, {networks}"
    for key, known, is_valid, wanted, example in (
        ("hosts", (), is_host, "host names and nothing more", "[tokens.example.com]"),
        ("allow", WORDS, _is_network, words, "[loopback, 192.168.1.0/24]"),
        ("trusted_proxies", (), _is_network, networks, "[127.0.0.1]"),
    ):
        for value in getattr(config, key):
            if value not in known and not is_valid(value):
                sentence = f"expected {wanted}, found {found(value)}."
                yield (key, f"{sentence} Write {example}.")


def _dtelecom_findings(config: TokenServerConfig) -> Iterator[KeyFault]:
    from appliance.dtelecom.node_registry import is_domain

    for key in ("agents", "attributes", "room_config"):
        if getattr(config, key):
            yield (key, "rooms of dTelecom have none. Leave it out.")
    own, plain = config.dtelecom, config.allow_insecure
    if not all(map(is_domain, own.nodes)):
        sentence = "expected names like node1.example.com, found something else."
        yield ("dtelecom.nodes", sentence)
    hook, key = own.web_hook_url, "allow_insecure"
    if hook is not None and (fault := address_fault(hook, "https", plain, key)):
        yield ("dtelecom.web_hook_url", fault)


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


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
        yield from _dtelecom_faults(settings)


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


def _dtelecom_faults(settings: TokenServerSettings) -> Iterator[KeyFault]:
    from appliance.dtelecom.node_registry import RegistrySettings
    from appliance.dtelecom.tokens import KeyPairError, Signer, is_public_key

    try:
        Signer(settings.api_key, settings.api_secret)
    except KeyPairError as exc:
        yield ("API_SECRET", str(exc))
    registry = RegistrySettings(**settings.registry)
    for key in ("contract", "authority"):
        if not is_public_key(getattr(registry, key)):
            sentence = "expected an address of Solana: 32 bytes in base58."
            yield (REGISTRY_VARIABLES[key], sentence)
    if fault := address_fault(registry.rpc_url, "https", key=""):
        yield (REGISTRY_VARIABLES["rpc_url"], fault)
