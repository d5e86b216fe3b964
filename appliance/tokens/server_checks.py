"""Checks of the token server's configuration and keys: one sentence per fault."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Final

from appliance.config.messages import found
from appliance.errors import Fault
from appliance.net.url import (
    address_fault,
    host_and_port,
    is_host,
    is_local,
    is_loopback,
)
from appliance.tokens.server_config import Credentials, TokenServerConfig
from appliance.tokens.server_networks import WORDS
from appliance.tokens.server_room_config import ROOM_FIELDS

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
        from appliance.tokens.server_dtelecom import config_faults

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


_SLASHES_OF_AN_ORIGIN: Final = 2
_NETWORKS: Final = "addresses and networks"
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


def key_faults(keys: Credentials, config: TokenServerConfig) -> Iterator[Fault]:
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
        from appliance.tokens.server_dtelecom import variable_faults

        for name, sentence in variable_faults(keys):
            yield Fault(name, sentence, "environment")


def _livekit_faults(keys: Credentials, config: TokenServerConfig) -> Iterator[Fault]:
    if keys.url:
        plain = config.allow_insecure
        fault = address_fault(keys.url, "wss", plain, key="allow_insecure")
        if fault is not None:
            yield Fault("LIVEKIT_URL", fault, "environment")
    size = len(keys.secret.encode(errors="replace"))
    if (keys.key, keys.secret) == DEVELOPMENT:
        place = host_and_port(config.listen)
        if not (is_local(keys.url) and place is not None and is_loopback(place[0])):
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
