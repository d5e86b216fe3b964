"""Reading and checking of the token server's configuration, keys and secrets.

Every variable may also be a file, which keeps secrets out of the environment: variable
`NAME` is the content of the file in `NAME_FILE`, or of the file `NAME` among systemd's
credentials (`LoadCredential=`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_network
from itertools import chain
from pathlib import Path
from typing import Final

from appliance.config.load import read_layers
from appliance.config.merge import Reading
from appliance.config.messages import found
from appliance.errors import ConfigError, Fault
from appliance.net.url import address_fault, host_and_port, is_host, is_local
from appliance.token_server.config import (
    REGISTRY_VARIABLES,
    WORDS,
    ApiKeys,
    TokenServerConfig,
    TokenServerSettings,
)
from appliance.token_server.request import ROOM_FIELDS

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
    keys = _api_keys(variables, config)
    wrong = () if faults else key_faults(keys, config)
    faults += [*more, *reading.faults, *wrong]
    if faults:
        raise ConfigError(*faults)
    is_development = (keys.key, keys.secret) == DEVELOPMENT
    return TokenServerSettings(config, keys, is_development=is_development)


def _api_keys(variables: Mapping[str, str], config: TokenServerConfig) -> ApiKeys:
    given = {name: variables.get(name, "").strip() for name in _KNOWN}
    if config.kind == "dtelecom":
        registry = {
            setting: given[name]
            for setting, name in REGISTRY_VARIABLES.items()
            if given[name]
        }
        return ApiKeys(given["API_KEY"], given["API_SECRET"], registry=registry)
    key, secret = given["LIVEKIT_API_KEY"], given["LIVEKIT_API_SECRET"]
    return ApiKeys(key, secret, given["LIVEKIT_URL"])


def _with_files(environment: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """Return the variables including those that are files, and the faults of these."""
    variables = dict(environment)
    faults = []
    for name, path in _files(environment):
        variables.pop(f"{name}_FILE", None)
        try:
            variables[name] = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            reason = (getattr(exc, "strerror", None) or "it is not text").lower()
            sentence = f"the file {path} cannot be read: {reason}. Fix path or rights."
            faults.append(Fault(f"{name}_FILE", sentence, "environment"))
    return variables, faults


def _files(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each variable that is a file, lowest precedence first."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    for path in sorted(Path(folder).glob("*")) if folder else ():
        name = path.name.removeprefix(CREDENTIAL)
        if _is_ours(name) and name not in environment:
            yield name, path
    for variable, path_text in sorted(environment.items()):
        name = variable.removesuffix("_FILE")
        if name != variable and _is_ours(name):
            yield name, Path(path_text)


def _is_ours(name: str) -> bool:
    return name in _KNOWN or name.startswith(PREFIX)


def findings(config: TokenServerConfig) -> Iterator[tuple[str, str]]:
    """Yield key and sentence of each mistake that a type cannot express."""
    if not config.rooms:
        yield ("rooms", "expected room names, found none. Write [kitchen].")
    if host_and_port(config.listen) is None:
        sentence = f"expected HOST:PORT, found {found(config.listen)}."
        yield ("listen", f"{sentence} Write 127.0.0.1:8787.")
    for origin in config.origins:
        fault = address_fault(origin, "https", config.allow_insecure)
        if fault is not None or origin.count("/") != _SLASHES_OF_AN_ORIGIN:
            sentence = f"expected scheme and host only, found {found(origin)}."
            yield ("origins", f"{sentence} Write https://app.example.com.")
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


def _wrong_items(config: TokenServerConfig) -> Iterator[tuple[str, str]]:
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


def key_faults(keys: ApiKeys, config: TokenServerConfig) -> Iterator[Fault]:
    """Yield every fault in address and keys, which come from the environment."""
    wanted = WANTED[config.kind]
    given = {"URL": keys.url, "KEY": keys.key, "SECRET": keys.secret}
    missing = [name for name in wanted if not given[name.rpartition("_")[2]]]
    for name in missing:
        sentence = f"expected {wanted[name]}, found nothing. Set this variable."
        yield Fault(name, sentence, "environment")
    if config.kind == "livekit":
        yield from _livekit_faults(keys, config)
    elif not missing:
        from appliance.token_server.dtelecom import variable_faults

        for name, sentence in variable_faults(keys):
            yield Fault(name, sentence, "environment")


def _livekit_faults(keys: ApiKeys, config: TokenServerConfig) -> Iterator[Fault]:
    if keys.url:
        plain = config.allow_insecure
        fault = address_fault(keys.url, "wss", plain, key="allow_insecure")
        if fault is not None:
            yield Fault("LIVEKIT_URL", fault, "environment")
    size = len(keys.secret.encode(errors="replace"))
    if (keys.key, keys.secret) == DEVELOPMENT:
        if not (is_local(keys.url) and is_local(f"http://{config.listen}")):
            sentence = (
                "everybody knows the keys of `livekit-server --dev`: they are accepted "
                "only while LIVEKIT_URL and listen are on this machine itself. Make a "
                "pair with `livekit-server generate-keys` for both servers."
            )
            yield Fault("LIVEKIT_API_SECRET", sentence, "environment")
    elif 0 < size < _SHORTEST_SECRET:
        sentence = (
            f"expected {_SHORTEST_SECRET} bytes or more, found {size}. Make a "
            "longer one, for example with `openssl rand -hex 32`, on the server too."
        )
        yield Fault("LIVEKIT_API_SECRET", sentence, "environment")
