"""What a box needs, one question each; every answer says what to do (R9.3)."""

import os
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from appliance.config import ButtonsConfig, LampsConfig, ScreenConfig
from appliance.errors import ApplianceError
from appliance.net.url import without_query

DEVICES = Path("/dev")
OLDEST_YEAR = 2026
"""This program did not exist before; a Pi without network begins in the past."""

SCREEN_PACKAGES = ("smbus2", "luma.oled", "PIL")
PIN_PACKAGES = ("gpiozero", "colorzero", "lgpio")

CONNECT_S = 5.0
"""To reach the server; as long as a token source gets."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question."""

    part: str
    found: str
    advice: str = ""
    """What to do; empty: it is good as it is."""

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to do."""
        return not self.advice


def ask(part: str, find: Callable[[], str]) -> Finding:
    """Return what `find` found, or the sentence of its error, which says what to do.

    Args:
        part: what it is about.
        find: returns what there is.
    """
    try:
        return Finding(part, find())
    except ApplianceError as error:
        return Finding(part, "does not work", str(error))


def is_installed(package: str) -> bool:
    """Return whether Python finds this package; it is not imported."""
    try:
        return find_spec(package) is not None
    except ImportError:
        # The package that this one is a part of is missing.
        return False


def screen(
    config: ScreenConfig,
    devices: Path = DEVICES,
    is_installed: Callable[[str], bool] = is_installed,
) -> Finding:
    """Say whether the bus of the OLED can be used."""
    if config.driver == "none":
        return Finding("screen", "none configured")
    bus = devices / f"i2c-{config.bus}"
    if not bus.exists():
        return Finding(
            "screen",
            f"there is no {bus}",
            "Switch I²C on (sudo raspi-config nonint do_i2c 0) and restart, "
            "or write screen.driver: none.",
        )
    return _missing("screen", SCREEN_PACKAGES, is_installed) or _usable(
        "screen", bus, "i2c"
    )


def pins(
    buttons: ButtonsConfig,
    lamps: LampsConfig,
    devices: Path = DEVICES,
    is_installed: Callable[[str], bool] = is_installed,
) -> Finding:
    """Say whether the pins of buttons and lamps can be used."""
    names = (*ButtonsConfig.__dataclass_fields__, *LampsConfig.__dataclass_fields__)
    wired = [x for x in names if getattr(buttons, x, None) or getattr(lamps, x, None)]
    if not wired:
        return Finding("pins", "none configured")
    chips = sorted(devices.glob("gpiochip*"))
    if not chips:
        return Finding(
            "pins",
            f"this machine has none for {', '.join(wired)}",
            "On a Raspberry Pi this means a kernel without GPIO; elsewhere write null "
            "for every button and lamp.",
        )
    return _missing("pins", PIN_PACKAGES, is_installed) or _usable(
        "pins", chips[0], "gpio"
    )


def network(current_address: Callable[[], str | None]) -> Finding:
    """Say whether there is a network."""
    address = current_address()
    if address is None:
        advice = "Plug the cable in or give the Wi-Fi its password (sudo nmtui)."
        return Finding("network", "none", advice)
    return Finding("network", address)


def names(urls: Iterable[str | None]) -> Finding:
    """Say whether the names of the servers can be resolved."""
    hosts = sorted({urlsplit(url).hostname or "" for url in urls if url} - {""})
    unknown = [host for host in hosts if not _is_known(host)]
    if unknown:
        advice = "Check the spelling, the network and the router's DNS."
        return Finding("names", f"unknown: {', '.join(unknown)}", advice)
    return Finding("names", ", ".join(hosts) or "none to resolve")


def clock(now: datetime) -> Finding:
    """Say whether the clock can be right: tokens and certificates depend on it."""
    found = f"{now:%Y-%m-%d %H:%M}"
    if now.year < OLDEST_YEAR:
        advice = "Let the box find a time server (timedatectl set-ntp true)."
        return Finding("clock", found, advice)
    return Finding("clock", found)


def server(url: str | None) -> Finding:
    """Say whether the room's server can be reached; its media ports are not tried.

    Args:
        url: ws or wss, checked; None: nobody has named one.
    """
    if url is None:
        advice = "Fix the token source first, or set room.url."
        return Finding("server", "not known", advice)
    where = without_query(url)
    try:
        _connect(urlsplit(url))
    except ssl.SSLCertVerificationError as exc:
        found = f"{where} has no valid certificate ({exc.verify_message})"
        return Finding("server", found, "Check the clock here and the certificate.")
    except (OSError, UnicodeError) as exc:
        reason = (getattr(exc, "strerror", None) or str(exc)).lower()
        advice = "Check that it runs and that no firewall is in between."
        return Finding("server", f"{where} cannot be reached: {reason}", advice)
    return Finding("server", f"{where} answers")


def _connect(url: SplitResult) -> None:
    is_plain = url.scheme == "ws"
    host, port = url.hostname or "", url.port or (80 if is_plain else 443)
    with socket.create_connection((host, port), CONNECT_S) as way:
        if not is_plain:
            ssl.create_default_context().wrap_socket(way, server_hostname=host).close()


def _missing(
    part: str, packages: Iterable[str], is_installed: Callable[[str], bool]
) -> Finding | None:
    for package in packages:
        if not is_installed(package):
            found = f"the Python package {package} is missing"
            advice = "Install the program again: sudo bash systemd/install.sh."
            if package == "lgpio":
                advice = "Install it: sudo apt install python3-lgpio."
            return Finding(part, found, advice)
    return None


def _usable(part: str, device: Path, group: str) -> Finding:
    if os.access(device, os.R_OK | os.W_OK):
        return Finding(part, f"{device} can be used")
    advice = f"Join the group: sudo usermod -aG {group} $USER, then log in again."
    return Finding(part, f"{device} may not be used", advice)


def _is_known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False
