"""Checks of hardware, network and server, each with a remedy."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Final
from urllib.parse import SplitResult, urlsplit

from appliance.audio.portaudio import PortAudio
from appliance.config import ButtonsConfig, Cards, Config, LampsConfig, ScreenConfig
from appliance.core import fault_table
from appliance.core.commands import FetchToken
from appliance.core.fault_table import HardwareFault
from appliance.doctor.panel import Result, probe_pins, probe_screen
from appliance.doctor.probes import RemoteClock
from appliance.doctor.sound_cards import all_devices, card_name
from appliance.errors import ApplianceError, SoundError
from appliance.net.url import without_query
from appliance.panel.pins import missing_package
from appliance.process.settings_store import Store
from appliance.process.state_files import state_folder
from appliance.sound_cards.card_volume import card_volume_found
from appliance.sound_cards.device_selection import chosen
from appliance.sound_cards.devices import Device, Direction
from appliance.tokens.adapter import TokenAdapter

SCREEN_PACKAGES = ("smbus2", "luma.oled", "PIL")
PIN_PACKAGES = ("gpiozero", "colorzero", "lgpio")

CONNECT_S = 5.0
"""Longest time to connect to the server; as for a token source."""

DAY_S = 86_400
"""Seconds; for longer times the time of day alone would be misleading."""

OLDEST_YEAR: Final = 2026
"""Year of this version; the clock of a Pi without network starts in the past."""
TOLERANCE_S: Final = 60
"""A token that is valid from now on is refused by a server whose clock is behind."""
_UNITS: Final = ((86_400, "days"), (3600, "hours"), (60, "minutes"))


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    part: str
    found: str
    advice: str = ""
    """Remedy; empty: nothing is wrong."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.advice


def finding(part: str, fault: HardwareFault, **facts: object) -> Finding:
    """Return the finding of this fault, with these facts."""
    return Finding(part, fault.described(**facts), fault.advice(**facts))


def result_of(part: str, find: Callable[[], Result]) -> Finding:
    """Return the result of `find`, or the sentence of its error as the remedy.

    Args:
        part: name of the checked part.
        find: returns what is found, and a remedy if something is wrong with it.
    """
    try:
        return Finding(part, *find())
    except ApplianceError as exc:
        return Finding(part, "does not work", str(exc))


def is_installed(package: str) -> bool:
    """Return True if Python finds this package; it is not imported."""
    try:
        return find_spec(package) is not None
    except ImportError:
        # Its parent package is missing.
        return False


def screen(
    config: ScreenConfig,
    is_installed: Callable[[str], bool] = is_installed,
    probe: Callable[[ScreenConfig], Result] = probe_screen,
) -> Finding:
    """Check the OLED: its packages, its bus, and that it takes a byte."""
    if config.driver == "none":
        return Finding("screen", "none configured")
    missing = _missing("screen", SCREEN_PACKAGES, is_installed)
    return missing or Finding("screen", *probe(config))


def pins(
    buttons: ButtonsConfig,
    lamps: LampsConfig,
    is_installed: Callable[[str], bool] = is_installed,
    probe: Callable[[ButtonsConfig, LampsConfig], Result] = probe_pins,
) -> Finding:
    """Check the pins of buttons and lamps: their packages, and that they open."""
    names = (*ButtonsConfig.__dataclass_fields__, *LampsConfig.__dataclass_fields__)
    if not any(getattr(buttons, x, None) or getattr(lamps, x, None) for x in names):
        return Finding("pins", "none configured")
    missing = _missing("pins", PIN_PACKAGES, is_installed)
    return missing or Finding("pins", *probe(buttons, lamps))


def network(current_address: Callable[[], str | None]) -> Finding:
    """Check for a network address."""
    try:
        address = current_address()
    except OSError as exc:
        return Finding("network", "cannot be read", f"The kernel says: {exc.strerror}.")
    if address is None:
        return finding("network", fault_table.NO_NETWORK)
    return Finding("network", address)


def names(urls: Iterable[str | None]) -> Finding:
    """Check that the names of the servers can be resolved."""
    hosts = sorted({urlsplit(url).hostname or "" for url in urls if url} - {""})
    unknown = [host for host in hosts if not _is_known(host)]
    if unknown:
        advice = "Check the spelling, the network and the router's DNS."
        return Finding("names", f"unknown: {', '.join(unknown)}", advice)
    return Finding("names", ", ".join(hosts) or "none to resolve")


def server(url: str | None) -> Finding:
    """Check the connection to the room's server; its media ports are not tested.

    Args:
        url: valid ws or wss address; None: not known.
    """
    if url is None:
        advice = "Fix the token source first, or set room.url."
        return Finding("server", "not known", advice)
    where = without_query(url)
    try:
        _connect(urlsplit(url))
    except ssl.SSLCertVerificationError as exc:
        found = f"{where} has no valid certificate ({exc.verify_message})"
        return Finding(
            "server", found, "Check the clock of the box and the certificate."
        )
    except (OSError, UnicodeError) as exc:
        reason = (getattr(exc, "strerror", None) or str(exc)).lower()
        advice = "Check that it runs and that no firewall blocks it."
        return Finding("server", f"{where} cannot be reached: {reason}", advice)
    return Finding("server", f"{where} responds")


