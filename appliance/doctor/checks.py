"""Checks of key file, network, clock, token source and server, and what they ask.

The clock of a server and the health of this box are asked without checking
certificates, because with a wrong clock none is valid.
"""

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx
import msgspec

from appliance.core import fault_table
from appliance.core.commands import FetchToken
from appliance.core.events import Failure
from appliance.core.fault_table import HardwareFault
from appliance.net.http_client import certificate_advice
from appliance.net.server_address import parsed, url
from appliance.net.url import without_query
from appliance.tokens.adapter import TokenAdapter
from appliance.tokens.client import date_s

ASK_S: Final = 5.0
"""Longest time for one question; as for a token source's connection."""
OLDEST_YEAR: Final = 2026
"""Year of this version; the clock of a Pi without network starts in the past."""
TOLERANCE_S: Final = 60
"""A token that is valid from now on is refused by a server whose clock is behind."""


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


def finished(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a program; None if it is missing or does not end within `ASK_S`."""
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=ASK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def network(current_address: Callable[[], str | None]) -> Finding:
    """Check for a network address."""
    try:
        address = current_address()
    except OSError as exc:
        return Finding("network", "cannot be read", f"The kernel says: {exc.strerror}.")
    if address is None:
        return finding("network", fault_table.NO_NETWORK)
    return Finding("network", address)


def encryption_key(key_file: str) -> Finding:
    """Check the key file of an encrypted room."""
    # LiveKit's library is large, and most boxes have no key.
    from appliance.room.encryption import encryption

    found = encryption(key_file)
    if isinstance(found, Failure):
        return Finding("encryption key", f"{key_file} cannot be used", found.reason)
    return Finding("encryption key", key_file)


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

    `url` is a valid ws or wss address; None: not known.
    """
    if url is None:
        advice = "Fix the token source first, or set room.url."
        return Finding("server", "not known", advice)
    where = without_query(url)
    try:
        _connect(urlsplit(url))
    except ssl.SSLCertVerificationError as exc:
        found = f"{where} has no valid certificate ({exc.verify_message})"
        return Finding("server", found, certificate_advice(exc))
    except (OSError, UnicodeError) as exc:
        reason = (getattr(exc, "strerror", None) or str(exc)).lower()
        advice = "Check that it runs and that no firewall blocks it."
        return Finding("server", f"{where} cannot be reached: {reason}", advice)
    return Finding("server", f"{where} responds")


def _connect(url: SplitResult) -> None:
    """Connect, or raise the error of the first address: the last may be IPv6 only."""
    is_plain = url.scheme == "ws"
    host, port = url.hostname or "", url.port or (80 if is_plain else 443)
    try:
        connection = socket.create_connection((host, port), ASK_S, all_errors=True)
    except ExceptionGroup as exc:
        raise exc.exceptions[0] from exc
    with connection:
        if not is_plain:
            context = ssl.create_default_context()
            context.wrap_socket(connection, server_hostname=host).close()


def _is_known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False


async def try_token(
    source: TokenAdapter, now_s: float, preset: str | None = None
) -> tuple[str, str]:
    """Return a description without the token itself, and the address of its server.

    `now_s` is in seconds since the epoch; `preset` None is the first room. `TokenError`
    has the reason if none was issued.
    """
    answer = await source.answer(FetchToken(0, preset, None))
    ends_at_s = answer.claims.expires_at_s
    minutes = None if ends_at_s is None else round((ends_at_s - now_s) / 60)
    until = "without an end" if minutes is None else f"for {minutes} minutes"
    return f"token for room {answer.claims.room} {until}", answer.details.url


def ignore(_event: object) -> None:
    """Ignore the event: there is no control loop here."""


def remote_clock(urls: Iterable[str | None]) -> tuple[str, float] | None:
    """Return the first host that says its time, and that in seconds since the epoch.

    None: nobody does. Any status will do; nothing but the host is taken from the URL.
    """
    for origin in map(_origin, filter(None, urls)):
        response = _asked("HEAD", origin) if origin else None
        now_s = date_s(response.headers.get("date", "")) if response else None
        if now_s is not None:
            return urlsplit(origin).hostname or "", now_s
    return None


def _origin(server: str) -> str:
    """Return the address of the server alone; empty where it has no usable one."""
    try:
        parts = urlsplit(server)
    except ValueError:
        return ""
    place = parts.netloc.rpartition("@")[2]
    return "" if "{" in place else f"{parts.scheme.replace('ws', 'http')}://{place}/"


def clock(now_s: float, remote: tuple[str, float] | None) -> Finding:
    """Compare the clock, read at once afterwards, with that of another machine."""
    now = datetime.fromtimestamp(now_s, UTC)
    found = f"{now:%Y-%m-%d %H:%M} UTC"
    if remote is None:
        if now.year < OLDEST_YEAR:
            return finding("clock", fault_table.CLOCK_WRONG, now=found)
        return Finding("clock", f"{found}, not compared: no server has answered")
    host, remote_s = remote
    difference_s = now_s - remote_s
    if abs(difference_s) <= TOLERANCE_S:
        return Finding("clock", f"{found}, as at {host}")
    way = "ahead of" if difference_s > 0 else "behind"
    duration = timedelta(seconds=round(abs(difference_s)))
    found += f", {duration} {way} {host}"
    return finding("clock", fault_table.CLOCK_WRONG, now=found)


class Health(msgspec.Struct, frozen=True):
    """Answer of the page's `/health`, which has all of these keys."""

    status: str
    faults: tuple[str, ...]
    fault_ids: tuple[str, ...]
    """Faults of the hardware, by their ids in the fault table."""


def health(listen: str) -> Health | None:
    """Return what the box that listens there says of itself; None: no answer."""
    response = _asked("GET", f"{url(*parsed(listen), '127.0.0.1')}/health")
    if response is None:
        return None
    try:
        return msgspec.json.decode(response.content, type=Health)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _asked(method: str, address: str) -> httpx.Response | None:
    """Return the response; None if there is none in time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        # No proxies of the environment: as for the token source.
        with httpx.Client(verify=context, timeout=ASK_S, trust_env=False) as client:
            return client.request(method, address)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
        return None
