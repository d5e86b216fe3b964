"""Configuration of the token server: a file of its own, keys from the environment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from appliance.config import HostPort, Text
from appliance.config.layers import read_layers
from appliance.config.merge import Reading
from appliance.config.messages import found
from appliance.errors import ConfigError, Fault
from appliance.net.url import address_fault, host_and_port, is_host

DEFAULT_PATH = Path("/etc/ptt-appliance/token-server.yaml")
PREFIX = "TOKEN_SERVER_"
_SHORTEST_SECRET = 32
"""Bytes; RFC 7518, section 3.2: a key for HS256 is at least as long as the hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServerConfig:
    """Settings of the token server."""

    listen: HostPort = "127.0.0.1:8787"
    """HOST:PORT; everybody who can reach it can get a token."""
    rooms: tuple[Text, ...] = ()
    """Rooms for which tokens are issued; `*` at the end matches any ending."""
    origins: tuple[Text, ...] = ()
    """Web origins that are allowed to request tokens, as `https://app.example.com`."""
    hosts: tuple[Text, ...] = ()
    """Further host names or IP addresses of this server, for example of a proxy.

    The machine's host name (`nas`, `nas.local`), `localhost` and the address to which a
    client connects are always accepted; requests for any other host are refused.
    """
    ttl_s: Annotated[int, Meta(ge=60, le=3600)] = 600
    """Seconds for which a token can be used to join."""
    allow_insecure: tuple[Text, ...] = ()
    """Hosts allowed in `LIVEKIT_URL` with ws://; loopback always is."""


@dataclass(frozen=True, slots=True)
class TokenServerSettings:
    """The configuration, and address and keys from the environment."""

    config: TokenServerConfig
    url: str
    key: str = field(repr=False)
    secret: str = field(repr=False)

    def may_open(self, room: str) -> bool:
        """Return whether tokens for `room` are issued."""
        return any(_matches(pattern, room) for pattern in self.config.rooms)


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
    layers, faults = read_layers(
        path or DEFAULT_PATH, (), environment, is_wished=path is not None, prefix=PREFIX
    )
    reading = Reading(TokenServerConfig)
    config = reading.section(TokenServerConfig, "", layers)
    for key, sentence in _findings(config):
        if key not in reading.blamed:
            reading.blame(key, sentence, reading.origins.get(key, layers[0]))
    given = {name: environment.get(name, "") for name in _WANTED}
    faults += [*reading.faults, *_environment_faults(given, config)]
    if faults:
        raise ConfigError(tuple(faults))
    config = replace(config, listen=listen or config.listen)
    return TokenServerSettings(
        config,
        given["LIVEKIT_URL"],
        given["LIVEKIT_API_KEY"],
        given["LIVEKIT_API_SECRET"],
    )


_WANTED = {
    "LIVEKIT_URL": "the address of your LiveKit server, wss://…",
    "LIVEKIT_API_KEY": "an API key of your LiveKit server",
    "LIVEKIT_API_SECRET": "the secret of that API key",
}


def _environment_faults(
    given: Mapping[str, str], config: TokenServerConfig
) -> Iterator[Fault]:
    for name, value in given.items():
        if not value:
            sentence = f"expected {_WANTED[name]}, found nothing. Set this variable."
            yield Fault(name, sentence, "environment")
    secret = given["LIVEKIT_API_SECRET"].encode(errors="replace")
    if 0 < len(secret) < _SHORTEST_SECRET:
        sentence = (
            f"expected {_SHORTEST_SECRET} bytes or more, found {len(secret)}. Make a "
            "longer one, for example with `openssl rand -hex 32`, on the server too."
        )
        yield Fault("LIVEKIT_API_SECRET", sentence, "environment")
    if given["LIVEKIT_URL"]:
        fault = address_fault(given["LIVEKIT_URL"], "wss", config.allow_insecure)
        if fault is not None:
            yield Fault("LIVEKIT_URL", fault, "environment")


def _findings(config: TokenServerConfig) -> Iterator[tuple[str, str]]:
    if not config.rooms:
        yield ("rooms", "expected room names, found none. Write [kitchen].")
    if host_and_port(config.listen) is None:
        sentence = f"expected HOST:PORT, found {found(config.listen)}."
        yield ("listen", f"{sentence} Write 127.0.0.1:8787.")
    for host in config.hosts:
        if not is_host(host):
            sentence = f"expected host names and nothing more, found {found(host)}."
            yield ("hosts", f"{sentence} Write [tokens.example.com].")
    for origin in config.origins:
        fault = address_fault(origin, "https", config.allow_insecure)
        if fault is not None or origin.count("/") != _SLASHES_OF_AN_ORIGIN:
            sentence = f"expected scheme and host only, found {found(origin)}."
            yield ("origins", f"{sentence} Write https://app.example.com.")


_SLASHES_OF_AN_ORIGIN = 2


def _matches(pattern: str, room: str) -> bool:
    if pattern.endswith("*"):
        return room.startswith(pattern.removesuffix("*"))
    return room == pattern
