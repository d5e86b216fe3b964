"""Rules that a type cannot express: addresses, pins, keys that exclude each other."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import chain
from typing import Final

from appliance.config import (
    ButtonsConfig,
    Cards,
    Config,
    LampsConfig,
    Pin,
    RoomSettings,
    TalkMode,
)
from appliance.config.schema import join
from appliance.config.yaml import found
from appliance.net.url import address_fault, host_and_port, is_host, placeholders

KeyFault = tuple[str, str]
"""Full key and what is wrong with it."""

# RFC 9110, section 5.6.2: the characters of a header's name.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 7519, section 3.1: three parts in base64url.
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Keys in which placeholders are filled in.
_REQUEST_KEYS = ("token_url", "token_headers", "token_query", "token_body")
_PLACEHOLDERS: Final = ("identity", "display_name", "room")
_KNOWN: Final = {*_PLACEHOLDERS, "name"}
"""Names that are filled in; `name` is the older spelling of `display_name`."""
# Pins of I²C bus 1 on the 40-pin header.
_I2C_PINS = (2, 3)


def findings(config: Config) -> Iterator[KeyFault]:
    """Yield every fault of a configuration whose values have the right types."""
    yield from _rooms(config)
    yield from _pins(config)
    yield from _cards("sound.microphone", config.sound.microphone)
    yield from _cards("sound.speaker", config.sound.speaker)
    if config.sound.half_duplex and config.talk.mode is TalkMode.OPEN:
        sentence = (
            "would mute everybody, because in talk.mode open the box always talks. "
            "Write false, or talk: {mode: hybrid}."
        )
        yield ("sound.half_duplex", sentence)
    if host_and_port(config.page.listen) is None:
        sentence = f"expected HOST:PORT, found {found(config.page.listen)}."
        yield ("page.listen", f"{sentence} Write 0.0.0.0:8080.")
    post_url, allowed = config.metrics.post_url, config.room.allow_insecure
    if post_url is not None and (fault := address_fault(post_url, "https", allowed)):
        yield ("metrics.post_url", fault)


def _rooms(config: Config) -> Iterator[KeyFault]:
    base = list(_room(config.room, "room"))
    yield from base
    request = [getattr(config.room, leaf) for leaf in _REQUEST_KEYS]
    if config.room.name is None and "room" in placeholders(request):
        yield (
            "room.name",
            "expected the room's name for {room}, found nothing. Write kitchen.",
        )
    # A fault that a preset inherits is reported once, at the room.
    known = {sentence for _, sentence in base}
    names: set[str] = set()
    for at, preset in enumerate(config.room.presets):
        key = f"room.presets[{at}]"
        if preset.name in names:
            yield (f"{key}.name", "is the name of an earlier preset. Write another.")
        names.add(preset.name)
        yield from (
            finding for finding in _room(preset, key) if finding[1] not in known
        )


def _room(room: RoomSettings, key: str) -> Iterator[KeyFault]:
    """Yield the faults of a room's keys; `key` is the full key of the room."""
    allowed = room.allow_insecure
    if room.token_url is not None and (fault := _token_url_fault(room.token_url, room)):
        yield (f"{key}.token_url", fault)
    if room.url is not None and (fault := address_fault(room.url, "wss", allowed)):
        yield (f"{key}.url", fault)
    yield from _token(room, key)
    yield from _headers(room, key)
    for leaf in _REQUEST_KEYS:
        if fault := _placeholder_fault(getattr(room, leaf)):
            yield (f"{key}.{leaf}", fault)
    for host in allowed:
        if not is_host(host):
            sentence = f"expected host names and nothing more, found {found(host)}."
            yield (f"{key}.allow_insecure", f"{sentence} Write [nas.local].")


def _token_url_fault(url: str, room: RoomSettings) -> str | None:
    fault = address_fault(url, "https", room.allow_insecure)
    host = re.split(r"[/?#\\]", url.partition("://")[2])[0]
    if fault is not None and "@" in host:
        fault = f"{fault} Put secrets into token_headers."
    if fault is None or not placeholders(host):
        return fault
    return f"{fault} Placeholders are allowed only after the host."


def _placeholder_fault(value: object) -> str | None:
    """Return what is wrong with the placeholders of a JSON value; None: nothing."""
    for name in sorted(placeholders(value) - _KNOWN):
        known = ", ".join(f"{{{each}}}" for each in _PLACEHOLDERS)
        return (
            f"unknown placeholder {{{name}}}. Known here: {known}. "
            f"Write {{{{{name}}}}} for the text itself."
        )
    # On the first level `room` may be a key, as it is written.
    inner = value.values() if isinstance(value, Mapping) else ()
    for name in chain.from_iterable(map(_unquoted, inner)):
        return f'{{{name}}} without quotes is no placeholder. Write "{{{name}}}".'
    return None


def _unquoted(value: object) -> Iterator[str]:
    """Yield the placeholders without quotes, of which YAML makes `{room: null}`."""
    match value:
        case Mapping() if list(value.values()) == [None]:
            yield from _KNOWN.intersection(value)
        case Mapping():
            yield from chain.from_iterable(map(_unquoted, value.values()))
        case list():
            yield from chain.from_iterable(map(_unquoted, value))


def _token(room: RoomSettings, key: str) -> Iterator[KeyFault]:
    if room.token is not None and room.url is None:
        sentence = "expected the address of the server that the fixed token is for"
        yield (f"{key}.url", f"{sentence}, found nothing. Write wss://….")
    if room.token is not None and _JWT.fullmatch(room.token) is None:
        sentence = "expected one word of three parts with dots between, found …."
        yield (f"{key}.token", f"{sentence} Copy the whole token.")
    if room.token_method == "GET" and room.token_body:
        sentence = "is not sent with GET. Write token_method: POST, or use token_query."
        yield (f"{key}.token_body", sentence)


def _headers(room: RoomSettings, key: str) -> Iterator[KeyFault]:
    for name, value in room.token_headers.items():
        full = join(f"{key}.token_headers", name)
        if _HEADER_NAME.fullmatch(name) is None:
            yield (full, "is not a header name. Write for example X-User-Id.")
        if value != value.strip() or not value.isprintable():
            sentence = "expected one line without spaces around it. Fix the value."
            yield (full, sentence)


def _cards(key: str, cards: Cards) -> Iterator[KeyFault]:
    """Yield the fault of a card that is no card: "none" among others."""
    if cards != "none" and "none" in cards:
        at = cards.index("none")
        yield (f"{key}[{at}]", "is not the name of a card. Write none, alone.")


def _pins(config: Config) -> Iterator[KeyFault]:
    wired = [*_wired(config.buttons, "buttons"), *_wired(config.lamps, "lamps")]
    users: dict[int, str] = {}
    # With `auto` there may be no screen, which leaves the pins free.
    if config.screen.driver in {"ssd1306", "sh1106"} and config.screen.bus == 1:
        users = dict.fromkeys(_I2C_PINS, "the screen's I²C bus")
    for key, number in wired:
        if number in users:
            user = users[number]
            yield (key, f"GPIO {number} is used by {user}. Write another, or null.")
        users.setdefault(number, key)


def _wired(section: ButtonsConfig | LampsConfig, key: str) -> Iterator[tuple[str, int]]:
    for field in fields(section):
        match getattr(section, field.name):
            case (int() as number) | Pin(pin=number):
                yield (join(key, field.name), number)
