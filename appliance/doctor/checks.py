"""Checks of hardware, network and server, each with a remedy."""

import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

from appliance.config import ButtonsConfig, LampsConfig, ScreenConfig
from appliance.core import fault_table
from appliance.core.commands import FetchToken
from appliance.core.fault_table import HardwareFault
from appliance.doctor.panel import Result, probe_pins, probe_screen
from appliance.errors import ApplianceError
from appliance.net.url import without_query
from appliance.panel.pins import missing_package
from appliance.tokens.source import TokenSource

SCREEN_PACKAGES = ("smbus2", "luma.oled", "PIL")
PIN_PACKAGES = ("gpiozero", "colorzero", "lgpio")

CONNECT_S = 5.0
"""Longest time to connect to the server; as for a token source."""

DAY_S = 86_400
"""Seconds; for longer times the time of day alone would be misleading."""


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
    return Finding(part, fault.found(**facts), fault.advice(**facts))


def result_of(part: str, find: Callable[[], str]) -> Finding:
    """Return the result of `find`, or the sentence of its error as the remedy.

    Args:
        part: name of the checked part.
        find: returns what is found.
    """
    try:
        return Finding(part, find())
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


async def try_token(source: TokenSource, now_s: float) -> tuple[str, str]:
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