def _connect(url: SplitResult) -> None:
    is_plain = url.scheme == "ws"
    host, port = url.hostname or "", url.port or (80 if is_plain else 443)
    with socket.create_connection((host, port), CONNECT_S) as connection:
        if not is_plain:
            ssl.create_default_context().wrap_socket(
                connection, server_hostname=host
            ).close()


def _missing(
    part: str, packages: Iterable[str], is_installed: Callable[[str], bool]
) -> Finding | None:
    for package in packages:
        if not is_installed(package):
            fault = missing_package(package)
            return finding(part, fault, package=package, state="is missing")
    return None


def _is_known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False


async def try_token(source: TokenAdapter, now_s: float) -> tuple[str, str]:
    """Return a description without the token itself, and the address of its server.

    Args:
        source: the configured token source.
        now_s: seconds since the epoch.

    Raises:
        TokenError: none was issued; the sentence has the reason.
    """
    answer = await source.answer(FetchToken(0, None, None))
    return (
        f"token for room {answer.room} {_until(answer.expires_at_s, now_s)}",
        answer.url,
    )


def _until(ends_at_s: float | None, now_s: float) -> str:
    if ends_at_s is None:
        return "without an end"
    if ends_at_s - now_s >= DAY_S:
        return "for more than a day"
    return f"until {datetime.fromtimestamp(ends_at_s, UTC).astimezone():%H:%M}"


@dataclass(frozen=True, slots=True)
class Probes:
    """The questions; each raises an `ApplianceError` whose sentence has the remedy."""

    find_card: Callable[[Direction], Result]
    """Return the card for a direction, and a notice if it is not the first choice."""
    find_card_volume: Callable[[Direction], Result]
    """Return that card's own volumes and advice; no advice: they are good."""
    fetch_token: Callable[[], tuple[str, str]]
    """Fetch a token; return a description without the token, and its server's URL."""


def probes_of(config: Config) -> Probes:
    """Return the questions for this configuration."""
    configured: dict[Direction, Cards] = {
        "microphone": config.sound.microphone,
        "speaker": config.sound.speaker,
    }
    search = _Search()

    def find_card(direction: Direction) -> Result:
        preferred = configured[direction]
        if preferred == "none":
            return "none configured", ""
        return card_name(preferred, direction, search.devices())

    def find_card_volume(direction: Direction) -> Result:
        preferred = configured[direction]
        if preferred == "none":
            return "none configured", ""
        return card_volume_found(
            chosen(preferred, search.devices(), direction), direction
        )

    def fetch_token() -> tuple[str, str]:
        identity = Store(state_folder(os.environ), _ignore).read().identity
        source = TokenAdapter(config, identity=identity, post=_ignore)
        return asyncio.run(try_token(source, time.time()))

    return Probes(find_card, find_card_volume, fetch_token)


class _Search:
    """One search for cards, for all questions: a card may take seconds to fail."""

    def __init__(self) -> None:
        self._found: tuple[Device, ...] | SoundError | None = None

    def devices(self) -> tuple[Device, ...]:
        """Return the cards.

        Raises:
            SoundError: PortAudio cannot list them, or does not answer.
        """
        if self._found is None:
            try:
                with PortAudio() as driver:
                    self._found = all_devices(driver)
            except SoundError as exc:
                self._found = exc
        if isinstance(self._found, SoundError):
            raise self._found
        return self._found


def _ignore(_event: object) -> None:
    """Ignore the event: there is no control loop here."""


def clock(now_s: float, remote: RemoteClock | None) -> Finding:
    """Compare the clock with that of another machine.

    Args:
        now_s: seconds since the epoch, right after the remote clock was read.
        remote: clock of another machine; None: nobody says the time.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    found = f"{now:%Y-%m-%d %H:%M} UTC"
    if remote is None:
        if now.year < OLDEST_YEAR:
            return finding("clock", fault_table.CLOCK_WRONG, now=found)
        return Finding("clock", f"{found}, not compared: no server has answered")
    difference_s = now_s - remote.now_s
    if abs(difference_s) <= TOLERANCE_S:
        return Finding("clock", f"{found}, as at {remote.host}")
    way = "ahead of" if difference_s > 0 else "behind"
    found += f", {_duration(abs(difference_s))} {way} {remote.host}"
    return finding("clock", fault_table.CLOCK_WRONG, now=found)


def _duration(seconds: float) -> str:
    for unit_s, unit in _UNITS:
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"
